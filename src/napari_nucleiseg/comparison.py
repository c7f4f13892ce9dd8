"""What became of each nucleus: correct, missed, extra, merged, split, or with a poor outline.

References
----------
J. C. Caicedo et al., Evaluation of deep learning strategies for nucleus segmentation in
fluorescence images, Cytometry A 95, 2019, doi:10.1002/cyto.a.23863: merges and splits are
predictions and true nuclei that cover more than one of the others with an IoU over 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np

from .errors import ShapeError
from .metrics._matching import Overlaps
from .metrics._surfaces import Outlines, distances_between
from .reviewed import within_reviewed

COVERS = 0.1
"""With a larger IoU than this a prediction counts as one of that nucleus, good or bad."""

# so many numbers that a table of values for each of them is still small
_TABLE_LENGTH = 1 << 24


class Kind(IntEnum):
    """What became of a nucleus; 0 in an image of kinds is background."""

    CORRECT = 1
    MISSED = 2
    EXTRA = 3
    MERGED = 4
    SPLIT = 5
    POOR_OUTLINE = 6

    @property
    def words(self) -> str:
        """As a person reads it."""
        return self.name.lower().replace("_", " ")

    @property
    def colour(self) -> str:
        """Its colour in all pictures, as ``#RRGGBB``, from the palette of Okabe and Ito."""
        return _COLOURS[self]


_COLOURS = {
    Kind.CORRECT: "#009E73",
    Kind.MISSED: "#E69F00",
    Kind.EXTRA: "#56B4E9",
    Kind.MERGED: "#CC79A7",
    Kind.SPLIT: "#0072B2",
    Kind.POOR_OUTLINE: "#F0E442",
}


class Agreement(IntEnum):
    """Values of an image of agreement; 0 is background in both."""

    TRUE_POSITIVE = 1
    FALSE_POSITIVE = 2
    FALSE_NEGATIVE = 3


@dataclass(frozen=True)
class Kinds:
    """The kind of each nucleus at an IoU threshold.

    Attributes
    ----------
    threshold : float
    true : (N,) uint8 ndarray
        `Kind` of each true nucleus, in the order of the overlaps' ``true_ids``; never extra.
    found : (M,) uint8 ndarray
        `Kind` of each predicted nucleus; never missed.
    true_matched, found_matched : (N,), (M,) bool ndarray
        Whether it is one of a one-to-one match at the threshold, as precision and recall count
        them. One side of a merge or split may be.
    """

    threshold: float
    true: np.ndarray
    found: np.ndarray
    true_matched: np.ndarray
    found_matched: np.ndarray

    def counts(self) -> dict[str, int]:
        """Number of nuclei of each kind, by its words: true ones, and extra predictions."""
        found = np.bincount(self.true, minlength=len(Kind) + 1)
        found[Kind.EXTRA] = (self.found == Kind.EXTRA).sum()
        return {kind.words: int(found[kind]) for kind in Kind}


def classify(overlaps: Overlaps, threshold: float = 0.5) -> Kinds:
    """Name what became of each nucleus.

    A prediction that covers more than one true nucleus, each with an IoU over 0.1, is merged, and
    so are those nuclei. A true nucleus that is covered by more than one prediction in this way is
    split, and so are those predictions, where they are not merged. Of the others, matches at the
    threshold are correct; true nuclei with a prediction of IoU over 0.1 have a poor outline, and
    those without are missed, predictions without are extra.

    Parameters
    ----------
    overlaps : Overlaps
    threshold : float
        Least IoU of a match, 0.5 to 1. Merged, split, missed and extra do not depend on it.

    Returns
    -------
    Kinds

    Raises
    ------
    SettingError
        If the threshold lies below 0.5.
    """
    covers = overlaps.iou > COVERS
    rows, columns = overlaps.rows[covers], overlaps.columns[covers]
    matches = overlaps.matches(threshold)
    true_matched = np.zeros(len(overlaps.true_areas), bool)
    found_matched = np.zeros(len(overlaps.found_areas), bool)
    true_matched[overlaps.rows[matches]] = True
    found_matched[overlaps.columns[matches]] = True

    partners_of_true = np.bincount(rows, minlength=len(true_matched))
    partners_of_found = np.bincount(columns, minlength=len(found_matched))
    is_split, is_merge = partners_of_true > 1, partners_of_found > 1

    true = np.full(len(true_matched), Kind.MISSED, np.uint8)
    true[partners_of_true > 0] = Kind.POOR_OUTLINE
    true[true_matched] = Kind.CORRECT
    true[is_split] = Kind.SPLIT
    true[rows[is_merge[columns]]] = Kind.MERGED

    found = np.full(len(found_matched), Kind.EXTRA, np.uint8)
    found[partners_of_found > 0] = Kind.POOR_OUTLINE
    found[found_matched] = Kind.CORRECT
    found[columns[is_split[rows]]] = Kind.SPLIT
    found[is_merge] = Kind.MERGED
    return Kinds(threshold, true, found, true_matched, found_matched)


