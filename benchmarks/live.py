"""How long the nuclei of a view take: without a window, and in the dock from a move to the layer.

``python benchmarks/live.py [DSB2018]`` without a window, and
``xvfb-run -a -s "-screen 0 1600x900x24" python benchmarks/live.py [DSB2018] --dock`` with one.

Micrographs of the split ``val``, or the fluorescence sample, are put together to a wide one. Fifty
views of 1,000 × 700 px are moved and zoomed over it. ``--exact`` compares the nuclei of the fast
way with those of exact 32-bit arithmetic.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

_HOME = tempfile.TemporaryDirectory()
os.environ["XDG_CONFIG_HOME"] = _HOME.name
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name) / "napari.yaml")

import numpy as np

from napari_nucleiseg import SegmentConfig, read_micrograph
from napari_nucleiseg.channels import choose_pixels
from napari_nucleiseg.engine import build_engine
from napari_nucleiseg.events import Event
from napari_nucleiseg.gathering import gathering
from napari_nucleiseg.instances import DecodeConfig
from napari_nucleiseg.intensity import normalise
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.live import Looked, Sized, Unseen, look, prepare
from napari_nucleiseg.metrics.average_precision import average_precision
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import read_sample
from napari_nucleiseg.store import find_model
from napari_nucleiseg.tiling import Grid
from napari_nucleiseg.viewing import View

VIEW = (700, 1000)
SIDE = 4096
WHICH = ("1", "zoomed", "2", "0.5")
WARM_UP = 8


def val_of(folder: Path) -> list[dict[str, str]]:
    """Rows of the table of micrographs that are of the split ``val``."""
    with (folder / "index.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "val"]


def fluorescent(folder: Path) -> list[np.ndarray]:
    """Give the fluorescence micrographs of ``val``, each in 8 bits by its own range."""
    found = []
    for row in val_of(folder):
        if row["modality"] != "fluorescence":
            continue
        path = next((folder / "images").glob(f"{row['image_id']}.*"))
        chosen, _ = choose_pixels(read_micrograph(path))
        scaled = normalise(chosen.pixels, find_model("nuclei").normalise)[0]
        found.append((np.clip(scaled / 1.5, 0, 1) * 255).astype(np.uint8))
    return found


def mosaic(folder: Path | None) -> Micrograph:
    """Put micrographs together, row by row, until a square is full."""
    parts = [read_sample("fluorescence")[0].pixels] if folder is None else fluorescent(folder)
    whole = np.zeros((SIDE, SIDE), np.uint8)
    y = number = 0
    while y < SIDE:
        x = tallest = 0
        while x < SIDE:
            part = parts[number % len(parts)][: SIDE - y, : SIDE - x]
            whole[y : y + part.shape[0], x : x + part.shape[1]] = part
            x, tallest, number = x + part.shape[1], max(tallest, part.shape[0]), number + 1
        y += tallest
    return Micrograph(whole, "YX", name="mosaic")


def zooms(count: int, which: str) -> list[float]:
    """Magnifications of the views."""
    if which != "zoomed":
        return [float(which)] * count
    return [float(z) for z in np.exp(0.7 * np.sin(np.arange(count) / 4)) * 0.9]


def views(count: int, which: str) -> list[View]:
    """Views along a curve over the mosaic."""
    found = []
    for n, magnification in enumerate(zooms(count, which)):
        height, width = (side / magnification for side in VIEW)
        y, x = (SIDE / 2 + (SIDE / 4) * f(n / 5) for f in (np.sin, np.cos))
        rows, columns = (y - height / 2, y + height / 2), (x - width / 2, x + width / 2)
        found.append(View(rows, columns, magnification))
    return found


def tell(
    title: str, seconds: list[float], nuclei: list[int], cpu: list[float] | None = None
) -> None:
    """Print a row of the table."""
    ms = 1000 * np.array(seconds)
    worked = "" if cpu is None else f"{1000 * np.median(cpu):.0f}"
    print(
        f"| {title} | {np.median(ms):.0f} | {ms.max():.0f} | {worked} "
        f"| {np.mean(nuclei):.0f} | {os.getloadavg()[0]:.1f} |",
        flush=True,
    )


def without_window(micrograph: Micrograph, count: int) -> None:
    """Time from a request to its answer, in this process."""
    picture = prepare(micrograph, SegmentConfig(device="cpu"))
    for which in WHICH:
        earlier, seconds, nuclei, cpu = None, [], [], []
        # the first views of each size get the network ready for it
        for view in [*views(count, which)[:WARM_UP], *views(count, which)]:
            began, worked = time.perf_counter(), time.process_time()
            for event in look(picture, view, earlier):
                if isinstance(event, Sized):
                    picture = replace(picture, sized=event)
            seconds.append(time.perf_counter() - began)
            cpu.append(time.process_time() - worked)
            if isinstance(event, Looked):
                earlier = event
                nuclei.append(event.count)
        tell(f"without a window, {which}", seconds[WARM_UP:], nuclei, cpu[WARM_UP:])


def run_until(condition, seconds: float = 120) -> bool:
    """Run the event loop until something is so, as a window does."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.0005)
    return bool(condition())


