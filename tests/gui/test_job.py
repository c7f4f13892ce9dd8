"""Closing napari in the middle of a run, in a process of its own: it ends at once, and quietly."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

PROGRAM = """
import sys, time
import napari, psutil
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.segment_dock import SegmentDock
from napari_nucleiseg.samples import read_sample

viewer = napari.Viewer()
viewer.add_image(np.tile(read_sample("fluorescence")[0].pixels, (16, 16)), name="mosaic")
dock = SegmentDock(viewer)
viewer.window.add_dock_widget(dock, name="Segment nuclei")
session = bridge_of(viewer).session
session.config = session.config.model_copy(
    update={"engine": "torch", "device": "cpu", "tile_px": 2048, "batch_size": 8}
)
dock.segment_button.click()

def children():
    return [child.pid for child in psutil.Process().children()]

def is_at_work():
    # after the imports: in the first step, which takes a minute
    return any(psutil.Process(pid).cpu_times().user > 2 for pid in children())

def close():
    print("child", *children(), flush=True)
    viewer.window._qt_window.close()

if sys.argv[1] == "loop":
    timer = QTimer()
    timer.timeout.connect(lambda: is_at_work() and (timer.stop(), close()))
    timer.start(50)
    napari.run()
else:
    while not is_at_work():
        QApplication.processEvents()
        time.sleep(0.01)
    close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["loop", "close"])
def test_napari_closed_in_a_long_step_ends_with_its_child_and_says_nothing(tmp_path, how):
    home = {"XDG_CONFIG_HOME": str(tmp_path), "NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.returncode == 0
    (said,) = ended.stdout.splitlines()
    assert not psutil.pid_exists(int(said.removeprefix("child ")))
