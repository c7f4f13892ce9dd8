"""Measurements: those that can be read off, and the same by brute force on a real image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_nucleiseg.errors import ShapeError
from napari_nucleiseg.measure import (
    MeasureConfig,
    Measuring,
    TableMade,
    measure,
    measure_steps,
)
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import SAMPLES, read_sample


def squares() -> np.ndarray:
    """Nuclei 2 and 5 touch, 9 is 6 pixels to the right of 5; one pixel is ignored."""
    labels = np.zeros((12, 30), np.int32)
    labels[2:6, 2:6] = 2
    labels[2:6, 6:10] = 5
    labels[2:6, 15:19] = 9
    labels[11, 29] = -1
    return labels


def test_sizes_and_neighbours_can_be_read_off():
    table = measure(squares(), config=MeasureConfig(within_px=6))
    assert table["label"].tolist() == [2, 5, 9]
    assert table["area_px"].tolist() == [16, 16, 16]
    assert table["y_px"].tolist() == [3.5] * 3
    assert table["x_px"].tolist() == [3.5, 7.5, 16.5]
    assert table["touching"].tolist() == [1, 1, 0]
    assert table["neighbours_within"].tolist() == [1, 2, 1]
    assert table["nearest_edge_px"].tolist() == [1, 1, 6]
    assert table["nearest_centre_px"].tolist() == [4, 4, 9]
    assert table["solidity"].tolist() == [1, 1, 1]
    assert not [name for name in table if name.endswith("_um") or name.endswith("_um2")]


def test_micrometres_also_of_pixels_that_are_not_square():
    square = measure(squares(), pixel_size_um=(0.5, 0.5))
    assert square["area_um2"].tolist() == [4, 4, 4]
    assert square["perimeter_um"] == pytest.approx(square["perimeter_px"] / 2)
    assert square["nearest_edge_um"].tolist() == [0.5, 0.5, 3]
    tall = measure(squares(), pixel_size_um=(2.0, 0.5))
    assert tall["area_um2"].tolist() == [16, 16, 16]
    assert tall["nearest_edge_um"].tolist() == [0.5, 0.5, 3]
    assert tall["nearest_centre_um"].tolist() == [2, 2, 4.5]
    assert np.isnan(tall["perimeter_um"]).all()
    # four times as tall as wide
    assert (tall["eccentricity"] > 0.9).all()
    assert tall["orientation_deg"] == pytest.approx(0)


def test_intensities_of_every_channel():
    labels = squares()
    pixels = np.stack([labels * 10, np.where(labels > 0, np.arange(30), 0)]).astype(np.float32)
    micrograph = Micrograph(pixels, "CYX", (0.5, 0.5), ("DAPI", "GFP"))
    table = measure(labels, micrograph, config=MeasureConfig(percentiles=(0, 50, 100)))
    assert table["intensity_mean_DAPI"].tolist() == [20, 50, 90]
    assert table["intensity_sd_DAPI"].tolist() == [0, 0, 0]
    assert table["intensity_integrated_DAPI"].tolist() == [16 * n for n in (20, 50, 90)]
    assert table["intensity_p0_GFP"].tolist() == [2, 6, 15]
    assert table["intensity_p50_GFP"].tolist() == [3.5, 7.5, 16.5]
    assert table["intensity_p100_GFP"].tolist() == [5, 9, 18]
    assert table["intensity_sd_GFP"] == pytest.approx(np.std([2, 3, 4, 5]))
    assert table["area_um2"].tolist() == [4, 4, 4]
    colour = measure(labels, Micrograph(np.stack([pixels[0]] * 3, axis=-1), "YXS"))
    assert colour["intensity_mean_green"].tolist() == [20, 50, 90]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_real_image_by_brute_force(name):
    micrograph, labels = read_sample(name)
    grey = micrograph.channel(1)
    table = measure(labels, grey, config=MeasureConfig(within_px=15))
    ids = [int(i) for i in np.unique(labels) if i > 0]
    assert table["label"].tolist() == ids
    assert table["area_px"].tolist() == [(labels == i).sum() for i in ids]
    assert table["intensity_mean"] == pytest.approx(ndimage.mean(grey.pixels, labels, ids))
    assert table["intensity_sd"] == pytest.approx(
        ndimage.standard_deviation(grey.pixels, labels, ids)
    )
    for n, i in enumerate(ids):
        away = ndimage.distance_transform_edt(labels != i)
        nearest = ndimage.minimum(away, labels, [j for j in ids if j != i])
        assert table["nearest_edge_px"][n] == pytest.approx(min(nearest))
        assert table["neighbours_within"][n] == sum(d <= 15 for d in nearest)
        assert table["touching"][n] == sum(d < 1.5 for d in nearest)


def test_one_nucleus_has_no_neighbour_and_none_make_an_empty_table():
    labels = np.where(squares() == 9, 9, 0)
    table = measure(labels, pixel_size_um=(1.0, 1.0))
    assert table["touching"].tolist() == [0]
    assert np.isnan([table["nearest_edge_px"][0], table["nearest_centre_um"][0]]).all()
    empty = measure(np.zeros((5, 5), int), Micrograph(np.zeros((5, 5)), "YX"))
    assert {len(column) for column in empty.values()} == {0}
    assert list(empty) == list(measure(squares(), Micrograph(np.zeros((12, 30)), "YX")))


def test_a_micrograph_of_another_size_is_named():
    with pytest.raises(ShapeError, match="other is 5×5, the label image 12×30"):
        measure(squares(), Micrograph(np.zeros((5, 5)), "YX", name="other"))


def test_several_micrographs_have_columns_of_their_own():
    labels = squares()
    grey = Micrograph(labels * 10, "YX", (0.5, 0.5), name="DAPI")
    two = Micrograph(np.stack([labels, labels * 2]), "CYX", channel_names=("a", "a"), name="pair")
    *steps, made = measure_steps(labels, [grey, two])
    assert isinstance(made, TableMade)
    assert all(isinstance(step, Measuring) for step in steps)
    assert [step.what for step in steps] == [
        "sizes and shapes",
        "neighbours",
        "intensities in DAPI",
        "intensities in pair_a_1",
        "intensities in pair_a_2",
    ]
    assert [(step.done, step.total) for step in steps] == [(i, 5) for i in range(5)]
    assert made.table["intensity_mean_DAPI"].tolist() == [20, 50, 90]
    assert made.table["intensity_mean_pair_a_1"].tolist() == [2, 5, 9]
    assert made.table["intensity_mean_pair_a_2"].tolist() == [4, 10, 18]
    assert made.table["area_um2"].tolist() == [4, 4, 4]