def in_dock(micrograph: Micrograph, count: int) -> None:
    """Time from a move of the camera to the new labels in their layer, and to their drawing."""
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(1600, 960)
    viewer.add_image(micrograph.pixels, name="mosaic")
    _, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Segment nuclei")
    run_until(lambda: False, 2)
    # as large a window as the canvas needs
    wanted = np.array(VIEW) - viewer.canvas.size
    frame = viewer.window._qt_window
    frame.resize(frame.width() + int(wanted[1]), frame.height() + int(wanted[0]))
    run_until(lambda: False, 2)
    print("canvas {} × {} px".format(*viewer.canvas.size), flush=True)
    heard: list[Event] = []
    dock.live._live.event.connect(heard.append)
    dock.live.button.click()
    run_until(lambda: dock.live.layer is not None)
    camera = viewer.scene.camera
    for which in WHICH:
        seconds, nuclei, work, window = [], [], [], []
        for view in [*views(count, which)[:WARM_UP], *views(count, which)]:
            before = len(heard)
            started, busy = time.perf_counter(), time.thread_time()
            camera.zoom = view.magnification
            camera.center = (0, sum(view.rows) / 2, sum(view.columns) / 2)
            if not run_until(lambda before=before: len(heard) > before):
                print("no answer")
                continue
            seconds.append(time.perf_counter() - started)
            window.append(time.thread_time() - busy)
            event = heard[-1]
            if isinstance(event, Unseen):
                print(event.text)
                continue
            nuclei.append(event.count)
            work.append(event.seconds)
            run_until(lambda: False, 0.15)
        tell(f"in the dock, {which}", seconds[WARM_UP:], nuclei, window[WARM_UP:])
        tell(f"of it from request to answer, {which}", work[WARM_UP:], nuclei)
    dock.live.button.click()
    viewer.close()


def found_by(predict, picture: np.ndarray, model) -> np.ndarray:
    """Decode what a network says of one picture."""
    gathered = gathering(model.map_names, picture.shape[1:], DecodeConfig())
    grid = Grid(tile=4096, multiple=model.multiple)
    for _ in gathered.tiles(predict, lambda y, x: picture[:, y, x], grid):
        pass
    return gathered.labels()[0]


def compare(folder: Path) -> None:
    """Scores of the fast and of the exact way on ``val``, and how much they agree."""
    model, config = find_model("nuclei"), SegmentConfig(device="cpu")
    exact, quick = (build_engine(model, config, is_quick=q).predict for q in (False, True))
    names = [row["image_id"] for row in val_of(folder)]
    thresholds = tuple(np.arange(0.5, 1, 0.05))
    scores = []
    for name in names:
        chosen, _ = choose_pixels(read_micrograph(next((folder / "images").glob(f"{name}.*"))))
        truth = read_labels(next((folder / "masks").glob(f"{name}.*"))).image
        picture = normalise(chosen.pixels, model.normalise)
        a, b = (found_by(p, picture, model) for p in (exact, quick))
        at = partial(average_precision, thresholds=thresholds)
        scores.append([at(truth, a), at(truth, b), at(a, b)])
    means = np.mean(scores, axis=0)
    for title, row in zip(("exact", "fast", "fast against exact"), means, strict=True):
        print(f"| {title} | {row[0]:.4f} | {row[5]:.4f} | {row[8]:.4f} | {row.mean():.4f} |")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path, nargs="?", help="DSB2018; the sample without it")
    parser.add_argument("--dock", action="store_true", help="in the window")
    parser.add_argument("--exact", action="store_true", help="compare with exact arithmetic")
    parser.add_argument("--views", type=int, default=50)
    given = parser.parse_args()
    if given.exact:
        compare(given.data)
        return
    print("| views | median, ms | longest, ms | CPU, ms | nuclei | load |")
    print("|---|---|---|---|---|---|")
    (in_dock if given.dock else without_window)(mosaic(given.data), given.views)


if __name__ == "__main__":
    main()
