"""How long napari stands still: opening the dock, and while nuclei are segmented.

``xvfb-run -a python benchmarks/responsiveness.py [--side 4096] [--in-thread]``

A timer of the window's event loop should fire every 5 ms; the longest time between two of its calls
is the longest pause a person would feel. ``--in-thread`` runs the work on a thread of the window's
own process instead of a child process, for comparison.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

_HOME = tempfile.TemporaryDirectory()
os.environ["XDG_CONFIG_HOME"] = _HOME.name
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name) / "napari.yaml")

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.samples import read_sample
from napari_nucleiseg.tasks import work_here


class Pauses:
    """The longest times between two calls of a 5 ms timer, by what went on."""

    def __init__(self) -> None:
        self.phase, self.longest, self._last = "", {}, time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest.setdefault(self.phase, []).append(1000 * (now - self._last))
        self._last = now

    def enter(self, phase: str) -> None:
        """Say what goes on from now on; the pause under way counts for what went before."""
        self._tick()
        self.phase = phase

    def report(self) -> None:
        """Print the longest pauses."""
        for phase, pauses in self.longest.items():
            if phase:
                worst = ", ".join(f"{p:.0f}" for p in sorted(pauses)[:-4:-1])
                print(f"  {phase:<44} longest pauses {worst} ms")


def run_until(condition, seconds: float = 600) -> None:
    """Run the event loop until something is so, as a window does: waiting for its events."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.001)


def measure(side: int, in_thread: bool) -> None:
    """Measure one size of a micrograph, twice: all imports to be done, and all done."""
    micrograph, _ = read_sample("fluorescence")
    pixels = micrograph.pixels
    if side:
        repeats = [-(-side // n) for n in pixels.shape]
        pixels = np.tile(pixels, repeats)[:side, :side]
    viewer = napari.Viewer()
    viewer.add_image(pixels, name="micrograph")
    viewer.window.resize(1366, 768)
    run_until(lambda: False, 1)
    started = time.perf_counter()
    _, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Segment nuclei")
    QApplication.processEvents()
    seconds = time.perf_counter() - started
    print(f"{pixels.shape[0]}x{pixels.shape[1]} px: dock opened in {seconds:.2f} s")
    session = bridge_of(viewer).session
    if in_thread:
        session._work_in = work_here
        # OpenVINO on a thread of Qt's pool ends the program under PyQt6
        session.config = session.config.model_copy(update={"engine": "torch"})
    pauses = Pauses()
    pauses.enter("nothing goes on")
    run_until(lambda: False, 3)
    pauses.enter("")
    bridge = bridge_of(viewer)
    place = bridge._place
    for run in ("first run", "second run"):

        def place_measured(event, run=run):
            pauses.enter(f"{run}: result becomes a layer (napari's work)")
            place(event)

        bridge._place = place_measured
        pauses.enter(f"{run}: pixels are copied, job starts")
        dock.segment_button.click()
        pauses.enter(f"{run}: at work")
        run_until(lambda: dock.outcome.state.property("state") in ("done", "failed"))
        run_until(lambda: False, 1)
        pauses.enter("")
        said = dock.outcome
        print(f"  {run}: {said.state.text()} {said.result.text()} {said.sentence.text()}")
    pauses.report()
    viewer.close()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=0, help="side of a mosaic of the sample (px)")
    parser.add_argument("--in-thread", action="store_true", help="not in a child process")
    options = parser.parse_args()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{platform.machine()}, {os.cpu_count()} cores{load}, Python {platform.python_version()}")
    measure(options.side, options.in_thread)


if __name__ == "__main__":
    main()
