from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_nucleiseg.errors import FileError
from napari_nucleiseg.io import read_labels, read_micrograph


def test_colour_and_grey(tmp_path, stained, fluorescence):
    Image.fromarray(stained[0].pixels).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(fluorescence[0].pixels).save(tmp_path / "b.JPG", quality=95)
    colour, grey = (read_micrograph(tmp_path / name) for name in ("a.jpg", "b.JPG"))
    assert (colour.axes, grey.axes) == ("YXS", "YX")
    assert np.abs(colour.pixels.astype(int) - stained[0].pixels).mean() < 6
    assert np.abs(grey.pixels.astype(int) - fluorescence[0].pixels).mean() < 2


def test_cmyk_is_converted_and_said(tmp_path, stained):
    picture = Image.fromarray(stained[0].pixels)
    picture.convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    read = read_micrograph(tmp_path / "a.jpg")
    assert read.is_colour
    assert "CMYK" in read.notices[0]
    assert np.abs(read.pixels.astype(int) - stained[0].pixels).mean() < 6


def test_it_cannot_be_a_label_image(tmp_path, fluorescence):
    Image.fromarray(fluorescence[1].astype(np.uint8)).save(tmp_path / "a.jpg")
    with pytest.raises(FileError, match="changes the numbers"):
        read_labels(tmp_path / "a.jpg")
