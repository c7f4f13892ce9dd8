from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from napari_nucleiseg.channels import blob_score, choose_pixels, propose_channel
from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.micrograph import Micrograph


def _named(*names: str) -> Micrograph:
    return Micrograph(np.zeros((len(names), 4, 4), np.uint8), "CYX", channel_names=names)


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (("GFP", "DAPI"), 1),
        (("Hoechst 33342", "Nuclear pore"), 0),
        (("nuclear membrane", "H2B-mCherry"), 1),
        (("histone H3", "dapi_cyc1"), 1),
        (("CD45", "DNA1", "DNA2"), 1),
        (("RNA", "TO-PRO-3"), 1),
        (("api", "Nuc"), 1),
        (("Eosin", "Haematoxylin"), 1),
        (("actin", "SYTOX Green", "nuclei"), 1),
    ],
)
def test_a_name_decides(names, index):
    proposed, why = propose_channel(_named(*names))
    assert proposed == index
    assert why == f"Channel {index + 1} is named {names[index]}."


def _membranes(labels: np.ndarray) -> np.ndarray:
    """Thin lines half-way between nuclei, as a stained membrane shows."""
    _, (y, x) = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    cells = labels[y, x]
    edges = (np.diff(cells, axis=0, prepend=cells[:1]) != 0) | (
        np.diff(cells, axis=1, prepend=cells[:, :1]) != 0
    )
    return ndimage.gaussian_filter(edges.astype(float), 1)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_nuclei_win_over_membranes_and_noise(fluorescence, order):
    rng = np.random.default_rng(0)
    nuclei = fluorescence[0].pixels.astype(float)
    membranes = _membranes(fluorescence[1]) * 4000 + rng.normal(0, 5, nuclei.shape)
    noise = rng.normal(100, 20, nuclei.shape)
    channels = [nuclei, membranes, noise]
    micrograph = Micrograph(np.stack([channels[i] for i in order]), "CYX")
    proposed, why = propose_channel(micrograph)
    assert proposed == order.index(0)
    assert "compact" in why


def test_a_hot_pixel_and_nan_do_not_matter(fluorescence):
    nuclei = fluorescence[0].pixels.astype(np.float32)
    nuclei[3, 3], nuclei[7, 7] = 1e6, np.nan
    noise = np.random.default_rng(0).normal(0, 1, nuclei.shape).astype(np.float32)
    assert propose_channel(Micrograph(np.stack([noise, nuclei]), "CYX"))[0] == 1


@pytest.mark.parametrize("value", [0, 65535])
def test_where_there_is_nothing_the_first_is_taken_and_said(value):
    micrograph = Micrograph(np.full((3, 40, 50), value, np.uint16), "CYX")
    assert propose_channel(micrograph) == (0, "No channel shows nuclei; the first was taken.")


def test_noise_has_no_nuclei():
    noise = np.random.default_rng(1).integers(0, 4096, (3, 300, 300)).astype(np.uint16)
    assert propose_channel(Micrograph(noise, "CYX"))[0] == 0


def test_equal_channels_leave_the_first(fluorescence):
    micrograph = Micrograph(np.stack([fluorescence[0].pixels] * 3), "CYX")
    assert propose_channel(micrograph) == (0, "No channel stands out; channel 1 was taken.")


def test_grey_and_colour_leave_no_choice(fluorescence, stained):
    for micrograph, _ in (fluorescence, stained):
        assert propose_channel(micrograph)[0] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 2000)])
def test_any_size_has_a_score(shape):
    pixels = np.arange(np.prod(shape), dtype=float).reshape(shape)
    assert 0 <= blob_score(pixels) <= 1


def test_a_large_picture_is_looked_at_small(fluorescence):
    large = np.tile(fluorescence[0].pixels.astype(np.uint16), (6, 6))[:2048, :2048]
    micrograph = Micrograph(np.stack([large.T, large]), "CYX")
    tracemalloc.start()
    propose_channel(micrograph)
    # filters of the whole picture would take several times its size
    assert tracemalloc.get_traced_memory()[1] < 2 * micrograph.pixels.nbytes
    tracemalloc.stop()


class TestWavelength:
    def proposed(self, *waves, names=()):
        micrograph = Micrograph(
            np.zeros((len(waves), 4, 4), np.uint8), "CYX", emission_nm=waves, channel_names=names
        )
        return propose_channel(micrograph)

    def test_blue_light_decides_where_no_name_does(self):
        index, why = self.proposed(525.0, 461.0, 603.0, names=("a", "b", "c"))
        assert index == 1
        assert why == "Channel 2 shows 461 nm, the light of DAPI and Hoechst."

    def test_a_name_is_surer(self):
        assert self.proposed(461.0, 700.0, names=("CFP", "DRAQ5"))[0] == 1

    @pytest.mark.parametrize("waves", [(450.0, 460.0), (None, 525.0), (480.0, 600.0)])
    def test_two_blue_channels_or_none_decide_nothing(self, waves):
        assert "light of" not in self.proposed(*waves)[1]


class TestMerging:
    pixels = np.array([[[1, 8]], [[6, 2]], [[5, 5]]], np.uint16)
    channels = Micrograph(pixels, "CYX", channel_names=("actin", "DAPI", "noise"))

    @pytest.mark.parametrize(
        ("how", "channel", "expected", "name"),
        [
            ("max", None, [[6, 8]], "actin + DAPI + noise"),
            ("mean", None, [[4, 5]], "actin + DAPI + noise"),
            ("max", "dapi,3", [[6, 5]], "DAPI + noise"),
            ("mean", "1, 2", [[3.5, 5]], "actin + DAPI"),
            ("max", "2,2", [[6, 2]], "DAPI"),
            ("max", 1, [[1, 8]], "actin"),
        ],
    )
    def test_all_or_some_are_put_together(self, how, channel, expected, name):
        merged, (said,) = choose_pixels(self.channels, channel, merge=how)
        assert merged.axes == "YX"
        np.testing.assert_array_equal(merged.pixels, expected)
        assert merged.channel_names == (name,)
        assert said == f"Channels put together ({how}): {name}."

    def test_colours_are_channels_too(self, stained):
        merged, _ = choose_pixels(stained[0], "red,blue", merge="max")
        np.testing.assert_array_equal(merged.pixels, stained[0].pixels[..., [0, 2]].max(axis=-1))

    def test_grey_stays_as_it_is(self, fluorescence):
        assert choose_pixels(fluorescence[0], merge="max")[0] is fluorescence[0]

    def test_a_channel_that_is_not_there_lists_those_that_are(self):
        with pytest.raises(SettingError, match=r"no channel GFP.*1 \(actin\), 2 \(DAPI\)"):
            choose_pixels(self.channels, "DAPI,GFP", merge="max")
