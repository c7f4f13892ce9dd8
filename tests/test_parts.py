"""Label images in parts: every nucleus once, whole, and measured and exported as in one piece."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_nucleiseg.export import EXPORTERS, opened_exports, write_exports
from napari_nucleiseg.measure import PartsMeasured, measure
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.parts import Parts


def whole(parts: Parts) -> tuple[np.ndarray, list[int]]:
    """The parts laid together, and how many parts each nucleus is in."""
    labels, seen = np.zeros(parts.shape, np.int64), []
    for part in parts.go():
        if part is not None:
            height, width = part.labels.shape
            place = labels[part.top : part.top + height, part.left : part.left + width]
            assert not place[part.labels > 0].any()
            place += part.labels
            seen += np.unique(part.labels[part.labels > 0]).tolist()
    return labels, seen


@given(
    arrays(
        np.int32, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(-1, 9)
    ),
    st.integers(1, 6),
    st.sampled_from([0, 3, 10**8]),
)
@settings(deadline=None)
def test_every_nucleus_is_in_one_part_and_whole(labels, side, more):
    """Scattered, nested, with gaps in the numbers, which may be large."""
    labels = np.where(labels > 0, labels * (more + 1), labels)
    parts = Parts(labels, side)
    together, seen = whole(parts)
    assert np.array_equal(together, np.maximum(labels, 0))
    assert sorted(seen) == np.unique(labels[labels > 0]).tolist()
    assert len(list(parts.go())) == parts.steps


@pytest.mark.parametrize("pixel_size", [None, (0.5, 0.5), (0.5, 0.7)])
@pytest.mark.parametrize("sample", ["fluorescence", "stained"])
def test_measured_as_in_one_piece(request, sample, pixel_size):
    micrograph, labels = request.getfixturevalue(sample)
    micrograph = Micrograph(micrograph.pixels, micrograph.axes, pixel_size)
    measured = PartsMeasured(micrograph)
    for part in Parts(labels, 100).go():
        if part is not None:
            measured.add(part)
    expected, found = measure(labels, micrograph), measured.table()
    assert list(found) == list(expected)
    for name, column in expected.items():
        # centres are sums of other numbers
        assert np.allclose(found[name], column, rtol=1e-9, atol=1e-9, equal_nan=True), name
        assert found[name].dtype == column.dtype


def test_nothing_has_the_same_columns():
    micrograph = Micrograph(np.zeros((2, 40, 30), np.uint16), "CYX", (0.5, 0.5))
    expected = measure(np.zeros((40, 30), int), micrograph)
    found = PartsMeasured(micrograph).table()
    assert {name: column.shape for name, column in found.items()} == dict.fromkeys(expected, (0,))


@pytest.mark.parametrize("export", EXPORTERS.names())
def test_exported_as_in_one_piece(fluorescence, tmp_path, export):
    _, labels = fluorescence
    parts = Parts(labels, 100)
    with opened_exports((export,), tmp_path, "parts", labels.shape, "a.png") as ([path], add):
        for part in parts.go():
            if part is not None:
                add(part)
        assert not path.exists()
    [saved] = write_exports(labels, tmp_path, "whole", (export,), "a.png")
    assert nuclei(path, export) == nuclei(saved.path, export)
    assert len(nuclei(path, export)) == 22


def nuclei(path, export: str) -> dict:
    """What a file says of each nucleus, by its number; their order is another."""
    if export == "imagej_roi":
        import roifile

        return {roi.name: roi.tobytes() for roi in roifile.roiread(path)}
    document = json.loads(path.read_bytes())
    if export == "geojson":
        return {feature["properties"]["name"]: feature for feature in document["features"]}
    return {a["label"]: {**a, "id": 0} for a in document["annotations"]}


def test_a_stopped_export_leaves_nothing(fluorescence, tmp_path):
    _, labels = fluorescence

    def stop_in_the_middle():
        with opened_exports(EXPORTERS.names(), tmp_path, "a", labels.shape, "a.png") as (_, add):
            add(next(part for part in Parts(labels, 100).go() if part is not None))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_in_the_middle()
    assert list(tmp_path.iterdir()) == []
