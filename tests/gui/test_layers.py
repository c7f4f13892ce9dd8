"""Arrays out of layers, whatever they are; where a result lies on its image."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.gui.layers import (
    component_count,
    component_names,
    is_guessed,
    kind_of,
    layer_of,
    pixel_size_um,
    placement,
    plane_of,
    read_layer,
)
from napari_nucleiseg.micrograph import Micrograph

GREY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)


def loaded(layer, plane=()):
    found = read_layer(layer, kind_of(layer), plane)
    return found() if callable(found) else found


@pytest.mark.parametrize(
    ("shape", "settings", "kind"),
    [
        ((20, 30), {}, "grey"),
        ((20, 30, 3), {"rgb": True}, "colour"),
        ((20, 30, 4), {"rgb": True}, "colour"),
        ((2, 20, 30), {}, "channels"),
        ((12, 20, 30), {}, "stack"),
        ((12, 20, 30), {"axis_labels": ("c", "y", "x")}, "channels"),
        ((2, 20, 30), {"axis_labels": ("z", "y", "x")}, "stack"),
        ((12, 20, 30), {"metadata": {"nucleiseg_micrograph": {"axes": "CYX"}}}, "channels"),
        ((5, 2, 20, 30), {}, "stack"),
        ((5, 20, 30, 3), {"rgb": True}, "stack"),
    ],
)
def test_what_a_layer_is_taken_for(shape, settings, kind):
    layer = Image(np.zeros(shape, np.uint8), **settings)
    assert kind_of(layer) == kind
    plane = plane_of(layer, (1,) * len(shape)) if kind == "stack" else ()
    micrograph = loaded(layer, plane)
    assert micrograph.shape == (20, 30)


def test_more_than_8_bits_shown_as_colour_are_channels():
    layer = Image(np.zeros((20, 30, 3), np.uint16), rgb=True)
    assert kind_of(layer) == "channels"
    assert loaded(layer).axes == "CYX"
    assert loaded(layer).pixels.shape == (3, 20, 30)


def test_opacity_is_no_colour():
    assert loaded(Image(np.zeros((20, 30, 4), np.uint8), rgb=True)).pixels.shape == (20, 30, 3)


def test_of_a_pyramid_the_finest_level_counts():
    layer = Image([GREY, GREY[::2, ::2]], multiscale=True)
    assert np.array_equal(loaded(layer).pixels, GREY)
    assert component_count(layer) == 1


def test_pixels_that_have_to_be_computed_are_left_to_the_job():
    computed = []

    def compute(block):
        computed.append(1)
        return block

    lazy = dask.array.from_array(GREY, chunks=10).map_blocks(compute, dtype=GREY.dtype)
    layer = Image(lazy, contrast_limits=(0, 600))
    computed.clear()
    load = read_layer(layer, "grey")
    assert computed == []
    assert np.array_equal(load().pixels, GREY)


def test_a_file_behind_the_pixels_is_read_by_the_job(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    assert callable(read_layer(Image(np.load(tmp_path / "a.npy", mmap_mode="r")), "grey"))


def test_pixels_in_memory_are_copied():
    layer = Image(GREY.copy())
    micrograph = read_layer(layer, "grey")
    layer.data[:] = 0
    assert np.array_equal(micrograph.pixels, GREY)


def test_black_and_white_becomes_numbers():
    assert loaded(Image(GREY > 100)).pixels.dtype == np.uint8


def test_complex_numbers_are_refused_in_words():
    layer = Image(np.zeros((20, 30), np.uint8), name="spectrum")

    class Spectrum:
        shape, dtype, ndim = (20, 30), np.dtype(complex), 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_nucleiseg.gui.layers.level_of", lambda layer: Spectrum())
        with pytest.raises(NucleisegError, match="spectrum holds complex numbers"):
            read_layer(layer, "grey")


def test_names_of_channels_come_from_the_file():
    micrograph = Micrograph(
        np.zeros((2, 20, 30), np.uint8), "CYX", (0.5, 0.5), ("DAPI", "GFP"), "a"
    )
    data, settings, _ = layer_of(micrograph)
    layer = Image(data, **settings)
    assert component_names(layer) == ("DAPI", "GFP")
    assert not is_guessed(layer)
    again = loaded(layer)
    assert again.channels == ("DAPI", "GFP")
    assert again.pixel_size_um == (0.5, 0.5)
    assert tuple(layer.scale) == (1, 0.5, 0.5)


def test_a_dim_micrograph_is_shown_bright(fluorescence):
    micrograph, _ = fluorescence
    dim = Micrograph((micrograph.pixels // 4).astype(np.uint16), "YX")
    layer = Image(layer_of(dim)[0], **layer_of(dim)[1])
    assert layer.contrast_limits[1] < 255 / 4 + 1


@pytest.mark.parametrize(
    ("units", "size"),
    [(("um", "um"), (0.2, 0.4)), (("nm", "nm"), (0.0002, 0.0004)), (("pixel",) * 2, None)],
)
def test_pixel_size_comes_from_scale_and_units(units, size):
    found = pixel_size_um(Image(GREY, scale=(0.2, 0.4), units=units))
    assert found == (None if size is None else pytest.approx(size))


@pytest.mark.parametrize(
    "settings",
    [
        {"scale": (0.2, 0.3), "translate": (5, -3), "units": ("um", "um")},
        {"rotate": 30, "translate": (1, 2)},
        {"shear": [0.4]},
        {"scale": (2, 3), "rotate": 20, "shear": np.array([[1, 0], [0.3, 1]])},
        {"affine": [[1, 0.2, 3], [0.1, 2, 4], [0, 0, 1]]},
    ],
)
def test_a_result_lies_on_its_image(settings):
    image = Image(GREY, **settings)
    result = Labels(np.zeros(GREY.shape, int), **placement(image))
    for corner in ((0, 0), (19, 0), (7, 29)):
        assert result.data_to_world(corner) == pytest.approx(image.data_to_world(corner))
    assert result.units == image.units


@pytest.mark.parametrize("count", [2, 12])
def test_the_first_axis_of_an_image_moves_no_result(count):
    image = Image(
        np.zeros((count, 20, 30)),
        scale=(0.5, 0.2, 0.3),
        translate=(9, 5, -3),
        units=("pixel", "um", "um"),
    )
    result = Labels(np.zeros(GREY.shape, int), **placement(image))
    assert result.data_to_world((7, 29)) == pytest.approx(image.data_to_world((0, 7, 29))[1:])
    assert result.units == image.units[1:]
