from __future__ import annotations

import logging
import struct
import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg.channels import propose_channel
from napari_nucleiseg.errors import FileError, NucleisegError, ShapeError
from napari_nucleiseg.io import read_labels, read_micrograph


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.tif"


def _write(path, pixels, **options):
    tifffile.imwrite(path, pixels, **options)
    return read_micrograph(path)


GREY = {
    "big-endian deflate": {"byteorder": ">", "compression": "zlib"},
    "tiled lzw": {"tile": (64, 64), "compression": "lzw"},
    "bigtiff": {"bigtiff": True},
    "packbits strips": {"rowsperstrip": 7, "compression": "packbits"},
    "predictor": {"compression": "lzw", "predictor": True},
}


@pytest.mark.parametrize("options", GREY.values(), ids=GREY)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i1", "f4", "f2"])
def test_all_numbers_survive(path, fluorescence, dtype, options):
    if dtype == "f2" and "predictor" in options:
        pytest.skip("tifffile does not write it")
    pixels = fluorescence[0].pixels.astype(float) - (100 if dtype[0] in "if" else 0)
    pixels = np.clip(pixels, -128, 127).astype(dtype) if dtype == "i1" else pixels.astype(dtype)
    read = _write(path, pixels, photometric="minisblack", **options)
    assert (read.axes, read.pixels.dtype, read.pixels.dtype.isnative) == ("YX", dtype, True)
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.pixel_size_um is None
    assert read.notices == ()


def test_twelve_packed_bits_equal_twelve_in_sixteen(tmp_path, fluorescence):
    pixels = fluorescence[0].pixels.astype(np.uint16) * 16
    first, second = pixels[:, ::2].astype(np.uint32), pixels[:, 1::2].astype(np.uint32)
    three = first << 12 | second
    packed = np.stack([three >> 16, three >> 8 & 255, three & 255], -1).astype(np.uint8).tobytes()
    height, width = pixels.shape
    tags = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, 12),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(packed)),
    ]
    with (tmp_path / "a.tif").open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed)
        file.write(struct.pack("<H", len(tags)))
        for code, kind, value in tags:
            file.write(struct.pack("<HHII", code, kind, 1, value))
        file.write(struct.pack("<I", 0))
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.tif").pixels, pixels)


def test_one_bit_has_the_polarity_of_the_display(tmp_path, fluorescence):
    mask = fluorescence[1] > 0
    for photometric in ("minisblack", "miniswhite"):
        stored = ~mask if photometric == "miniswhite" else mask
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, metadata=None)
        read = read_micrograph(tmp_path / "a.tif")
        np.testing.assert_array_equal(read.pixels.astype(bool), mask)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif").image > 0, mask)


def test_a_boolean_array_that_tifffile_wrote_is_a_mask_as_it_was(path, fluorescence):
    mask = fluorescence[1] > 0
    tifffile.imwrite(path, mask)  # tagged white-is-zero
    np.testing.assert_array_equal(read_labels(path).image > 0, mask)


def test_one_bit_tiles(path, fluorescence):
    mask = fluorescence[1][:51, :37] > 0
    read = _write(path, mask, tile=(16, 16), photometric="minisblack")
    np.testing.assert_array_equal(read.pixels, mask)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_as_zero_is_inverted_for_intensities_and_kept_for_labels(path, fluorescence, dtype):
    pixels = fluorescence[1].astype(dtype)
    read = _write(path, pixels, photometric="miniswhite")
    np.testing.assert_array_equal(read.pixels, np.iinfo(dtype).max - pixels)
    assert "inverted" in read.notices[0]
    np.testing.assert_array_equal(read_labels(path).image, fluorescence[1])


def test_planar_rgb_is_one_colour_picture(path, stained):
    planes = np.moveaxis(stained[0].pixels, -1, 0)
    read = _write(path, planes, photometric="rgb", planarconfig="separate", compression="lzw")
    assert (read.axes, read.notices) == ("YXS", ())
    np.testing.assert_array_equal(read.pixels, stained[0].pixels)


def test_jpeg_tiles_of_an_ome_tiff_have_their_colours_and_scale(path, stained):
    read = _write(
        path,
        stained[0].pixels,
        ome=True,
        photometric="rgb",
        tile=(64, 64),
        compression="jpeg",
        compressionargs={"level": 95},
        metadata={"PhysicalSizeX": 500.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5},
    )
    assert (read.axes, read.pixel_size_um) == ("YXS", (0.5, 0.5))
    assert np.abs(read.pixels.astype(int) - stained[0].pixels).mean() < 8
    with pytest.raises(FileError, match="changes the numbers"):
        read_labels(path)


