from __future__ import annotations

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageFile

from napari_nucleiseg.errors import FileError
from napari_nucleiseg.io import read_labels, read_micrograph


def test_16_bit_grey_keeps_its_numbers(tmp_path, fluorescence):
    pixels = fluorescence[0].pixels.astype(np.uint16) * 257
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = read_micrograph(tmp_path / "a.png")
    assert read.pixels.dtype == np.uint16
    np.testing.assert_array_equal(read.pixels, pixels)


def test_16_bit_colours_are_channels_with_all_their_bits(tmp_path, stained):
    pixels = stained[0].pixels.astype(np.uint16) * 256 + 7
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    read = read_micrograph(tmp_path / "a.png")
    assert read.axes == "CYX"
    np.testing.assert_array_equal(np.moveaxis(read.pixels, 0, -1), pixels)
    assert "channels" in read.notices[0]
    as_colour = read_micrograph(tmp_path / "a.png", colour="colour")
    assert (as_colour.axes, as_colour.notices) == ("YXS", ())
    np.testing.assert_array_equal(as_colour.pixels, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("varies", [True, False])
def test_transparency_is_left_out_and_said_only_if_it_varies(tmp_path, fluorescence, dtype, varies):
    grey = fluorescence[0].pixels.astype(dtype)
    alpha = np.full_like(grey, 255)
    alpha[0, 0] -= varies
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack([grey, alpha])))
    read = read_micrograph(tmp_path / "a.png")
    np.testing.assert_array_equal(read.pixels, grey)
    assert len(read.notices) == varies


def test_rgba_is_colour(tmp_path, stained):
    alpha = np.full(stained[0].shape, 255, np.uint8)
    Image.fromarray(np.dstack([stained[0].pixels, alpha])).save(tmp_path / "a.png")
    read = read_micrograph(tmp_path / "a.png")
    assert (read.axes, read.notices) == ("YXS", ())
    np.testing.assert_array_equal(read.pixels, stained[0].pixels)


def test_a_palette_is_colours_never_indices(tmp_path, stained):
    picture = Image.fromarray(stained[0].pixels).quantize(64)
    picture.save(tmp_path / "a.png")
    read = read_micrograph(tmp_path / "a.png")
    assert read.is_colour
    np.testing.assert_array_equal(read.pixels, np.asarray(picture.convert("RGB")))


def test_a_grey_palette_is_grey(tmp_path, fluorescence):
    picture = Image.fromarray(255 - fluorescence[0].pixels).convert("P")
    picture.putpalette([v for i in range(256) for v in (255 - i,) * 3])
    picture.save(tmp_path / "a.png")
    read = read_micrograph(tmp_path / "a.png")
    assert read.axes == "YX"
    np.testing.assert_array_equal(read.pixels, fluorescence[0].pixels)


def test_label_numbers_in_a_palette_stay_numbers(tmp_path, fluorescence):
    picture = Image.fromarray(fluorescence[1].astype(np.uint8)).convert("P")
    colours = np.random.default_rng(0).integers(0, 256, 768)
    colours[:3] = 0
    picture.putpalette(colours.tolist())
    picture.save(tmp_path / "a.png")
    read = read_labels(tmp_path / "a.png")
    np.testing.assert_array_equal(read.image, fluorescence[1])
    assert read.notices == ()


def _grey_png(rows: np.ndarray, bits: int) -> bytes:
    """A grey PNG of few bits, by hand: Pillow does not write these."""
    step = 8 // bits
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % step))).reshape(len(rows), -1, step)
    shifts = np.arange(8 - bits, -1, -bits)
    packed = (padded << shifts).sum(axis=2).astype(np.uint8)
    data = b"".join(b"\0" + row.tobytes() for row in packed)

    def part(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", header)
        + part(b"IDAT", zlib.compress(data))
        + part(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [2, 4])
def test_labels_of_few_bits_keep_their_numbers(tmp_path, bits):
    labels = np.array([[0, 1, 1], [2, 0, 3]])
    (tmp_path / "a.png").write_bytes(_grey_png(labels, bits))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png").image, labels)


def test_one_bit_is_zero_and_one(tmp_path, fluorescence):
    mask = fluorescence[1] > 0
    Image.fromarray(mask).save(tmp_path / "a.png")
    read = read_micrograph(tmp_path / "a.png")
    np.testing.assert_array_equal(read.pixels, mask)


def test_a_text_bomb_is_refused(tmp_path):
    text = zlib.compress(b"\0" * 70_000_000, 9)
    content = b"Comment\0\0" + text
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + content))
    plain = _grey_png(np.zeros((4, 4), int), 2)
    (tmp_path / "a.png").write_bytes(plain[:33] + chunk + plain[33:])
    with pytest.raises(FileError, match=r"a\.png"):
        read_micrograph(tmp_path / "a.png")


def test_a_cut_picture_is_refused_even_if_pillow_was_told_to_accept_it(
    tmp_path, monkeypatch, fluorescence
):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    Image.fromarray(fluorescence[0].pixels).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="damaged or incomplete"):
        read_micrograph(tmp_path / "a.png")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.slow
def test_a_large_picture_is_read_without_a_warning(tmp_path):
    pixels = np.zeros((14_000, 14_000), np.uint8)  # more than Pillow opens by itself
    pixels[-1, -1] = 9
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=1)
    assert read_micrograph(tmp_path / "a.png").pixels[-1, -1] == 9
