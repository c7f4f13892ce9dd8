from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_nucleiseg import finding, segmentation
from napari_nucleiseg.channels import choose_pixels
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.engine import Engine
from napari_nucleiseg.errors import NucleisegError, SettingError
from napari_nucleiseg.events import Decoding, DeviceChosen, Notice, Segmented, TileDone
from napari_nucleiseg.metrics.average_precision import average_precision
from napari_nucleiseg.metrics.dice import dice
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import SAMPLES, read_sample
from napari_nucleiseg.segmentation import segment, segment_now

CPU = SegmentConfig(device="cpu")


def best_iou(truth, found):
    """Best IoU of each true nucleus."""
    result = []
    for number in np.unique(truth[truth > 0]):
        mask = truth == number
        ious = [
            (mask & (found == f)).sum() / (mask | (found == f)).sum()
            for f in np.unique(found[mask])
            if f
        ]
        result.append(max(ious, default=0.0))
    return np.array(result)


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_finds_the_nuclei_of_the_samples(sample):
    micrograph, truth = read_sample(sample)
    found = segment_now(micrograph, CPU)
    least = {"fluorescence": (0.9, 0.8), "stained": (0.75, 0.5), "brightfield": (0.5, 0.2)}[sample]
    assert dice(truth, found.labels) > least[0]
    assert average_precision(truth, found.labels, [0.5])[0] > least[1]
    assert found.count == found.labels.max()


def test_events_come_in_order_and_the_manifest_repeats_the_result(fluorescence):
    events = list(segment(fluorescence[0], CPU))
    assert [type(e) for e in events] == [DeviceChosen, TileDone, Decoding, Segmented]
    last = events[-1]
    again = SegmentConfig.model_validate(last.manifest["config"])
    assert np.array_equal(segment_now(fluorescence[0], again).labels, last.labels)
    assert last.manifest["model"]["name"] == "nuclei"
    assert last.manifest["nuclei"] == last.count


@pytest.mark.parametrize(
    "convert",
    [
        lambda p: p.astype(np.uint16) * 257,
        lambda p: p.astype(np.uint16) * 16 + 32768,
        lambda p: (p.astype(np.int16) - 128).astype(np.int8),
        lambda p: p.astype(np.float32) / 255,
        lambda p: p.astype(np.float64) * 1e6,
    ],
)
def test_depth_and_offset_do_not_change_the_count(fluorescence, convert):
    micrograph, _ = fluorescence
    expected = segment_now(micrograph, CPU).count
    found = segment_now(replace(micrograph, pixels=convert(micrograph.pixels)), CPU).count
    assert abs(found - expected) <= max(1, 0.05 * expected)


@pytest.mark.parametrize("value", [0, 65_535])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (100, 100)])
def test_a_flat_image_gives_zero_nuclei(shape, value):
    result = segment_now(Micrograph(np.full(shape, value, np.uint16), "YX"), CPU)
    assert result.count == 0
    assert result.labels.shape == shape


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["fine", "coarse", "shot"])
def test_noise_gives_zero_nuclei(kind, seed):
    rng = np.random.default_rng(seed)
    field = 300 + 20 * rng.standard_normal((512, 512))
    if kind == "coarse":
        field = 300 + 20 * ndimage.gaussian_filter(rng.standard_normal((512, 512)), 1.5) * 5
    if kind == "shot":
        field = rng.poisson(5, (512, 512)).astype(float)
    assert segment_now(Micrograph(field.astype(np.uint16), "YX"), CPU).count <= 1


def sparse_field(micrograph, truth, numbers, size=1024, dim=1.0):
    """Some nuclei of a micrograph in a large field of its own background noise."""
    pixels = micrograph.pixels.astype(np.float32)
    background = pixels[ndimage.binary_dilation(truth > 0, iterations=8) == 0]
    rng = np.random.default_rng(0)
    field = rng.choice(background, (size, size)).astype(np.float32)
    level = np.median(background)
    labels = np.zeros((size, size), np.int32)
    for i, number in enumerate(numbers, 1):
        y, x = ndimage.find_objects(truth)[number - 1]
        mask = truth[y, x] == number
        at = (300 * i, 250 * i)
        place = (slice(at[0], at[0] + mask.shape[0]), slice(at[1], at[1] + mask.shape[1]))
        field[place][mask] = (pixels[y, x][mask] - level) * dim + level
        labels[place][mask] = i
    return replace(micrograph, pixels=field), labels


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1.0, 0.5])
def test_few_nuclei_in_a_large_dark_field_are_found_and_nothing_else(fluorescence, dim):
    micrograph, truth = fluorescence
    inner = ndimage.find_objects(truth)
    away = [
        n
        for n, (y, x) in enumerate(inner, 1)
        if y.start > 0 and x.start > 0 and y.stop < truth.shape[0] and x.stop < truth.shape[1]
    ]
    field, labels = sparse_field(micrograph, truth, away[:2], dim=dim)
    result = segment_now(field, CPU)
    assert (best_iou(labels, result.labels) > 0.7).all()
    assert result.count <= 3