def test_a_palette_is_colours_and_a_lookup_table_is_not(path, fluorescence):
    pixels = fluorescence[0].pixels
    scrambled = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    read = _write(path, pixels, photometric="palette", colormap=scrambled)
    assert read.is_colour
    np.testing.assert_array_equal(read.pixels, (scrambled >> 8).T[pixels])
    blue = np.zeros((3, 256), np.uint8)
    blue[2] = np.arange(256)
    read = _write(path, pixels, imagej=True, colormap=blue.astype(np.uint16) * 257)
    assert read.axes == "YX"
    np.testing.assert_array_equal(read.pixels, pixels)


def test_cmyk_is_converted_and_said(path):
    inks = np.zeros((2, 2, 4), np.uint8)
    inks[0, 0] = 255, 0, 0, 0
    inks[1, 1, 3] = 255
    read = _write(path, inks, photometric="separated")
    assert read.pixels.tolist() == [
        [[0, 255, 255], [255, 255, 255]],
        [[255, 255, 255], [0, 0, 0]],
    ]
    assert "CMYK" in read.notices[0]


def test_other_colour_spaces_are_refused(path, stained):
    tifffile.imwrite(path, stained[0].pixels, photometric="cielab")
    with pytest.raises(FileError, match=r"CIELAB.*Save it again as RGB"):
        read_micrograph(path)


def test_16_bit_rgb_is_channels_and_can_be_overridden(path, fluorescence):
    grey = fluorescence[0].pixels.astype(np.uint16) * 16
    noise = np.random.default_rng(0).integers(0, 4096, grey.shape).astype(np.uint16)
    pixels = np.dstack([noise, noise.T, grey])
    read = _write(path, pixels, photometric="rgb")
    assert read.axes == "CYX"
    assert propose_channel(read)[0] == 2
    np.testing.assert_array_equal(read.channel(3).pixels, grey)
    assert "taken as channels" in read.notices[0]
    as_colour = read_micrograph(path, colour="colour")
    assert (as_colour.axes, as_colour.notices) == ("YXS", ())


def test_8_bit_rgb_is_colour_and_can_be_overridden(path, stained):
    read = _write(path, stained[0].pixels, photometric="rgb")
    assert (read.axes, read.notices) == ("YXS", ())
    channels = read_micrograph(path, colour="channels")
    assert (channels.axes, channels.channel_names) == ("CYX", ("red", "green", "blue"))
    np.testing.assert_array_equal(channels.channel("green").pixels, stained[0].pixels[..., 1])


def test_equal_red_green_blue_is_grey(path, fluorescence):
    read = _write(path, np.dstack([fluorescence[0].pixels] * 3), photometric="rgb")
    assert read.axes == "YX"
    assert "equal" in read.notices[0]
    assert read_micrograph(path, colour="colour").is_colour


def test_transparency_is_dropped_and_said_if_it_varies(path, stained):
    alpha = np.full(stained[0].shape, 255, np.uint8)
    pixels = np.dstack([stained[0].pixels, alpha])
    read = _write(path, pixels, photometric="rgb", extrasamples=["unassalpha"])
    assert (read.axes, read.notices) == ("YXS", ())
    pixels[0, 0, 3] = 0
    read = _write(path, pixels, photometric="rgb", extrasamples=["unassalpha"])
    assert read.axes == "YXS"
    assert "transparency" in read.notices[0]


def test_imagej_composite_is_channels_with_its_labels(path, fluorescence):
    pixels = np.stack([fluorescence[0].pixels.T, fluorescence[0].pixels])
    read = _write(
        path,
        pixels,
        imagej=True,
        resolution=(5, 4),
        metadata={"axes": "CYX", "mode": "composite", "unit": "um", "Labels": ["actin", "DAPI"]},
    )
    assert (read.axes, read.channel_names) == ("CYX", ("actin", "DAPI"))
    assert read.pixel_size_um == (0.25, 0.2)
    np.testing.assert_array_equal(read.channel("dapi").pixels, fluorescence[0].pixels)
    assert read.notices == ()


def test_imagej_composite_without_a_channel_axis(path):
    pixels = np.arange(2 * 5 * 7, dtype=np.uint16).reshape(2, 5, 7)
    description = "ImageJ=1.54f\nimages=2\nmode=composite\n"
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None, description=description)
    read = read_micrograph(path)
    assert read.axes == "CYX"
    np.testing.assert_array_equal(read.pixels, pixels)


