"""Measurements of nuclei from files."""

from __future__ import annotations

import pytest

from napari_nucleiseg.errors import FileError
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.measure_files import Measured, measure_files
from napari_nucleiseg.samples import SAMPLES
from test_measure import squares


def test_the_label_image_brings_its_pixel_size(tmp_path):
    write_labels(tmp_path / "a_labels.tif", squares(), (0.5, 0.5))
    *_, event = measure_files(tmp_path / "a_labels.tif")
    assert isinstance(event, Measured)
    assert (event.name, event.done, event.total) == ("a", 1, 1)
    assert event.table["area_um2"] == pytest.approx(4, rel=1e-4)
    *_, event = measure_files(tmp_path, pixel_size_um=1.0)
    assert event.table["area_um2"].tolist() == [16, 16, 16]


def test_one_micrograph_needs_no_common_name(tmp_path):
    sample = SAMPLES["fluorescence"]
    *_, event = measure_files(sample.labels, sample.micrograph)
    assert (event.table["intensity_mean"] > 0).all()


def test_a_missing_micrograph_is_named(tmp_path):
    write_labels(tmp_path / "l" / "a_labels.tif", squares())
    write_labels(tmp_path / "m" / "b.tif", squares())
    with pytest.raises(FileError, match=r"1 of 1 label images have no micrograph: a "):
        list(measure_files(tmp_path / "l", tmp_path / "m"))
    with pytest.raises(FileError, match="nowhere"):
        list(measure_files(tmp_path / "nowhere"))
