from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg.errors import FileError, NucleisegError, ShapeError
from napari_nucleiseg.io import read_micrograph


@pytest.mark.parametrize(
    ("shape", "dtype", "axes", "read_shape"),
    [
        ((5, 7), ">u2", "YX", (5, 7)),
        ((1, 7), "f4", "YX", (1, 7)),
        ((1, 5, 7), "u1", "YX", (5, 7)),
        ((5, 7, 3), "u1", "YXS", (5, 7, 3)),
        ((5, 7, 3), "u2", "CYX", (3, 5, 7)),
        ((2, 50, 70), "f8", "CYX", (2, 50, 70)),
        ((50, 70, 4), "i2", "CYX", (4, 50, 70)),
    ],
)
def test_axes_are_taken_from_the_shape(tmp_path, shape, dtype, axes, read_shape):
    pixels = (np.arange(np.prod(shape)) % 100).astype(dtype).reshape(shape)
    np.save(tmp_path / "a.npy", pixels)
    read = read_micrograph(tmp_path / "a.npy")
    assert (read.axes, read.pixels.shape) == (axes, read_shape)
    assert read.pixels.dtype.isnative
    assert bool(read.notices) == (axes == "CYX")
    assert read.pixels.sum(dtype=float) == pixels.sum(dtype=float)


def test_a_stack_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((20, 30, 40)))
    with pytest.raises(ShapeError, match="Save one plane"):
        read_micrograph(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4), complex), np.array([[object()]]), np.zeros((4, 4), "datetime64[s]")],
    ids=["complex", "object", "dates"],
)
def test_what_is_not_a_number_is_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(NucleisegError, match=r"a\.npy"):
        read_micrograph(tmp_path / "a.npy")


def test_objects_are_not_called_damage(tmp_path):
    np.save(tmp_path / "a.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(FileError, match=r"objects of Python, not numbers: a\.npy"):
        read_micrograph(tmp_path / "a.npy")
