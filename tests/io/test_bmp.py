from __future__ import annotations

import numpy as np
from PIL import Image

from napari_nucleiseg.io import read_labels, read_micrograph


def test_colour_grey_and_labels(tmp_path, stained, fluorescence):
    Image.fromarray(stained[0].pixels).save(tmp_path / "a.bmp")
    Image.fromarray(fluorescence[0].pixels).save(tmp_path / "b.bmp")
    Image.fromarray(fluorescence[1].astype(np.uint8)).save(tmp_path / "c.bmp")
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.bmp").pixels, stained[0].pixels)
    np.testing.assert_array_equal(
        read_micrograph(tmp_path / "b.bmp").pixels, fluorescence[0].pixels
    )
    np.testing.assert_array_equal(read_labels(tmp_path / "c.bmp").image, fluorescence[1])
