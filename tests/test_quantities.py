"""Columns of measurements in words."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg.measure import MeasureConfig, measure
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.quantities import in_order, quantity_of


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("area_um2", "Area (µm²)"),
        ("nearest_edge_px", "To nearest, edges (px)"),
        ("orientation_deg", "Orientation (°)"),
        ("solidity", "Solidity"),
        ("intensity_mean", "Mean intensity"),
        ("intensity_sd_DAPI_2", "Intensity, SD, DAPI_2"),
        ("intensity_p2.5_my stain", "Intensity, 2.5 %, my stain"),
        ("from_elsewhere_px", "from_elsewhere_px"),
    ],
)
def test_titles(column, text):
    assert quantity_of(column).text == text


def test_each_column_has_a_title_of_its_own_and_a_meaning():
    labels = np.zeros((12, 12), int)
    labels[2:6, 2:6] = 1
    pixels = np.zeros((2, 12, 12))
    micrograph = Micrograph(pixels, "CYX", (0.5, 0.5), ("mean", "p5"))
    table = measure(labels, micrograph, config=MeasureConfig(percentiles=(5, 0.1)))
    quantities = {column: quantity_of(column) for column in table}
    assert len({q.text for q in quantities.values()}) == len(table)
    assert not [c for c, q in quantities.items() if q.meaning == c]


def test_micrometres_come_before_pixels_and_positions_last():
    columns = ["label", "y_px", "x_px", "area_px", "solidity", "area_um2"]
    assert in_order(dict.fromkeys(columns, np.zeros(1))) == [
        "label",
        "solidity",
        "area_um2",
        "y_px",
        "x_px",
        "area_px",
    ]
    without = ["label", "y_px", "area_px"]
    assert in_order(dict.fromkeys(without, np.zeros(1))) == ["label", "area_px", "y_px"]
