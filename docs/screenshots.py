"""Take the pictures in docs/images.

``xvfb-run -a -s "-screen 0 1366x768x24" python docs/screenshots.py``

The settings of whoever runs it stay out of the pictures and are not changed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

# before napari and the package look for their folders
_HOME = tempfile.TemporaryDirectory()
os.environ["XDG_CONFIG_HOME"] = _HOME.name
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name) / "napari.yaml")
os.environ["NUCLEISEG_MODELS"] = str(Path(_HOME.name) / "models")

import napari  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402

from napari_nucleiseg.gui.__main__ import open_demo  # noqa: E402
from napari_nucleiseg.samples import read_sample  # noqa: E402

IMAGES = Path(__file__).parent / "images"


def wait(until, seconds: float = 120) -> None:
    """Let Qt work until something is so."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise SystemExit("The nuclei were not found in time")
        QApplication.processEvents()
        time.sleep(0.01)


def settle(seconds: float = 1.0) -> None:
    """Let Qt draw."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def take(widget, name: str) -> None:
    """Save a picture of a widget."""
    IMAGES.mkdir(exist_ok=True)
    widget.grab().save(str(IMAGES / name))
    print(IMAGES / name)


def main() -> None:
    """Take all pictures."""
    viewer, dock = open_demo()
    window = viewer.window._qt_window
    window.resize(1366, 768)
    viewer.window.resize(1366, 768)
    wait(lambda: dock.outcome.state.property("state") == "done")
    viewer.reset_view()
    settle()
    viewer.screenshot(str(IMAGES / "window.png"), canvas_only=False, flash=False)
    take(dock, "dock-dark.png")
    viewer.theme = "light"
    settle()
    take(dock, "dock-light.png")
    viewer.theme = "dark"
    viewer.window.remove_dock_widget(dock)
    compare_models(viewer)
    viewer.close()
    fine_tune()


def compare_models(viewer) -> None:
    """Compare the best models on the samples that come along."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Compare models")
    dock = getattr(dock, "__wrapped__", dock)
    source = dock.images.source
    source.setCurrentIndex(source.count() - 1)
    source.activated.emit(source.currentIndex())
    dock.compare_button.click()
    wait(lambda: dock.table.topLevelItemCount() == 3 and dock.compare_button.isEnabled(), 300)
    settle()
    viewer.screenshot(str(IMAGES / "compare.png"), canvas_only=False, flash=False)


def fine_tune() -> None:
    """Learn from a micrograph of a kind that is strange to the model: inverted and blurred."""
    micrograph, labels = read_sample("fluorescence")
    strange = gaussian_filter(micrograph.pixels.max() - micrograph.pixels, 2)
    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    viewer.add_image(strange, name="plate1_A03")
    viewer.add_labels(labels, name="plate1_A03 · nuclei")
    _, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Fine-tune")
    dock = getattr(dock, "__wrapped__", dock)
    chosen = dock.settings.config
    # a number of steps gives the same picture on every computer
    dock.settings.config = lambda: chosen().model_copy(update={"steps": 60})
    dock.learn_button.click()
    learning = dock._learning
    wait(lambda: dock.plot.best_step is not None or not learning.is_busy, 600)
    viewer.screenshot(str(IMAGES / "finetune-learning.png"), canvas_only=False, flash=False)
    wait(lambda: not learning.is_busy, 1200)
    dock.proof.look_button.click()
    wait(lambda: not learning.is_busy, 300)
    viewer.reset_view()
    settle()
    viewer.screenshot(str(IMAGES / "finetune.png"), canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
