from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_nucleiseg import instances
from napari_nucleiseg.errors import ModelError
from napari_nucleiseg.instances import DecodeConfig, decode, maps_to_labels, renumber
from napari_nucleiseg.metrics.average_precision import average_precision
from napari_nucleiseg.targets import distance_and_offsets

LABELS = hnp.arrays(
    np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 40)
)


ALL = {"min_area_px": 0, "least_depth": 0, "certainty": 0}


def perfect_maps(labels):
    distance, _ = distance_and_offsets(labels[None])
    return (labels > 0).astype(np.float32), distance[0, 0]


@given(LABELS)
def test_renumbering_keeps_the_partition_and_the_order(labels):
    result = renumber(labels)
    old = np.unique(labels[labels > 0])
    assert result.dtype == np.int32
    assert np.array_equal(result > 0, labels > 0)
    for new, number in enumerate(old, 1):
        assert np.array_equal(result == new, labels == number)


@given(LABELS, st.integers(0, 40))
def test_renumbering_keeps_exactly_what_it_is_told(labels, first):
    kept = np.arange(labels.max() + 1) >= first
    assert np.array_equal(renumber(labels, kept) > 0, (labels >= max(first, 1)))


def test_what_is_nowhere_deep_or_hardly_probable_or_small_is_no_nucleus():
    probability, distance = np.zeros((2, 20, 60), np.float32)
    for i, (p, d, side) in enumerate([(0.9, 0.9, 8), (0.9, 0.5, 8), (0.6, 0.9, 8), (0.9, 0.9, 3)]):
        place = np.s_[2 : 2 + side, 15 * i + 2 : 15 * i + 2 + side]
        probability[place], distance[place] = p, d
    found = maps_to_labels(probability, distance, DecodeConfig())
    assert found.max() == 1
    assert np.array_equal(found > 0, (np.arange(60) < 12) & (probability > 0))
    everything = DecodeConfig(least_depth=0, certainty=0, min_area_px=0)
    assert maps_to_labels(probability, distance, everything).max() == 4


@pytest.mark.parametrize("sample", ["fluorescence", "stained", "brightfield"])
def test_perfect_maps_give_the_nuclei_back(sample, request):
    _, truth = request.getfixturevalue(sample)
    found = maps_to_labels(*perfect_maps(truth), DecodeConfig())
    assert average_precision(truth, found, [0.7])[0] > 0.85


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_bands_do_not_change_the_result(stained, monkeypatch, rows):
    _, truth = stained
    maps = perfect_maps(truth)
    whole = maps_to_labels(*maps, DecodeConfig())
    monkeypatch.setattr(instances, "BAND_PIXELS", rows * truth.shape[1])
    banded = maps_to_labels(*maps, DecodeConfig())
    assert banded.max() == whole.max()
    assert average_precision(whole, banded, [1.0])[0] == 1


@pytest.mark.parametrize("sample", ["fluorescence", "stained", "brightfield"])
def test_more_sensitivity_never_gives_fewer_nuclei(sample, request):
    _, truth = request.getfixturevalue(sample)
    probability, distance = perfect_maps(truth)
    # blurred maps have shallow saddles between neighbours, as a network's have
    distance = ndimage.gaussian_filter(distance, 2)
    counts = [
        maps_to_labels(probability, distance, DecodeConfig(**ALL, sensitivity=s)).max()
        for s in np.linspace(0, 1, 11)
    ]
    assert counts == sorted(counts)
    # the brightfield nuclei lie apart: there is nothing to split
    assert counts[0] < counts[-1] or sample == "brightfield"


@settings(deadline=None)
@given(hnp.arrays(np.float32, (2, 25, 30), elements=st.floats(0, 1, width=32)))
def test_sensitivity_is_monotone_on_any_maps(maps):
    probability, distance = ndimage.gaussian_filter(maps, (0, 2, 2)) * 2 - 0.5
    config = DecodeConfig(**ALL, min_seed_px=1)
    counts = [
        maps_to_labels(
            probability, distance, config.model_copy(update={"sensitivity": float(s)})
        ).max()
        for s in np.linspace(0, 1, 11)
    ]
    assert counts == sorted(counts)


def test_maps_are_told_by_their_names(fluorescence):
    probability, distance = perfect_maps(fluorescence[1])
    config = DecodeConfig()
    expected = decode(("probability", "distance"), np.stack((probability, distance)), config)
    swapped = decode(("distance", "probability"), np.stack((distance, probability)), config)
    assert np.array_equal(expected, swapped)
    with pytest.raises(ModelError, match="without probability"):
        decode(("distance",), distance[None], config)


def disc(y, x, radius):
    yy, xx = np.mgrid[:100, :120]
    return (yy - y) ** 2 + (xx - x) ** 2 < radius**2


@pytest.mark.parametrize(
    "discs",
    [
        [(50, 40, 20)],
        [(50, 40, 20), (50, 72, 16)],
        [(20, 100, 8), (20, 113, 5.5)],
        [(30, 30, 9), (30, 46, 9), (44, 38, 9)],
    ],
)
def test_without_a_distance_map_the_shape_of_the_foreground_splits(discs):
    inside = np.any([disc(*d) for d in discs], 0)
    found = decode(("probability",), inside[None].astype(np.float32), DecodeConfig())
    assert found.max() == len(discs)
    np.testing.assert_array_equal(found > 0, inside)
    for y, x, radius in discs:
        own = found[disc(y, x, radius)]
        assert (own == found[y, x]).mean() > 0.85


@pytest.mark.parametrize("value", [0, 1])
def test_without_a_distance_map_a_field_of_one_kind_is_decoded(value):
    found = decode(("probability",), np.full((1, 30, 40), value, np.float32), DecodeConfig())
    assert found.max() == value


def test_two_touching_discs_are_two_nuclei():
    y, x = np.mgrid[:40, :60]
    truth = np.where((y - 20) ** 2 + (x - 20) ** 2 < 120, 1, 0)
    truth = np.where((truth == 0) & ((y - 20) ** 2 + (x - 40) ** 2 < 120), 2, truth)
    found = maps_to_labels(*perfect_maps(truth.astype(np.int32)), DecodeConfig())
    assert average_precision(truth, found, [0.9])[0] == 1


@settings(deadline=None)
@given(hnp.arrays(np.float32, (2, 17, 23), elements=st.floats(0, 1, width=32)))
def test_any_maps_give_a_label_image_inside_the_foreground(maps):
    config = DecodeConfig(min_area_px=0, least_depth=0, certainty=0)
    found = maps_to_labels(maps[0], maps[1], config)
    assert np.array_equal(found > 0, maps[0] > config.probability)
    assert np.array_equal(np.unique(found[found > 0]), np.arange(1, found.max() + 1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 2000)])
def test_thin_and_empty_images(shape):
    nothing = np.zeros(shape, np.float16)
    assert not maps_to_labels(nothing, nothing, DecodeConfig()).any()
    full = np.ones(shape, np.float16)
    assert maps_to_labels(full, full, DecodeConfig(min_area_px=1)).max() == 1
