"""How long it takes to compare 4,000 nuclei in 4096 x 4096 pixels with the true ones.

    python benchmarks/evaluation.py

Nuclei are those of a bundled sample, repeated; a prediction is made of them by moving, merging and
leaving out some. Each step is timed three times, the least counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_nucleiseg.comparison import classify, compare
from napari_nucleiseg.metrics._matching import Overlaps
from napari_nucleiseg.samples import read_sample

SIDE, NUCLEI = 4096, 4000


def many_nuclei() -> np.ndarray:
    """Label image of so many nuclei, cut out of a sample where the most of them lie."""
    sample = read_sample("stained")[1]
    height, width = sample.shape
    down, right = -(-SIDE // height), -(-SIDE // width)
    labels = np.tile(sample, (down, right)).astype(np.int32)
    number = np.arange(down * right, dtype=np.int32).reshape(down, right) * (sample.max() + 1)
    labels = np.where(labels > 0, labels + np.kron(number, np.ones_like(sample)), 0)[:SIDE, :SIDE]
    ids = np.unique(labels[labels > 0])
    kept = np.random.default_rng(0).permutation(ids)[:NUCLEI]
    table = np.zeros(ids[-1] + 1, np.int32)
    table[kept] = np.arange(1, len(kept) + 1)
    return table[labels]


def damaged(labels: np.ndarray) -> np.ndarray:
    """A prediction: nuclei moved by two pixels, every tenth missed, some numbers given twice."""
    table = np.arange(labels.max() + 1, dtype=np.int32)
    table[::10] = 0
    table[5::50] = table[6::50][: len(table[5::50])]
    return np.roll(table[labels], (2, 1), (0, 1))


def time_of(step: Callable[[], Any]) -> tuple[float, Any]:
    """Least seconds of three runs, and the last result."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        result = step()
        seconds.append(time.perf_counter() - started)
    return min(seconds), result


def main() -> None:
    """Print a table."""
    truth = many_nuclei()
    prediction = damaged(truth)
    print(f"{len(np.unique(truth)) - 1} true nuclei in {truth.shape[0]} x {truth.shape[1]} pixels")

    overlaps_s, overlaps = time_of(lambda: Overlaps.between(truth, prediction))
    all_s, _ = time_of(lambda: compare(truth, prediction).table(classify(overlaps)))
    comparison = compare(truth, prediction)
    comparison.table(classify(overlaps))
    comparison.kind_image(classify(overlaps))
    steps: dict[str, Callable[[], Any]] = {
        "IoU image": comparison.iou_image,
        "Dice image": comparison.dice_image,
        "agreement image": comparison.agreement_image,
        "number image, once": lambda: compare(truth, prediction).places,
        "slider: kinds": lambda: classify(overlaps, 0.7),
        "slider: kinds and table": lambda: comparison.table(classify(overlaps, 0.7)),
        "slider: kinds and image": lambda: comparison.kind_image(classify(overlaps, 0.7)),
    }
    print(f"{'overlaps':<40}{overlaps_s * 1000:8.0f} ms")
    print(f"{'overlaps, distances, table':<40}{all_s * 1000:8.0f} ms")
    for name, step in steps.items():
        print(f"{name:<40}{time_of(step)[0] * 1000:8.1f} ms")


if __name__ == "__main__":
    main()
