"""How long it takes to compare 4,000 nuclei in 4096 x 4096 pixels with the true ones.

    python benchmarks/evaluation.py
    xvfb-run -a -s "-screen 0 1366x768x24" python benchmarks/evaluation.py --dock

The second command times the dock "Evaluate" in a window: from the worker's answer until layers and
table are there, and how long the window stands still when the slider moves.

Nuclei are those of a bundled sample, repeated; a prediction is made of them by moving, merging and
leaving out some. Each step is timed three times, the least counts.
"""

from __future__ import annotations

import sys
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


def dock() -> None:
    """Print how long the dock takes."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_nucleiseg.gui.bridge import session_of
    from napari_nucleiseg.gui.evaluate_dock import EvaluateDock
    from napari_nucleiseg.judging import Judged, Judging

    truth = many_nuclei()
    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    viewer.add_image((truth % 251).astype(np.uint8), name="image")
    viewer.add_labels(damaged(truth), name="image · nuclei")
    viewer.add_labels(truth, name="image · truth")
    times: dict[str, float] = {}

    def note(when: str) -> Callable[[Any], None]:
        def on_event(event: Any) -> None:
            if isinstance(event, Judging):
                times.setdefault("first step", time.perf_counter())
            elif isinstance(event, Judged):
                times[when] = time.perf_counter()

        return on_event

    session = session_of(viewer)
    before, after = note("answer"), note("shown")
    session.event.connect(before)
    widget = EvaluateDock(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    session.event.connect(after)

    def run() -> None:
        times.clear()
        widget.compare_button.click()
        while session.is_busy:
            QApplication.processEvents()
            time.sleep(0.005)

    for which in ("first time", "again"):
        run()
        worked, shown = times["answer"] - times["first step"], times["shown"] - times["answer"]
        print(f"{f'{which}: in the worker':<40}{worked:8.2f} s")
        print(f"{f'{which}: layers and table':<40}{shown:8.2f} s")
    set_s, drawn_s = [], []
    for value in range(51, 81):
        started = time.perf_counter()
        widget.slider.setValue(value)
        set_s.append(time.perf_counter() - started)
        QApplication.processEvents()
        drawn_s.append(time.perf_counter() - started)
    for words, seconds in (("slider", set_s), ("slider, and drawn", drawn_s)):
        said = f"{1000 * np.median(seconds):8.0f} ms median, {1000 * max(seconds):.0f} ms longest"
        print(f"{words:<40}{said}")
    viewer.close()


if __name__ == "__main__":
    dock() if "--dock" in sys.argv[1:] else main()
