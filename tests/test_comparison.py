"""What became of each nucleus: planted errors are named, tables and images say the same."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from damage import Damaged, damage
from napari_nucleiseg.comparison import (
    Agreement,
    Comparison,
    Kind,
    Kinds,
    classify,
    compare,
    paint,
)
from napari_nucleiseg.errors import SettingError, ShapeError
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.reviewed import within_reviewed
from napari_nucleiseg.samples import SAMPLES, read_sample

# beside the repository, on the developers' machines only
PLACES = [folder / "shared" / "data" / "dsb2018" for folder in Path(__file__).parents]
DSB = next((place for place in PLACES if place.is_dir()), PLACES[0])


def val_masks() -> list[Path]:
    """One validation image of each modality, the first with enough nuclei for all errors."""
    if not (DSB / "index.csv").is_file():
        return []
    with (DSB / "index.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == "val" and int(r["nuclei"]) >= 20]
    first = {row["modality"]: row["image_id"] for row in reversed(rows)}
    return [DSB / "masks" / f"{name}.png" for name in first.values()][:3]


WHOLE = [
    *(pytest.param(SAMPLES[name].labels, id=name) for name in SAMPLES),
    *(pytest.param(path, id=f"val-{path.stem[:8]}") for path in val_masks() if path.is_file()),
]


def kinds_by_id(comparison: Comparison, kinds: Kinds) -> tuple[dict[int, Kind], dict[int, Kind]]:
    return tuple(
        {int(i): Kind(k) for i, k in zip(ids, found, strict=True)}
        for ids, found in (
            (comparison.overlaps.true_ids, kinds.true),
            (comparison.overlaps.found_ids, kinds.found),
        )
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("path", WHOLE)
class TestPlantedErrors:
    def planted(self, path: Path, seed: int) -> tuple[np.ndarray, Damaged]:
        whole = read_labels(path).image
        return whole, damage(whole, seed)

    def test_every_error_of_a_prediction_is_named(self, path, seed):
        whole, made = self.planted(path, seed)
        comparison = compare(whole, made.labels)
        kinds = classify(comparison.overlaps, 0.5)
        true, found = kinds_by_id(comparison, kinds)
        expected = dict.fromkeys(true, Kind.CORRECT)
        expected |= dict.fromkeys(made.deleted, Kind.MISSED)
        expected |= dict.fromkeys(made.eroded, Kind.POOR_OUTLINE)
        expected |= dict.fromkeys(made.split, Kind.SPLIT)
        expected |= dict.fromkeys(made.merged, Kind.MERGED)
        assert true == expected
        assert [found[i] for i in made.invented] == [Kind.EXTRA] * 2
        assert [found[i] for i in made.pieces] == [Kind.SPLIT] * 4
        assert [found[i] for i in made.unions] == [Kind.MERGED] * 2
        assert kinds.counts() == {
            "correct": len(true) - 10,
            "missed": 2,
            "extra": 2,
            "merged": 4,
            "split": 2,
            "poor outline": 2,
        }
        # what the layer shows where the errors were planted
        image = comparison.kind_image(kinds)
        for number, kind in expected.items():
            assert (image[whole == number] == kind).all()
        for number in made.invented:
            assert (image[made.labels == number] == Kind.EXTRA).all()

    def test_every_error_of_a_damaged_truth_is_named(self, path, seed):
        whole, made = self.planted(path, seed)
        comparison = compare(made.labels, whole)
        true, found = kinds_by_id(comparison, classify(comparison.overlaps))
        named = {
            Kind.MISSED: made.invented,
            Kind.MERGED: made.pieces,
            Kind.SPLIT: made.unions,
            Kind.POOR_OUTLINE: made.eroded,
        }
        for kind, numbers in named.items():
            assert {true[i] for i in numbers} == {kind}
        planted = {i for numbers in named.values() for i in numbers}
        assert {kind for i, kind in true.items() if i not in planted} == {Kind.CORRECT}
        assert {i for i, kind in found.items() if kind == Kind.EXTRA} == set(made.deleted)

    def test_the_table_lists_them(self, path, seed):
        whole, made = self.planted(path, seed)
        comparison = compare(whole, made.labels, pixel_size_um=(0.5, 0.5))
        kinds = classify(comparison.overlaps)
        table = comparison.table(kinds)
        rows = len(comparison.overlaps.true_ids) + 2
        assert {len(column) for column in table.values()} == {rows}
        by_true = {int(i): n for n, i in enumerate(table["true_id"]) if i}
        for number in made.deleted:
            row = by_true[number]
            assert table["kind"][row] == "missed"
            assert table["prediction_id"][row] == 0
            assert np.isnan(table["hausdorff_px"][row])
        for number in made.eroded:
            row = by_true[number]
            assert (table["kind"][row], table["prediction_id"][row]) == ("poor outline", number)
            assert table["iou"][row] == pytest.approx(
                (made.labels == number).sum() / (whole == number).sum()
            )
            assert table["hausdorff_um"][row] == table["hausdorff_px"][row] / 2 > 0
        extra = table["kind"] == "extra"
        assert table["prediction_id"][extra].tolist() == made.invented
        assert np.isnan(table["true_area_px"][extra]).all()
        for number, y, x in zip(
            made.invented, table["y_px"][extra], table["x_px"][extra], strict=True
        ):
            assert made.labels[round(y), round(x)] == number


@pytest.mark.skipif(not DSB.is_dir(), reason="the data of DSB 2018 is not here")
def test_three_validation_micrographs_are_among_them():
    assert len(WHOLE) == len(SAMPLES) + 3


TRUTH = np.array(
    [
        [1, 1, 1, 1, 0, 2, 2],
        [1, 1, 1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0, 0, 0],
        [3, 3, 3, 0, 4, 4, 4],
    ]
)
PREDICTION = np.array(
    [
        [9, 9, 9, 0, 0, 0, 0],
        [9, 9, 9, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [7, 7, 7, 7, 5, 6, 6],
    ]
)


def test_the_kinds_can_be_read_off():
    comparison = compare(TRUTH, PREDICTION)
    at = {t: classify(comparison.overlaps, t) for t in (0.5, 0.8)}
    assert at[0.5].true.tolist() == [Kind.CORRECT, Kind.MISSED, Kind.CORRECT, Kind.SPLIT]
    assert at[0.5].found.tolist() == [Kind.SPLIT, Kind.SPLIT, Kind.CORRECT, Kind.CORRECT]
    assert at[0.5].true_matched.tolist() == [True, False, True, True]
    # IoU 6/8 and 3/4
    assert at[0.8].true.tolist() == [
        Kind.POOR_OUTLINE,
        Kind.MISSED,
        Kind.POOR_OUTLINE,
        Kind.SPLIT,
    ]
    assert comparison.best_iou.tolist() == [6 / 8, 0, 3 / 4, 2 / 3]
    assert comparison.best_dice == pytest.approx([2 * 6 / 14, 0, 2 * 3 / 7, 2 * 2 / 5])
    assert comparison.kind_of_predictions(at[0.5]) == {
        "correct": {"correct": 2},
        "missed": {"none": 1},
        "split": {"split": 1},
    }


def test_iou_of_a_tenth_is_not_yet_covered():
    truth = np.array([[1] * 10, [2] * 10])
    prediction = np.array([[5] * 10, [5] + [0] * 9])
    # nucleus 2 shares 1 of 20 pixels: the prediction is no merge
    assert classify(compare(truth, prediction).overlaps).true.tolist() == [
        Kind.CORRECT,
        Kind.MISSED,
    ]
    truth = np.array([[1] * 10])
    prediction = np.array([[5] + [0] * 9])
    # exactly 0.1 is not over 0.1
    assert classify(compare(truth, prediction).overlaps).true.tolist() == [Kind.MISSED]


def test_images_show_what_the_table_says():
    comparison = compare(TRUTH, PREDICTION)
    iou = comparison.iou_image()
    assert iou.dtype == np.float32
    assert iou[TRUTH == 1] == pytest.approx(6 / 8)
    assert iou[TRUTH == 2] == pytest.approx(0)
    assert np.isnan(iou[TRUTH == 0]).all()
    assert comparison.dice_image()[TRUTH == 3] == pytest.approx(6 / 7)
    agreement = comparison.agreement_image()
    assert agreement.dtype == np.uint8
    hit, missed = Agreement.TRUE_POSITIVE, Agreement.FALSE_NEGATIVE
    assert agreement[0].tolist() == [hit, hit, hit, missed, 0, missed, missed]
    assert agreement[3, 3] == Agreement.FALSE_POSITIVE


def test_extra_nuclei_show_beside_true_ones_only():
    truth = np.array([[1, 1, 1, 0, 0]])
    prediction = np.array([[1, 1, 8, 8, 8]])
    comparison = compare(truth, prediction)
    kinds = classify(comparison.overlaps)
    # 8 shares 1 of 5 pixels with nucleus 1, which is split
    assert comparison.kind_image(kinds).tolist() == [[Kind.SPLIT] * 3 + [0, 0]]
    comparison = compare(truth, np.array([[1, 1, 1, 8, 8]]))
    kinds = classify(comparison.overlaps)
    assert comparison.kind_image(kinds).tolist() == [[Kind.CORRECT] * 3 + [Kind.EXTRA] * 2]


def test_what_is_ignored_or_outside_of_the_region_does_not_count():
    truth = TRUTH.copy()
    truth[TRUTH == 2] = -1
    prediction = PREDICTION.copy()
    prediction[TRUTH == 2] = 30
    ignored = classify(compare(truth, prediction).overlaps)
    assert ignored.counts()["extra"] == ignored.counts()["missed"] == 0
    region = np.zeros(TRUTH.shape, bool)
    region[:2] = True
    comparison = compare(TRUTH, PREDICTION, region=region)
    assert comparison.overlaps.true_ids.tolist() == [1, 2]
    assert not comparison.agreement_image()[3].any()
    with pytest.raises(ShapeError, match=r"Region.*\(2, 2\)"):
        compare(TRUTH, PREDICTION, region=region[:2, :2])
    with pytest.raises(ShapeError, match="differ in size"):
        compare(TRUTH, PREDICTION[:2])


def test_threshold_below_a_half_is_refused():
    with pytest.raises(SettingError, match=r"0\.4"):
        classify(compare(TRUTH, PREDICTION).overlaps, 0.4)


LABELS = arrays(
    np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 5)
)


@st.composite
def two_label_images(draw):
    one = draw(LABELS)
    return one, draw(arrays(np.int32, one.shape, elements=st.integers(-1, 5)))


@given(pair=two_label_images(), threshold=st.sampled_from([0.5, 0.7, 0.95]))
def test_kinds_are_what_the_definitions_say_nucleus_by_nucleus(pair, threshold):
    prediction, truth = pair
    comparison = compare(truth, prediction)
    kinds = classify(comparison.overlaps, threshold)
    counted = truth >= 0
    prediction = within_reviewed(truth, prediction)
    ids = [sorted({int(i) for i in image[counted] if i > 0}) for image in (truth, prediction)]

    def iou(t: int, p: int) -> float:
        one, other = truth == t, (prediction == p) & counted
        return (one & other).sum() / (one | other).sum()

    covers = {(t, p) for t in ids[0] for p in ids[1] if iou(t, p) > 0.1}
    merges = {p for p in ids[1] if sum((t, p) in covers for t in ids[0]) > 1}
    splits = {t for t in ids[0] if sum((t, p) in covers for p in ids[1]) > 1}
    for t, kind in zip(ids[0], kinds.true, strict=True):
        best = max((iou(t, p) for p in ids[1]), default=0)
        if any((t, p) in covers for p in merges):
            assert kind == Kind.MERGED
        elif t in splits:
            assert kind == Kind.SPLIT
        elif best >= threshold:
            assert kind == Kind.CORRECT
        else:
            assert kind == (Kind.POOR_OUTLINE if best > 0.1 else Kind.MISSED)
    for p, kind in zip(ids[1], kinds.found, strict=True):
        if p in merges:
            assert kind == Kind.MERGED
        elif any((t, p) in covers for t in splits):
            assert kind == Kind.SPLIT
        elif not any((t, p) in covers for t in ids[0]):
            assert kind == Kind.EXTRA
    assert len(comparison.table(kinds)["kind"]) == sum(kinds.counts().values())


@given(labels=LABELS, factor=st.sampled_from([1, 10**7]), lowest=st.sampled_from([0, -1]))
def test_painting_gives_each_nucleus_its_value(labels, factor, lowest):
    labels = labels * factor
    labels[0, 0] = lowest
    ids = np.unique(labels[labels > 0])[::2]
    values = np.arange(1, len(ids) + 1, dtype=np.float32) / 7
    expected = np.zeros(labels.shape, np.float32)
    for i, value in zip(ids, values, strict=True):
        expected[labels == i] = value
    painted = paint(labels, ids, values)
    assert painted.dtype == np.float32
    assert np.array_equal(painted, expected)


@pytest.mark.parametrize("empty", ["truth", "prediction", "both"])
def test_empty_images_have_empty_tables(empty):
    nothing = np.zeros_like(TRUTH)
    truth = nothing if empty in ("truth", "both") else TRUTH
    prediction = nothing if empty in ("prediction", "both") else PREDICTION
    comparison = compare(truth, prediction, pixel_size_um=(1.0, 2.0))
    kinds = classify(comparison.overlaps)
    table = comparison.table(kinds)
    expected = {"truth": ["extra"] * 4, "prediction": ["missed"] * 4, "both": []}[empty]
    assert table["kind"].tolist() == expected
    assert (
        set(np.unique(comparison.kind_image(kinds)))
        == {
            "truth": {0, Kind.EXTRA},
            "prediction": {0, Kind.MISSED},
            "both": {0},
        }[empty]
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (0.25, 0.7)])
def test_distances_are_those_of_monai(spacing):
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    truth = read_sample("fluorescence")[1]
    prediction = np.roll(ndimage.grey_erosion(truth, size=3), 2, axis=1)
    comparison = compare(truth, prediction, pixel_size_um=spacing)
    table = comparison.table(classify(comparison.overlaps))
    compared = 0
    for n, (t, p) in enumerate(zip(table["true_id"], table["prediction_id"], strict=True)):
        if not t or not p:
            continue
        one, other = (
            torch.from_numpy(image == i)[None, None] for image, i in ((truth, t), (prediction, p))
        )
        options = {"include_background": True, "spacing": spacing}
        hausdorff = compute_hausdorff_distance(other, one, **options)
        mean = compute_average_surface_distance(other, one, symmetric=True, **options)
        assert table["hausdorff_um"][n] == pytest.approx(float(hausdorff), rel=1e-6)
        assert table["surface_distance_um"][n] == pytest.approx(float(mean), rel=1e-6)
        compared += 1
    assert compared >= 20


def test_large_outlines_have_the_same_distances(monkeypatch):
    truth = read_sample("brightfield")[1]
    comparison = compare(truth, np.roll(truth, 5, axis=0))
    small = comparison.distances_px
    monkeypatch.setattr("napari_nucleiseg.metrics._surfaces._ALL_DISTANCES", 1)
    large = compare(truth, np.roll(truth, 5, axis=0)).distances_px
    for one, other in zip(small, large, strict=True):
        assert other == pytest.approx(one, nan_ok=True)
