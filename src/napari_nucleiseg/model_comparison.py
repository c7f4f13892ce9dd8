"""Which of two models is better on the same images: differences, their intervals, plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from .errors import SettingError
from .evaluation import Evaluated, ImageCompared
from .metrics import distances_of_outlines, scores_of_nuclei, title
from .statistics import LEAST_IMAGES, Difference, paired_bootstrap


@dataclass(frozen=True)
class ScoreCompared:
    """One score of two models, as means over images.

    Attributes
    ----------
    name, title : str
    one, other : float
        Means over the images that have this score from both models.
    difference : Difference
        Of the first minus the second.
    smaller_is_better : bool
        Whether it is a distance.
    """

    name: str
    title: str
    one: float
    other: float
    difference: Difference
    smaller_is_better: bool = False

    def words(self, one: str, other: str) -> str:
        """Say in plain words which model is better by this score.

        Parameters
        ----------
        one, other : str
            What the models are called.
        """
        if self.smaller_is_better:
            d = self.difference
            turned = replace(d, mean=-d.mean, low=-d.high, high=-d.low)
            return f"{self.title}, smaller is better: {turned.words(one, other)}"
        return f"{self.title}: {self.difference.words(one, other)}"


@dataclass(frozen=True)
class ModelsCompared:
    """Two models on the same images.

    Attributes
    ----------
    names : (str, str)
    one, other : Evaluated
        Each with the same images in the same order.
    scores : tuple of ScoreCompared
        AP first.
    kinds : dict of dict of int
        How many true nuclei are of which kind with the first model, then with the second.
    """

    names: tuple[str, str]
    one: Evaluated
    other: Evaluated
    scores: tuple[ScoreCompared, ...]
    kinds: dict[str, dict[str, int]]

    def words(self) -> str:
        """One sentence: which is better by AP, and on how many images."""
        pairs = [(one, other) for _, one, other in self.images()]
        better = sum(one > other for one, other in pairs)
        worse = sum(one < other for one, other in pairs)
        one, other = self.names
        if len(pairs) < LEAST_IMAGES:
            return (
                f"AP differs by {self.scores[0].difference.mean:+.3f}; {len(pairs)} images are too "
                f"few to tell whether {one} or {other} is better."
            )
        return (
            f"{self.scores[0].words(one, other)}. {one} is better on {better}, {other} on {worse} "
            f"of {len(pairs)} images."
        )

    def images(self) -> Iterator[tuple[str, float, float]]:
        """Name and AP of each image with both models."""
        for one, other in zip(self.one.images, self.other.images, strict=True):
            yield one.name, one.scores["average_precision"], other.scores["average_precision"]

    def differences(self) -> dict[str, list[object]]:
        """A table with a row for each image and score: both values and their difference."""
        rows = [
            (one.name, one.group, name, a, b, a - b)
            for one, other in zip(self.one.images, self.other.images, strict=True)
            for (name, a), b in zip(_values(one).items(), _values(other).values(), strict=True)
        ]
        columns = ("image", "group", "score", "one", "other", "difference")
        return {name: [row[i] for row in rows] for i, name in enumerate(columns)}

    def record(self) -> dict[str, Any]:
        """All of it as plain values, for a JSON file."""
        return {
            "one": self.names[0],
            "other": self.names[1],
            "words": self.words(),
            "scores": {
                s.name: {
                    "one": s.one,
                    "other": s.other,
                    "difference": s.difference.mean,
                    "low": s.difference.low,
                    "high": s.difference.high,
                    "images": s.difference.images,
                    "words": s.words(*self.names),
                }
                for s in self.scores
            },
            "kinds": self.kinds,
            "images": [
                {"name": name, "one": one, "other": other} for name, one, other in self.images()
            ],
        }


def compare_models(one: Evaluated, other: Evaluated, names: tuple[str, str]) -> ModelsCompared:
    """Compare the results of two models on the same images.

    Parameters
    ----------
    one, other : Evaluated
    names : (str, str)
        What the models are called.

    Returns
    -------
    ModelsCompared

    Raises
    ------
    SettingError
        If their images differ.
    """
    if [i.name for i in one.images] != [i.name for i in other.images]:
        apart = {i.name for i in one.images} ^ {i.name for i in other.images}
        raise SettingError(
            "Two models are compared on the same images",
            ", ".join(sorted(apart)[:5]),
            "Segment them with both models",
        )
    first, second = ([_values(image) for image in result.images] for result in (one, other))
    distances = {f"{name}_px" for name in distances_of_outlines()}
    scores = []
    for name in first[0]:
        pairs = [(a[name], b[name]) for a, b in zip(first, second, strict=True)]
        pairs = [pair for pair in pairs if not math.isnan(sum(pair))]
        if not pairs:
            continue
        values = [a for a, _ in pairs], [b for _, b in pairs]
        scores.append(
            ScoreCompared(
                name,
                _title(name),
                sum(values[0]) / len(pairs),
                sum(values[1]) / len(pairs),
                paired_bootstrap(*values),
                smaller_is_better=name in distances,
            )
        )
    kinds: dict[str, dict[str, int]] = {}
    for a, b in zip(one.images, other.images, strict=True):
        for before, after in zip(_true_kinds(a), _true_kinds(b), strict=True):
            row = kinds.setdefault(before, {})
            row[after] = row.get(after, 0) + 1
    return ModelsCompared(names, one, other, tuple(scores), kinds)


def _values(image: ImageCompared) -> dict[str, float]:
    """All scores of an image, AP first."""
    first = "average_precision"
    return {
        first: image.scores[first],
        "ap_0.50": image.ap["0.50"],
        "ap_0.75": image.ap["0.75"],
        **{name: image.scores[name] for name in scores_of_nuclei() if name != first},
        **{f"{name}_px": image.distances_px[name] for name in distances_of_outlines()},
    }


def _title(name: str) -> str:
    if name.startswith("ap_0"):
        return f"AP at {name.removeprefix('ap_')}"
    return title(name.removesuffix("_px"))


def _true_kinds(image: ImageCompared) -> list[str]:
    """Kind of each true nucleus; their order is that of their numbers."""
    kinds: list[str] = image.nuclei["kind"][: image.true_count].tolist()
    return kinds
