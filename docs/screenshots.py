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

from qtpy.QtWidgets import QApplication  # noqa: E402

from napari_nucleiseg.gui.__main__ import open_demo  # noqa: E402

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
    evaluate(viewer)
    viewer.close()


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


def evaluate(viewer) -> None:
    """Compare the nuclei found in a sample with its truth, and look at an error."""
    viewer.layers.clear()
    image, *_ = viewer.open_sample("napari-nucleiseg", "stained")
    _, found = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Segment nuclei")
    found = getattr(found, "__wrapped__", found)
    found.segment_button.click()
    wait(lambda: f"{image.name} · nuclei" in viewer.layers and found.segment_button.isEnabled())
    viewer.window.remove_dock_widget(found)
    _, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Evaluate")
    dock = getattr(dock, "__wrapped__", dock)
    dock.compare_button.click()
    wait(lambda: dock.outcome.state.property("state") == "done")
    dock.slider.setValue(70)
    viewer.reset_view()
    dock.filter.setCurrentIndex(1)
    settle()
    viewer.screenshot(str(IMAGES / "evaluate.png"), canvas_only=False, flash=False)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