@pytest.mark.slow
def test_dim_nuclei_beside_bright_ones_are_found(fluorescence):
    micrograph, truth = fluorescence
    pixels = micrograph.pixels.astype(np.float32)
    level = np.median(pixels[truth == 0])
    dim = np.isin(truth, np.unique(truth[truth > 0])[::2])
    pixels[dim] = level + 0.3 * (pixels[dim] - level)
    found = segment_now(replace(micrograph, pixels=pixels), CPU)
    inner = np.where(dim, truth, 0)
    assert np.median(best_iou(inner, found.labels)) > 0.7


@pytest.mark.parametrize("extra", [0, 1, 3])
def test_grey_colour_and_many_channels_all_suit_the_bundled_model(stained, fluorescence, extra):
    colour, _ = stained
    grey, truth = fluorescence
    if not extra:
        assert segment_now(colour, CPU).count > 10
        return
    others = np.random.default_rng(0).integers(0, 9, (extra, *grey.shape), np.uint8)
    many = Micrograph(np.concatenate((others, grey.pixels[None])), "CYX")
    events = list(segment(many, CPU))
    assert any(f"channel {extra + 1}" in e.text for e in events if isinstance(e, Notice))
    assert dice(truth, events[-1].labels) > 0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_not_numbers_are_background_and_said(fluorescence, bad):
    micrograph, _ = fluorescence
    pixels = micrograph.pixels.astype(np.float32)
    pixels[:60, :60] = bad
    events = list(segment(replace(micrograph, pixels=pixels), CPU))
    assert any("not numbers" in e.text for e in events if isinstance(e, Notice))
    clean = segment_now(micrograph, CPU).labels
    inner = np.s_[100:, 100:]
    assert dice(clean[inner], events[-1].labels[inner]) > 0.97
    assert not events[-1].labels[5:50, 5:50].any()


def test_an_image_without_any_number_is_said_to_be_so():
    events = list(segment(Micrograph(np.full((40, 50), np.nan, np.float32), "YX", name="a"), CPU))
    said = [e.text for e in events if isinstance(e, Notice)]
    assert said[-1] == "a is empty: none of its pixels is a number"
    assert not any("count as dark" in text for text in said)
    assert events[-1].count == 0


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["fluorescence", "stained"])
def test_no_seams(sample):
    micrograph, _ = read_sample(sample)
    reps = (4, 4) + (1,) * (micrograph.pixels.ndim - 2)
    mosaic = replace(micrograph, pixels=np.tile(micrograph.pixels, reps))
    small = segment_now(mosaic, CPU.model_copy(update={"tile_px": 512}))
    whole = segment_now(mosaic, CPU.model_copy(update={"tile_px": 4096}))
    assert abs(small.count - whole.count) <= 0.005 * whole.count + 1
    ious = best_iou(whole.labels, small.labels)
    assert (ious > 0.95).mean() > 0.99


def test_cancel_waits_for_one_tile_at_most(fluorescence):
    micrograph, _ = fluorescence
    mosaic = replace(micrograph, pixels=np.tile(micrograph.pixels, (2, 2)))
    config = CPU.model_copy(update={"tile_px": 256, "overlap_px": 64})
    with closing(segment(mosaic, config)) as events:
        tiles = []
        for event in events:
            if isinstance(event, TileDone):
                tiles.append(event)
                if event.done == 2:
                    break
    assert len(tiles) == 2
    assert tiles[0].total > 4


@pytest.fixture
def narrow_memory(monkeypatch):
    """An engine on a GPU that can hold 100 x 100 px at a time, and one on the CPU."""

    def build(_, config):
        def predict(tiles):
            if config.device != "cpu" and tiles[0, 0].size * len(tiles) > limit["px"]:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
            return tiles[:, :2] * 0 + 0.9

        return Engine(predict, "cpu" if config.device == "cpu" else "cuda", "fake", "for the test")

    limit = {"px": 0}
    for module in (segmentation, finding):
        monkeypatch.setattr(module, "build_engine", build)
    return limit


def test_out_of_memory_takes_fewer_and_smaller_tiles(fluorescence, narrow_memory):
    narrow_memory["px"] = 256 * 256
    events = list(segment(fluorescence[0], SegmentConfig(batch_size=4, tile_px=320)))
    texts = [e.text for e in events if isinstance(e, Notice)]
    assert any("2 tiles at a time" in t for t in texts)
    assert any("tiles of" in t for t in texts)
    assert events[-1].manifest["device"] == "cuda"
    assert events[-1].count == 1


