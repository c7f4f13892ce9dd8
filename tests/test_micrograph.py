from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg.errors import SettingError, ShapeError
from napari_nucleiseg.micrograph import Micrograph

TWO = Micrograph(
    np.arange(24).reshape(2, 3, 4), "CYX", (0.5, 0.25), channel_names=("Actin", "DAPI"), name="a"
)


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        ((4, 4, 4), "YZX", "must be YX, CYX or YXS"),
        ((4, 4), "CYX", "2 dimensions"),
        ((4, 4, 4), "YXS", "4 colour components"),
        ((0, 4), "YX", "no pixels"),
    ],
)
def test_axes_must_fit_the_pixels(shape, axes, words):
    with pytest.raises(ShapeError, match=words):
        Micrograph(np.zeros(shape), axes)


@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 4), "YX"), ((2, 3, 4), "CYX"), ((3, 4, 3), "YXS")]
)
def test_shape_is_height_and_width(shape, axes):
    micrograph = Micrograph(np.zeros(shape), axes)
    assert micrograph.shape == (3, 4)
    assert micrograph.is_colour == (axes == "YXS")


@pytest.mark.parametrize("which", ["DAPI", "dapi", " Dapi ", 2, "2"])
def test_a_channel_by_name_or_number(which):
    channel = TWO.channel(which)
    assert (channel.axes, channel.channel_names, channel.name) == ("YX", ("DAPI",), "a")
    assert channel.pixel_size_um == (0.5, 0.25)
    np.testing.assert_array_equal(channel.pixels, TWO.pixels[1])


@pytest.mark.parametrize("which", ["GFP", 0, 3, "-1", ""])
def test_an_unknown_channel_lists_the_known_ones(which):
    with pytest.raises(SettingError, match=r"Channels: 1 \(Actin\), 2 \(DAPI\)"):
        TWO.channel(which)


def test_channels_without_names_are_numbered():
    micrograph = Micrograph(np.zeros((3, 2, 2)), "CYX")
    assert micrograph.channels == ("1", "2", "3")
    assert micrograph.channel(3).shape == (2, 2)


def test_colours_are_channels_too_and_grey_is_its_only_one(stained, fluorescence):
    np.testing.assert_array_equal(stained[0].channel("blue").pixels, stained[0].pixels[..., 2])
    assert fluorescence[0].channel(1) is fluorescence[0]
    with pytest.raises(SettingError, match="has no channel 2"):
        fluorescence[0].channel(2)