@pytest.mark.parametrize(
    ("unit", "per_unit", "um"),
    [
        ("micron", 5, 0.2),
        ("\\u00B5m", 5, 0.2),
        ("nm", 0.005, 0.2),
        ("mm", 5000, 0.2),
        ("pixel", 1, None),
    ],
)
def test_imagej_units(path, fluorescence, unit, per_unit, um):
    pixels = fluorescence[0].pixels
    tifffile.imwrite(
        path, pixels, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit}
    )
    size = read_micrograph(path).pixel_size_um
    assert size == (pytest.approx((um, um)) if um else None)


@pytest.mark.parametrize(("unit", "factor"), [("µm", 1), ("nm", 1e3), ("mm", 1e-3), ("Å", 1e4)])
def test_ome_units_and_channel_names(path, fluorescence, unit, factor):
    pixels = np.stack([fluorescence[0].pixels] * 2).view(np.int8)
    read = _write(
        path,
        pixels,
        ome=True,
        byteorder=">",
        metadata={
            "axes": "CYX",
            "Channel": {"Name": ["GFP", "Hoechst"]},
            "PhysicalSizeX": 0.3 * factor,
            "PhysicalSizeXUnit": unit,
            "PhysicalSizeY": 0.2 * factor,
            "PhysicalSizeYUnit": unit,
        },
    )
    assert read.pixel_size_um == pytest.approx((0.2, 0.3))
    assert read.channel_names == ("GFP", "Hoechst")
    np.testing.assert_array_equal(read.pixels, pixels)
    assert propose_channel(read)[0] == 1


@pytest.mark.parametrize(
    ("dots", "unit", "um"),
    [
        (50_000, "CENTIMETER", 0.2),
        (28.35, "CENTIMETER", None),  # 72 dpi
        (118.11, "CENTIMETER", None),  # 300 dpi
        (300, "INCH", None),
        (72, "INCH", None),
        (1, "NONE", None),
    ],
)
def test_plain_resolution_is_taken_only_where_it_can_be_a_microscopes(
    path, fluorescence, dots, unit, um
):
    read = _write(
        path, fluorescence[0].pixels, resolution=(dots, dots), resolutionunit=unit, metadata=None
    )
    assert read.pixel_size_um == (pytest.approx((um, um)) if um else None)
    assert len(read.notices) == (um is not None)


def test_a_pyramid_is_read_at_full_resolution(path, fluorescence):
    pixels = fluorescence[0].pixels
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(pixels, subifds=2, tile=(64, 64), metadata={"axes": "YX", "PhysicalSizeX": 1.0})
        tif.write(pixels[::2, ::2], subfiletype=1, tile=(64, 64))
        tif.write(pixels[::4, ::4], subfiletype=1, tile=(64, 64))
    read = read_micrograph(path)
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.notices == ()


def test_further_pictures_are_mentioned(path, fluorescence):
    pixels = fluorescence[0].pixels
    with tifffile.TiffWriter(path) as tif:
        tif.write(pixels, metadata=None)
        tif.write(pixels[::8, ::8], metadata=None)
    assert read_micrograph(path).notices == ()  # a thumbnail
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(pixels)
        tif.write(pixels.T)
    assert read_micrograph(path).notices == ("The file holds 2 pictures; the first was read.",)


@pytest.mark.parametrize(
    ("shape", "dtype", "options"),
    [
        ((3, 30, 40), "u1", {"photometric": "minisblack", "metadata": None}),
        ((5, 30, 40), "u2", {"photometric": "minisblack"}),
        ((30, 40, 2), "u2", {"photometric": "minisblack"}),
    ],
)
def test_few_unnamed_planes_are_channels_and_said(path, shape, dtype, options):
    pixels = (np.arange(np.prod(shape)) % 251).astype(dtype).reshape(shape)
    read = _write(path, pixels, **options)
    assert read.axes == "CYX"
    assert read.pixels.shape[1:] == (30, 40)
    assert "taken as channels" in read.notices[0]


STACKS = {
    "z of ImageJ": ((9, 30, 40), {"imagej": True, "metadata": {"axes": "ZYX"}}, "9 focal planes"),
    "3 z of ImageJ": ((3, 30, 40), {"imagej": True, "metadata": {"axes": "ZYX"}}, "3 focal planes"),
    "t of OME": ((9, 30, 40), {"ome": True, "metadata": {"axes": "TYX"}}, "9 time points"),
    "channels and z": (
        (2, 3, 30, 40),
        {"ome": True, "metadata": {"axes": "CZYX"}},
        "2 channels, 3 focal planes",
    ),
    "unnamed": ((20, 30, 40), {"photometric": "minisblack"}, "20 planes"),
}


