"""How long napari stands still while somebody paints and a model learns on the CPU.

``xvfb-run -a python benchmarks/gui_stall.py [--in-thread] [--seconds 180]``

A timer of the window's event loop should fire every 5 ms; the longest time between two of its calls
is the longest pause that a person would feel. All the while a script paints strokes into a labels
layer, as a person does who corrects nuclei. It is measured first with nothing else going on, then
from the click on *Learn from corrections* on, for some seconds or to the verdict. ``--in-thread``
learns on a thread of napari instead of in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

_HOME = tempfile.TemporaryDirectory()
os.environ["XDG_CONFIG_HOME"] = _HOME.name
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name) / "napari.yaml")
os.environ["NUCLEISEG_MODELS"] = str(Path(_HOME.name) / "models")

import napari
import numpy as np
from qtpy.QtCore import QTimer
from responsiveness import Pauses, run_until

from napari_nucleiseg.samples import read_sample

STROKE_MS = 40


class Painter:
    """Paints a short stroke every 40 ms, each beside the last."""

    def __init__(self, layer) -> None:
        self.layer, self.strokes, self._random = layer, 0, np.random.default_rng(0)
        layer.brush_size = 8
        self._timer = QTimer()
        self._timer.timeout.connect(self._stroke)
        self._timer.start(STROKE_MS)

    def _stroke(self) -> None:
        start = self._random.integers(8, np.array(self.layer.data.shape) - 16)
        for step in range(4):
            self.layer.paint(tuple(start + 2 * step), 1 + self.strokes % 50)
        self.strokes += 1


def measure(in_thread: bool, seconds: float) -> None:
    """Measure painting alone, and painting while a model learns."""
    micrograph, labels = read_sample("fluorescence")
    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    viewer.add_image(micrograph.pixels, name="micrograph")
    viewer.add_labels(labels, name="micrograph · nuclei")
    scratch = viewer.add_labels(np.zeros_like(labels), name="painted")
    _, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Fine-tune")
    dock = getattr(dock, "__wrapped__", dock)
    dock.settings.own_process.setChecked(not in_thread)
    run_until(lambda: False, 3)
    pauses, painter = Pauses(), Painter(scratch)
    pauses.enter("painting, nothing else goes on")
    run_until(lambda: False, 15)
    pauses.enter("painting, learning begins (imports, old model)")
    before = painter.strokes
    dock.learn_button.click()
    learning = dock._learning
    end = time.monotonic() + seconds
    run_until(lambda: learning.progress.has_learned or not learning.is_busy, seconds)
    pauses.enter("painting, a model learns and is compared")
    run_until(lambda: not learning.is_busy, end - time.monotonic())
    pauses.enter("")
    print(f"  {dock.outcome.state.text()} {dock.outcome.sentence.text()}")
    print(f"  {painter.strokes - before} strokes meanwhile")
    pauses.report()
    learning.cancel(discard=True)
    run_until(lambda: not learning.is_busy, 60)
    viewer.close()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in-thread", action="store_true", help="not in a process of its own")
    parser.add_argument("--seconds", type=float, default=180.0, help="how long to measure")
    options = parser.parse_args()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    where = "a thread of napari" if options.in_thread else "a process of its own"
    print(f"{platform.machine()}, {os.cpu_count()} cores{load}: learning in {where}")
    measure(options.in_thread, options.seconds)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
