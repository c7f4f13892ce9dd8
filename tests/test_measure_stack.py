"""Measurements through depth and time, against scikit-image on the whole stack."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import regionprops

from napari_nucleiseg.measure import measure
from napari_nucleiseg.measure_stack import measure_tracks, measure_volumes
from napari_nucleiseg.micrograph import Micrograph


@pytest.fixture
def stack(fluorescence):
    """Real nuclei in three of four planes, some in fewer, one in two pieces."""
    micrograph, labels = fluorescence
    planes = np.stack([np.zeros_like(labels), labels, np.roll(labels, 2, 0), labels])
    planes[3][planes[3] > 12] = 0
    planes[2][planes[2] == 5] = 0
    pixels = np.stack([micrograph.pixels * n for n in (1, 2, 3, 4)]).astype(np.uint16)
    return planes, pixels


def planes_of(labels, pixels, axes="YX"):
    return ((own, Micrograph(shown, axes)) for own, shown in zip(labels, pixels, strict=True))


def test_volumes_are_those_of_the_whole_stack(stack):
    labels, pixels = stack
    table = measure_volumes(planes_of(labels, pixels), (0.5, 0.4), 2.0)
    regions = regionprops(labels, intensity_image=pixels)
    assert table["label"].tolist() == [region.label for region in regions]
    assert table["volume_voxels"].tolist() == [region.area for region in regions]
    centres = np.array([region.centroid for region in regions])
    assert np.allclose(np.stack([table["z"] - 1, table["y_px"], table["x_px"]], 1), centres)
    assert np.allclose(table["volume_um3"], table["volume_voxels"] * 0.4)
    assert np.allclose(table["intensity_mean"], [region.intensity_mean for region in regions])
    sums = [pixels[labels == region.label].sum(dtype=float) for region in regions]
    assert np.allclose(table["intensity_integrated"], sums)
    five, last = (int(np.flatnonzero(table["label"] == n)[0]) for n in (5, labels.max()))
    names = ("first_plane", "last_plane", "planes")
    assert [table[name][five] for name in names] == [2, 4, 2]
    assert [table[name][last] for name in names] == [2, 3, 2]
    sections = [(labels == 5).sum(axis=(1, 2)).max()]
    assert [table["largest_section_px"][five]] == sections


def test_each_channel_has_its_columns_and_no_size_no_volume(stack):
    labels, pixels = stack
    two = np.stack([pixels, pixels[:, ::-1]], axis=1)
    table = measure_volumes(planes_of(labels, two, "CYX"))
    assert "volume_um3" not in table
    assert [n for n in table if n.startswith("intensity_mean")] == [
        "intensity_mean_1",
        "intensity_mean_2",
    ]


def test_nothing_found_has_the_same_columns(stack):
    labels, pixels = stack
    full = measure_volumes(planes_of(labels, pixels), (1, 1), 1)
    empty = measure_volumes(planes_of(labels * 0, pixels), (1, 1), 1)
    assert list(empty) == list(full)
    assert {len(column) for column in empty.values()} == {0}


def test_tracks_have_a_row_for_each_time(stack):
    labels, pixels = stack
    table = measure_tracks(planes_of(labels, pixels))
    assert table["t"].tolist() == sorted(table["t"].tolist())
    second = measure(labels[2], Micrograph(pixels[2], "YX"))
    at = table["t"] == 3
    for name, column in second.items():
        assert np.array_equal(table[name][at], column, equal_nan=True)
    assert not (table["t"] == 1).any()