@pytest.mark.parametrize(("shape", "options", "found"), STACKS.values(), ids=STACKS)
def test_a_stack_is_refused_in_words(path, shape, options, found):
    tifffile.imwrite(path, np.zeros(shape, np.uint8), **options)
    with pytest.raises(
        ShapeError, match=rf"one plane is expected: a\.tif has {found}\. Choose the plane"
    ):
        read_micrograph(path)


def test_axes_of_length_one_do_not_matter(path):
    pixels = np.arange(80, dtype=np.uint16).reshape(1, 1, 2, 1, 40)
    read = _write(path, pixels, ome=True, metadata={"axes": "TZCYX"})
    assert read.axes == "CYX"
    np.testing.assert_array_equal(read.pixels, pixels[0, 0])


def test_one_plane_of_a_split_set_is_read_and_said(path, fluorescence):
    description = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:0"/></OME>'
    )
    read = _write(path, fluorescence[0].pixels, description=description, metadata=None)
    assert "one of a set" in read.notices[0]
    np.testing.assert_array_equal(read.pixels, fluorescence[0].pixels)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (1, 50), (50, 1)])
def test_extreme_sizes(path, shape):
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    np.testing.assert_array_equal(_write(path, pixels).pixels, pixels)


def test_nan_and_infinity_are_read_as_they_are(path):
    pixels = np.array([[np.nan, 1], [np.inf, -np.inf]], np.float32)
    np.testing.assert_array_equal(_write(path, pixels).pixels, pixels)


def test_complex_numbers_are_refused(path):
    tifffile.imwrite(path, np.zeros((4, 4), np.complex64))
    with pytest.raises(NucleisegError, match="whole or real numbers"):
        read_micrograph(path)


def _rewrite_tag(path, code, value):
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags[code].overwrite(value)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_a_header_that_lies_is_refused_at_once(path, compression):
    tifffile.imwrite(path, np.zeros((8, 8), np.uint16), compression=compression, metadata=None)
    for code in (256, 257, 278):
        _rewrite_tag(path, code, 60_000)
    tracemalloc.start()
    with pytest.raises(FileError, match=r"a\.tif"):
        read_micrograph(path)
    # not the 7 GB it claims to hold
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("missing", ["offset", "count"])
def test_a_missing_tile_is_not_taken_as_black(path, fluorescence, missing):
    tifffile.imwrite(path, fluorescence[0].pixels, tile=(64, 64), compression="zlib")
    code = 324 if missing == "offset" else 325
    with tifffile.TiffFile(path) as tif:
        values = list(tif.pages[0].tags[code].value)
    values[5] = 0
    _rewrite_tag(path, code, values)
    with pytest.raises(FileError, match="1 of 36 strips or tiles are missing"):
        read_micrograph(path)


def test_a_broken_jpeg_tile_is_refused(path, stained):
    tifffile.imwrite(path, stained[0].pixels, tile=(64, 64), compression="jpeg")
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[0].dataoffsets[3]
    data = bytearray(path.read_bytes())
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"a\.tif"):
        read_micrograph(path)


def test_an_unknown_compression_is_named(path):
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), compression="zlib")
    _rewrite_tag(path, 259, 52479)
    with pytest.raises(FileError, match="compression 52479"):
        read_micrograph(path)


def test_nothing_is_logged_to_the_user(path, fluorescence, caplog):
    tifffile.imwrite(path, fluorescence[0].pixels, extratags=[(65000, 2, 8, b"private\0", True)])
    data = path.read_bytes()
    entry = data.index(struct.pack("<HH", 65000, 2))
    path.write_bytes(data[: entry + 8] + struct.pack("<I", 2**31) + data[entry + 12 :])
    with caplog.at_level(logging.DEBUG):
        read = read_micrograph(path)  # a broken private tag does no harm
    np.testing.assert_array_equal(read.pixels, fluorescence[0].pixels)
    assert caplog.records == []


def test_what_pillow_writes_is_read(tmp_path, stained):
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        Image.fromarray(stained[0].pixels).save(tmp_path / "a.tif", compression=compression)
        read = read_micrograph(tmp_path / "a.tif")
        np.testing.assert_array_equal(read.pixels, stained[0].pixels)