def paint(labels: np.ndarray, ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Give each pixel of a nucleus the nucleus' value.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    ids : (N,) integer ndarray
        Numbers of nuclei, ascending, above 0.
    values : (N,) ndarray
        A value for each of them.

    Returns
    -------
    (H, W) ndarray
        Of the values' dtype; 0 where there is no nucleus of ``ids``.
    """
    if not len(ids):
        return np.zeros(labels.shape, values.dtype)
    if ids[-1] < _TABLE_LENGTH:
        table = np.zeros(int(ids[-1]) + 2, values.dtype)
        table[ids] = values
        # numbers below 0 or above the last are no nucleus: both ends of the table are 0
        painted: np.ndarray = np.take(table, labels, mode="clip")
        return painted
    at = np.searchsorted(ids, labels)
    at[at == len(ids)] = 0
    return np.where(ids[at] == labels, values[at], values.dtype.type(0))


@dataclass(frozen=True)
class Comparison:
    """A true and a predicted label image, and all that layers and tables show of them.

    What does not depend on the IoU threshold is computed once, when it is first asked for.

    Attributes
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images; 0 where nothing counts.
    overlaps : Overlaps
    pixel_size_um : (float, float) or None
        Height and width of a pixel in µm, where known.
    """

    truth: np.ndarray
    prediction: np.ndarray
    overlaps: Overlaps
    pixel_size_um: tuple[float, float] | None = None

    @cached_property
    def best_iou(self) -> np.ndarray:
        """(N,) float64 ndarray: largest IoU of each true nucleus with any prediction."""
        best = self.overlaps.best_pairs()
        # without a single pair there is nothing to index
        iou = np.append(self.overlaps.iou, 0.0)
        largest: np.ndarray = iou[best]
        return largest

    @cached_property
    def best_dice(self) -> np.ndarray:
        """(N,) float64 ndarray: largest Dice of each true nucleus with any prediction."""
        dice: np.ndarray = 2 * self.best_iou / (1 + self.best_iou)
        return dice

    @cached_property
    def partners(self) -> np.ndarray:
        """(N,) int64 ndarray: best prediction of each true nucleus as its index, else -1.

        Only one that covers it with an IoU over 0.1.
        """
        best = self.overlaps.best_pairs()
        columns = np.append(self.overlaps.columns, -1)
        return np.where(self.best_iou > COVERS, columns[best], -1)

    @cached_property
    def outlines(self) -> tuple[Outlines, Outlines]:
        """Outlines of the true and of the predicted nuclei."""
        return Outlines.of(self.truth), Outlines.of(self.prediction)

    @cached_property
    def distances_px(self) -> tuple[np.ndarray, np.ndarray]:
        """Hausdorff and mean surface distance of each true nucleus to its partner, in pixels.

        Two (N,) float64 ndarrays, not a number without a partner.
        """
        return self._distances((1.0, 1.0))

    @cached_property
    def distances_um(self) -> tuple[np.ndarray, np.ndarray]:
        """Hausdorff and mean surface distance in µm, not a number where no pixel size is known."""
        if self.pixel_size_um is None:
            nothing = np.full(len(self.partners), np.nan)
            return nothing, nothing
        height, width = self.pixel_size_um
        if height == width:
            hausdorff, mean = self.distances_px
            return hausdorff * height, mean * height
        return self._distances(self.pixel_size_um)

    def _distances(self, pixel: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        true, found = self.outlines
        hausdorff, mean = np.full((2, len(self.partners)), np.nan)
        for i, partner in enumerate(self.partners.tolist()):
            if partner < 0:
                continue
            there, back = distances_between(
                true.of_nucleus(i) * pixel, found.of_nucleus(partner) * pixel
            )
            hausdorff[i] = max(there.max(), back.max())
            mean[i] = (there.sum() + back.sum()) / (len(there) + len(back))
        return hausdorff, mean

    def table(self, kinds: Kinds) -> dict[str, np.ndarray]:
        """All nuclei with their errors: a row for each true one, then one for each extra one.

        Parameters
        ----------
        kinds : Kinds

        Returns
        -------
        dict of (R,) ndarray
            Columns by name: ``kind`` in words, ``matched``, ``true_id`` and ``prediction_id`` (the
            best prediction; 0 without), ``iou`` and ``dice`` (the largest), the distances to that
            prediction and the areas in pixels and µm, and the middle ``y_px``, ``x_px``. What a
            nucleus does not have is not a number.
        """
        extra = np.flatnonzero(kinds.found == Kind.EXTRA)
        area_um2 = np.nan if self.pixel_size_um is None else float(np.prod(self.pixel_size_um))
        found_ids = np.append(self.overlaps.found_ids, 0)
        found_areas = np.append(self.overlaps.found_areas.astype(float), np.nan)
        extra_iou = np.zeros(len(found_ids))
        np.maximum.at(extra_iou, self.overlaps.columns, self.overlaps.iou)
        extra_iou = extra_iou[extra]
        nothing = np.full(len(extra), np.nan)

        true_areas = np.concatenate([self.overlaps.true_areas, nothing])
        predicted = np.concatenate([self.partners, extra])
        middles = np.concatenate(
            [_middles(self.outlines[0]), _middles(self.outlines[1])[extra]], axis=0
        )
        words = np.array(["", *(kind.words for kind in Kind)], object)
        distances = [
            np.concatenate([values, nothing]) for values in (*self.distances_px, *self.distances_um)
        ]
        return {
            "kind": words[np.concatenate([kinds.true, kinds.found[extra]])],
            "matched": np.concatenate([kinds.true_matched, np.zeros(len(extra), bool)]),
            "true_id": np.concatenate([self.overlaps.true_ids, np.zeros(len(extra), int)]),
            "prediction_id": found_ids[predicted],
            "iou": np.concatenate([self.best_iou, extra_iou]),
            "dice": np.concatenate([self.best_dice, 2 * extra_iou / (1 + extra_iou)]),
            "hausdorff_px": distances[0],
            "surface_distance_px": distances[1],
            "hausdorff_um": distances[2],
            "surface_distance_um": distances[3],
            "true_area_px": true_areas,
            "prediction_area_px": found_areas[predicted],
            "true_area_um2": true_areas * area_um2,
            "prediction_area_um2": found_areas[predicted] * area_um2,
            "y_px": middles[:, 0],
            "x_px": middles[:, 1],
        }

    def iou_image(self) -> np.ndarray:
        """(H, W) float32 ndarray: largest IoU on each true nucleus, not a number elsewhere."""
        return self._on_truth(self.best_iou)

    def dice_image(self) -> np.ndarray:
        """(H, W) float32 ndarray: largest Dice on each true nucleus, not a number elsewhere."""
        return self._on_truth(self.best_dice)

    def _on_truth(self, values: np.ndarray) -> np.ndarray:
        # a missed nucleus has the value 0 and must not look like background
        image = paint(self.truth, self.overlaps.true_ids, values.astype(np.float32) + 1) - 1
        image[image < 0] = np.nan
        return image

    def agreement_image(self) -> np.ndarray:
        """(H, W) uint8 ndarray: `Agreement` of the foregrounds of each pixel."""
        true, found = self.truth > 0, self.prediction > 0
        image = found * np.uint8(Agreement.FALSE_POSITIVE)
        image[true] = Agreement.FALSE_NEGATIVE
        image[true & found] = Agreement.TRUE_POSITIVE
        return image

    @cached_property
    def places(self) -> np.ndarray:
        """(H, W) int32 ndarray: each nucleus of either image by a number of its own.

        1 to N are the true nuclei, N + 1 to N + M the predicted ones, which show where no true one
        lies. An image of kinds at another threshold is this one looked up in `kinds_of_places`.
        """
        true, found = self.overlaps.true_ids, self.overlaps.found_ids
        image = paint(self.prediction, found, np.arange(1, len(found) + 1, dtype=np.int32))
        image[image > 0] += len(true)
        above = paint(self.truth, true, np.arange(1, len(true) + 1, dtype=np.int32))
        np.copyto(image, above, where=above > 0)
        return image

    def kinds_of_places(self, kinds: Kinds) -> np.ndarray:
        """(1 + N + M,) uint8 ndarray: kind of each number in `places`; 0 is not shown.

        Of predictions only the extra ones are shown: what the others are, their true nuclei say.
        """
        extra = np.where(kinds.found == Kind.EXTRA, kinds.found, 0)
        return np.concatenate([[0], kinds.true, extra]).astype(np.uint8)

    def kind_image(self, kinds: Kinds) -> np.ndarray:
        """(H, W) uint8 ndarray: `Kind` of each true nucleus and each extra one, 0 elsewhere."""
        image: np.ndarray = np.take(self.kinds_of_places(kinds), self.places)
        return image

    def kind_of_predictions(self, kinds: Kinds) -> dict[str, dict[str, int]]:
        """How many true nuclei of each kind have a best prediction of which kind.

        Returns
        -------
        dict of dict of int
            By the true nucleus' kind, then by the prediction's, ``"none"`` without one; last
            ``"none"`` with the extra predictions. Where nuclei lie in a tangle the two differ.
        """
        names = {0: "none", **{int(kind): kind.words for kind in Kind}}
        best = np.append(kinds.found, 0)[self.partners]
        table: dict[str, dict[str, int]] = {}
        for true, found in zip(kinds.true.tolist(), best.tolist(), strict=True):
            row = table.setdefault(names[true], {})
            row[names[found]] = row.get(names[found], 0) + 1
        if extra := int((kinds.found == Kind.EXTRA).sum()):
            table["none"] = {Kind.EXTRA.words: extra}
        return table


def compare(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    region: np.ndarray | None = None,
    pixel_size_um: tuple[float, float] | None = None,
) -> Comparison:
    """Compare two label images.

    Parameters
    ----------
    truth, prediction : (H, W) integer ndarray
        Label images. Where ``truth`` is below 0, nothing counts.
    region : (H, W) bool ndarray, optional
        Where nuclei count, for example what was reviewed. True nuclei across its border count
        with the part that lies inside; so do those that were found, if half of them does.
    pixel_size_um : (float, float), optional
        Height and width of a pixel in µm.

    Returns
    -------
    Comparison

    Raises
    ------
    ShapeError
        If they differ in size.
    """
    if truth.shape == prediction.shape and region is not None and region.shape != truth.shape:
        raise ShapeError(
            "Region and label image differ in size",
            f"{region.shape} and {truth.shape}",
            "Draw the region on the image the labels are of",
        )
    outside: Any = truth < 0
    if region is not None:
        outside |= ~region.astype(bool)
    if outside.any() and truth.shape == prediction.shape:
        prediction = within_reviewed(np.where(outside, -1, truth), prediction)
        truth = np.where(outside, 0, truth)
    overlaps = Overlaps.between(truth, prediction)
    return Comparison(truth, prediction, overlaps, pixel_size_um)


def _middles(outlines: Outlines) -> np.ndarray:
    """(N, 2) float64 ndarray: middle of each nucleus' bounding box, (y, x) in pixels."""
    if not len(outlines.ids):
        return np.zeros((0, 2))
    starts = outlines.starts[:-1]
    first = np.minimum.reduceat(outlines.points, starts, axis=0)
    last = np.maximum.reduceat(outlines.points, starts, axis=0)
    middles: np.ndarray = (first + last) / 2
    return middles
