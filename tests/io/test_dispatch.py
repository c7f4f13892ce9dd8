"""Reading by content, odd names, damage of any kind, and real files where they are at hand.

The real files are looked for in the folder that the environment variable NUCLEISEG_TEST_FILES
names. What each of them shows is also tested with inputs that the tests make, here and in the
files of the formats.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_nucleiseg.channels import propose_channel
from napari_nucleiseg.errors import FileError, NucleisegError, ShapeError
from napari_nucleiseg.io import FORMATS, SUFFIXES, read_labels, read_micrograph
from napari_nucleiseg.micrograph import Micrograph

REAL = Path(os.environ.get("NUCLEISEG_TEST_FILES") or os.devnull)

ODD_NAMES = [
    "two words.png",
    "100%.png",
    "#1.png",
    "клетки.png",
    "細胞核.png",
    unicodedata.normalize("NFD", "Zellkerne für später.png"),
    "UPPER.PNG",
    "no extension",
    "x" * 196 + ".png",
    "a.b.c.png",
    " leading.png",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_will_do(tmp_path, fluorescence, name):
    buffer = io.BytesIO()
    Image.fromarray(fluorescence[0].pixels).save(buffer, format="PNG")
    path = tmp_path / "ü ä" / name
    path.parent.mkdir()
    path.write_bytes(buffer.getvalue())
    for spelled in (path, str(path)):
        read = read_micrograph(spelled)
        np.testing.assert_array_equal(read.pixels, fluorescence[0].pixels)
        assert read.path == path
        assert read.name == (name[:-4] if name.lower().endswith(".png") else name)


def test_the_content_decides_not_the_suffix(tmp_path, fluorescence):
    pixels = fluorescence[0].pixels
    tifffile.imwrite(tmp_path / "really a tiff.png", pixels)
    with (tmp_path / "really a png.tif").open("wb") as file:
        Image.fromarray(pixels).save(file, format="PNG")
    for name in ("really a tiff.png", "really a png.tif"):
        np.testing.assert_array_equal(read_micrograph(tmp_path / name).pixels, pixels)


def test_ome_is_not_part_of_the_name(tmp_path):
    tifffile.imwrite(tmp_path / "Slide.OME.tif", np.zeros((4, 4), np.uint8))
    assert read_micrograph(tmp_path / "Slide.OME.tif").name == "Slide"


NOT_PICTURES = {
    "empty": (b"", "is empty"),
    "text": (b"just some text\n" * 9, "not a picture of a known format"),
    "short": (b"II*\0\x08\0", "damaged or incomplete"),
    "png head": (b"\x89PNG\r\n\x1a\n", "damaged or incomplete"),
    "jpeg head": (b"\xff\xd8\xff\xe0", "damaged or incomplete"),
    "bmp head": (b"BM are two letters", "damaged or incomplete"),
    "npy head": (b"\x93NUMPY\x01\0", "damaged or incomplete"),
    "npy header": (b"\x93NUMPY\x01\0\x0a\0{'descr':(\n", "damaged or incomplete"),
    "ims": (b"\x89HDF\r\n" + bytes(50), "HDF5 or Imaris file cannot be opened yet"),
    "zip": (b"PK\x03\x04" + bytes(50), "ZIP archive cannot be opened yet"),
}


@pytest.mark.parametrize(("content", "words"), NOT_PICTURES.values(), ids=NOT_PICTURES)
@pytest.mark.parametrize("read", [read_micrograph, read_labels])
def test_what_is_not_a_picture_is_named_in_one_line(tmp_path, content, words, read):
    if read is read_labels and content.startswith(b"\xff\xd8"):
        words = "cannot be a label image"
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(FileError, match=words) as caught:
        read(path)
    assert "a.png" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_missing_folder_and_empty_zarr_are_said(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        read_micrograph(tmp_path / "a.png")
    with pytest.raises(FileError, match="not a folder"):
        read_micrograph(tmp_path)
    (tmp_path / "a.ome.zarr").mkdir()
    (tmp_path / "plain name").mkdir()
    (tmp_path / "plain name" / ".zgroup").write_text("{}")
    for name in ("a.ome.zarr", "plain name"):
        for read in (read_micrograph, read_labels):
            with pytest.raises(FileError, match=f"OME-Zarr.*: {name}"):
                read(tmp_path / name)


@pytest.mark.parametrize("name", NOT_PICTURES)
def test_what_decoders_say_to_programmers_stays_in_the_traceback(tmp_path, name):
    content, _ = NOT_PICTURES[name]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_micrograph(path)
    for word in ("unpack", "buffer", "EOF", "chunk", "magic", "Error"):
        assert word not in str(caught.value)


def test_a_text_too_long_for_a_picture_is_not_called_damage(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Comment", "a" * 2_000_000, zip=True)
    Image.new("L", (4, 4)).save(tmp_path / "a.png", pnginfo=texts)
    with pytest.raises(FileError, match=r"text too long for a picture: a\.png\. Save it again"):
        read_micrograph(tmp_path / "a.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_one_may_not_read_is_said(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(FileError, match="cannot be opened"):
        read_micrograph(tmp_path / "a.png")


def test_suffixes_cost_no_heavy_import():
    code = (
        "import sys, napari_nucleiseg.io as io; print(*io.SUFFIXES);"
        "print([m for m in ('torch', 'PIL', 'tifffile', 'imagecodecs', 'skimage', 'qtpy')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    suffixes, heavy = out.stdout.splitlines()
    assert heavy == "[]"
    assert {".png", ".jpg", ".tif", ".tiff", ".bmp", ".npy"} <= set(suffixes.split())


@pytest.mark.parametrize("name", FORMATS.names())
def test_each_format_says_what_it_is(name):
    module = FORMATS.module(name)
    assert all(s.startswith(".") and s == s.lower() and s in SUFFIXES for s in module.SUFFIXES)
    assert module.NAME in FORMATS.description(name)
    assert callable(module.read)


def _bytes(write) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _pillow(pixels: np.ndarray, kind: str, **options) -> bytes:
    return _bytes(lambda file: Image.fromarray(pixels).save(file, format=kind, **options))


def _tifffile(pixels: np.ndarray, **options) -> bytes:
    return _bytes(lambda file: tifffile.imwrite(file, pixels, **options))


_rng = np.random.default_rng(0)
_GREY = _rng.integers(0, 256, (48, 40)).astype(np.uint8)
_DEEP = _rng.integers(0, 65536, (48, 40)).astype(np.uint16)
_COLOUR = _rng.integers(0, 256, (48, 40, 3)).astype(np.uint8)
_TWO = np.stack([_DEEP, _DEEP[::-1]])

WHOLE = {
    "png": _pillow(_GREY, "PNG"),
    "png 16 bit": _pillow(_DEEP, "PNG"),
    "png 16 bit colour": imagecodecs.png_encode(_COLOUR.astype(np.uint16) * 256),
    "jpeg": _pillow(_COLOUR, "JPEG"),
    "jpeg progressive": _pillow(_GREY, "JPEG", progressive=True),
    "bmp": _pillow(_COLOUR, "BMP"),
    "npy": _bytes(lambda file: np.save(file, _DEEP)),
    "tiff": _tifffile(_DEEP),
    "tiff zlib": _tifffile(_DEEP, compression="zlib", rowsperstrip=8),
    "tiff lzw tiles": _tifffile(_GREY, compression="lzw", tile=(16, 16)),
    "tiff packbits": _tifffile(_GREY, compression="packbits", rowsperstrip=5),
    "tiff jpeg tiles": _tifffile(_COLOUR, compression="jpeg", tile=(16, 16)),
    "tiff pages": _tifffile(_TWO, photometric="minisblack", metadata=None, compression="zlib"),
    "tiff pages big-endian": _tifffile(_TWO, photometric="minisblack", byteorder=">"),
    "ome": _tifffile(_TWO, ome=True, metadata={"axes": "CYX", "PhysicalSizeX": 0.5}),
    "imagej": _tifffile(
        _TWO, imagej=True, metadata={"axes": "CYX", "mode": "composite", "Labels": ["a", "b"]}
    ),
    "tiff of pillow": _pillow(_COLOUR, "TIFF", compression="tiff_lzw"),
    "tiff of pillow raw": _pillow(_GREY, "TIFF"),
}


@pytest.mark.parametrize("kind", WHOLE)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_cut_file_is_refused_or_equal_never_other_pixels(tmp_path, kind, data):
    whole = WHOLE[kind]
    path = tmp_path / "a"
    path.write_bytes(whole)
    expected = read_micrograph(path)
    near_an_end = st.integers(0, min(400, len(whole) - 1))
    cut = data.draw(
        st.one_of(
            st.integers(0, len(whole) - 1),
            near_an_end,
            near_an_end.map(lambda n: len(whole) - 1 - n),
        )
    )
    path.write_bytes(whole[:cut])
    try:
        read = read_micrograph(path)
    except FileError:
        return
    assert read.axes == expected.axes
    np.testing.assert_array_equal(read.pixels, expected.pixels)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kind=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_changed_bytes_end_in_a_picture_or_in_the_documented_error(tmp_path, kind, data):
    damaged = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1) | st.integers(0, 300)) % len(damaged)
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "a"
    path.write_bytes(damaged)
    for read in (read_micrograph, read_labels):
        with contextlib.suppress(NucleisegError):
            read(path)


@given(
    content=st.binary(max_size=200), magic=st.sampled_from([b"II*\0", b"MM\0+", b"\xff\xd8\xff"])
)
@example(content=b"\x08\0\0\0" + bytes(2), magic=b"II*\0")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_behind_a_header_is_refused_in_one_sentence(tmp_path, content, magic):
    (tmp_path / "a").write_bytes(magic + content)
    with pytest.raises((FileError, ShapeError), match="a"):
        read_micrograph(tmp_path / "a")


# what must come out of the real files: axes, shape, pixel size in µm; or words of the error
EXPECTED: dict[str, tuple[str, tuple[int, ...], float | None] | str] = {
    "12-in-16bit.tif": ("YX", (100, 100), None),
    "all-65535.tif": ("YX", (256, 256), None),
    "all-black.tif": ("YX", (256, 256), None),
    "all-nan.tif": ("YX", (64, 64), None),
    "bigendian-deflate-16bit.tif": ("YX", (64, 64), None),
    "claims-200000-square.tif": "80,000,000,000 bytes",
    "cmyk.jpg": ("YXS", (100, 100, 3), None),
    "corrupt-jpeg-tiles.tif": "damaged",
    "float16.tif": ("YX", (16, 16), None),
    "float32-predictor3-lzw.tif": ("YX", (200, 200), None),
    "he-jpeg-tiles.ome.tif": ("YXS", (1484, 1380, 3), 0.50008),
    "imagej-2c-codex.tif": ("CYX", (2, 450, 450), None),
    "imagej-2c-hot-pixel.tif": ("CYX", (2, 354, 475), None),
    "imagej-3c-16bit-tagged-rgb.tif": ("CYX", (3, 512, 672), 0.051493),
    "labels-with-gaps.tif": ("YX", (100, 100), None),
    "nuclei-calibrated.tif": ("YX", (253, 269), 0.2),
    "nuclei-high-dynamic-range.tif": ("YX", (147, 149), None),
    "ome-3c-int8-bigendian.ome.tif": ("CYX", (3, 167, 439), None),
    "one-pixel.tif": ("YX", (1, 1), None),
    "onebit-tiled.tif": ("YX", (51, 37), None),
    "onebit-white-is-zero.tif": ("YX", (151, 157), None),
    "packed-12bit.tif": ("YX", (100, 100), None),
    "palette.png": ("YXS", (150, 162, 3), None),
    "palette.tif": ("YXS", (151, 157, 3), None),
    "planar-rgb-lzw.tif": ("YXS", (499, 374, 3), None),
    "png-text-bomb.png": "text too long for a picture",
    "scanr-datatype.tif": ("YX", (1024, 1344), None),
    "signed-int16.tif": ("YX", (64, 64), None),
    "text-named-png.png": "not a picture",
    "thin-3x2000.tif": ("YX", (3, 2000), None),
    "truncated-header.tif": "damaged",
    "truncated.jpg": "damaged",
    "truncated.png": "damaged",
    "unopenable.tiff": "compression 52479",
    "zero-byte.tif": "empty",
    "blobs-v04.ome.zarr": ("CYX", (3, 12, 12), None),
    "blobs-v05.ome.zarr": ("CYX", (3, 12, 12), None),
    "bf2raw-two-series.zarr": ("YX", (8, 8), None),
    "plate.zarr": ("CYX", (3, 64, 64), 1.0),
    "v05-missing-chunk.ome.zarr": "damaged",
    "ome-multifile/multifile-Z1.ome.tiff": ("YX", (24, 18), 1.0),
}


@pytest.mark.skipif(not REAL.is_dir(), reason="NUCLEISEG_TEST_FILES names no folder of real files")
class TestRealFiles:
    @pytest.mark.parametrize("name", EXPECTED)
    def test_each_is_read_or_refused_in_one_line(self, name):
        expected = EXPECTED[name]
        if isinstance(expected, str):
            with pytest.raises(FileError, match=expected) as caught:
                read_micrograph(REAL / name)
            assert "\n" not in str(caught.value)
            assert Path(name).name in str(caught.value)
            return
        read = read_micrograph(REAL / name)
        axes, shape, size = expected
        assert (read.axes, read.pixels.shape) == (axes, shape)
        assert read.pixel_size_um == (pytest.approx((size, size), rel=1e-4) if size else None)

    @pytest.mark.parametrize(
        ("name", "channel"),
        [
            ("imagej-2c-codex.tif", 2),
            ("imagej-2c-hot-pixel.tif", 2),
            ("imagej-3c-16bit-tagged-rgb.tif", 3),
        ],
    )
    def test_the_nuclear_channel_is_proposed(self, name, channel):
        assert propose_channel(read_micrograph(REAL / name))[0] == channel - 1

    def test_two_ways_to_store_12_bits_are_equal(self):
        one, other = (read_micrograph(REAL / n) for n in ("packed-12bit.tif", "12-in-16bit.tif"))
        np.testing.assert_array_equal(one.pixels, other.pixels)

    def test_signed_numbers_stay_negative(self):
        assert read_micrograph(REAL / "ome-3c-int8-bigendian.ome.tif").pixels.min() == -1
        assert read_micrograph(REAL / "signed-int16.tif").pixels.min() == -5000

    def test_label_numbers_keep_their_gaps(self):
        read = read_labels(REAL / "labels-with-gaps.tif")
        stored = tifffile.imread(REAL / "labels-with-gaps.tif")
        np.testing.assert_array_equal(read.image, stored)
        assert read.notices == ()


def test_every_notice_is_a_sentence(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", _TWO, photometric="minisblack")
    read: Micrograph = read_micrograph(tmp_path / "a.tif")
    assert all(n[0].isupper() and n.endswith(".") for n in read.notices)