def test_out_of_memory_goes_on_on_the_cpu_at_last(fluorescence, narrow_memory):
    narrow_memory["px"] = 10
    events = list(segment(fluorescence[0], SegmentConfig()))
    assert any("going on on the CPU" in e.text for e in events if isinstance(e, Notice))
    assert events[-1].manifest["device"] == "cpu"
    assert events[-1].count == 1


def test_other_failures_of_the_network_are_not_taken_for_memory(fluorescence, monkeypatch):
    def build(*_):
        def predict(_):
            raise RuntimeError("shapes differ")

        return Engine(predict, "cpu", "fake", "for the test")

    for module in (segmentation, finding):
        monkeypatch.setattr(module, "build_engine", build)
    with pytest.raises(RuntimeError, match="shapes differ"):
        segment_now(fluorescence[0], CPU)


def test_no_memory_anywhere_is_said_in_words(fluorescence, monkeypatch):
    def build(*_):
        def predict(_):
            raise MemoryError

        return Engine(predict, "cpu", "fake", "for the test")

    for module in (segmentation, finding):
        monkeypatch.setattr(module, "build_engine", build)
    with pytest.raises(NucleisegError, match="not enough memory"):
        segment_now(fluorescence[0], CPU)


def test_a_channel_by_number_and_by_name_gives_the_same(fluorescence):
    micrograph, _ = fluorescence
    noise = np.random.default_rng(0).integers(0, 9, micrograph.pixels.shape, np.uint8)
    pixels = np.stack((noise, micrograph.pixels))
    both = Micrograph(pixels, "CYX", channel_names=("membrane", "DAPI"), name="two")
    expected = segment_now(micrograph, CPU).labels
    for which in ("2", "dapi", None):
        found = segment_now(both, CPU.model_copy(update={"channel": which}))
        assert np.array_equal(found.labels, expected)
    with pytest.raises(SettingError, match=r"1 \(membrane\), 2 \(DAPI\)"):
        segment_now(both, CPU.model_copy(update={"channel": "3"}))


def test_a_proposed_channel_is_said(fluorescence):
    pixels = np.stack((fluorescence[0].pixels, fluorescence[0].pixels))
    both = Micrograph(pixels, "CYX", channel_names=("DAPI", "actin"))
    chosen, notices = choose_pixels(both)
    assert chosen.channel_names == ("DAPI",)
    assert "channel 1 (DAPI)" in notices[0]


def test_a_grey_picture_stored_as_colour_is_grey(fluorescence):
    micrograph, _ = fluorescence
    colour = Micrograph(np.repeat(micrograph.pixels[..., None], 3, -1), "YXS")
    chosen, _ = choose_pixels(colour)
    assert np.array_equal(chosen.pixels, micrograph.pixels)
    assert choose_pixels(colour, None, "colour")[0].is_colour


def test_colour_and_channels_can_be_switched(stained):
    micrograph, _ = stained
    red, _ = choose_pixels(micrograph, 1, "channels")
    assert red.axes == "YX"
    planes = Micrograph(np.moveaxis(micrograph.pixels, -1, 0), "CYX")
    colour, _ = choose_pixels(planes, None, "colour")
    assert np.array_equal(colour.pixels, micrograph.pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 2000), (33, 31)])
def test_any_size_works(shape):
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    assert segment_now(Micrograph(pixels, "YX"), CPU).labels.shape == shape


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU was found")
@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_gpu_and_cpu_agree(sample):
    micrograph, _ = read_sample(sample)
    gpu = segment_now(micrograph, SegmentConfig(device="cuda"))
    assert gpu.manifest["device"] == "cuda"
    assert average_precision(segment_now(micrograph, CPU).labels, gpu.labels, [0.9])[0] > 0.9


def test_pixels_without_their_meaning_are_refused_with_a_way_on(fluorescence):
    with pytest.raises(TypeError, match=r"takes a Micrograph, not ndarray.*read_micrograph"):
        segment_now(fluorescence[0].pixels)


def test_an_overlap_that_cannot_be_is_said_where_tiles_are_used(fluorescence):
    said = "Tiles overlap by half of their 256 px, not by 160 px"
    for tile, expected in ((256, True), (512, False)):
        events = segment(fluorescence[0], SegmentConfig(tile_px=tile, overlap_px=160))
        texts = [e.text for e in events if isinstance(e, Notice)]
        assert any(said in text for text in texts) == expected


def test_a_network_of_small_tiles_is_no_reason_to_talk_of_settings_nobody_made(fluorescence):
    events = segment(fluorescence[0], SegmentConfig(model="unetr-sgd", device="cpu"))
    assert not [e.text for e in events if isinstance(e, Notice)]
