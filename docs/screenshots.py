"""Take the pictures in docs/images.

``xvfb-run -a -s "-screen 0 1366x768x24" python docs/screenshots.py``

The settings of whoever runs it stay out of the pictures and are not changed.
"""

from __future__ import annotations

import os
import shutil
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
from qtpy.QtCore import Qt  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402

from napari_nucleiseg.gui.__main__ import open_demo  # noqa: E402
from napari_nucleiseg.gui.batch_dock import BatchDock  # noqa: E402
from napari_nucleiseg.gui.desk import desk_of  # noqa: E402
from napari_nucleiseg.gui.measure_dock import MeasureDock  # noqa: E402
from napari_nucleiseg.samples import SAMPLES, read_sample  # noqa: E402

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
    live(viewer, dock)
    viewer.window.remove_dock_widget(dock)
    correct_nuclei(viewer)
    measure(viewer)
    batch(viewer)
    compare_models(viewer)
    evaluate(viewer)
    check_training_data(viewer)
    viewer.close()
    fine_tune()


def live(viewer, dock) -> None:
    """Look at a part of the micrograph with *Live*, its nuclei hidden."""
    labels = next(x for x in viewer.layers if x.name.endswith("· nuclei"))
    labels.visible = False
    dock.live.button.click()
    # napari before 0.9 has it on the viewer
    camera = getattr(viewer, "scene", viewer).camera
    camera.zoom *= 1.5
    wait(lambda: "in view" in dock.live.words.text())
    # the first look loads the network
    camera.zoom *= 1.1
    settle(3)
    viewer.screenshot(str(IMAGES / "live.png"), canvas_only=False, flash=False)
    dock.live.button.click()
    labels.visible = True
    viewer.reset_view()
    settle()


def measure(viewer) -> None:
    """Measure the nuclei found, choose some with the lasso, colour them by size."""
    for layer in viewer.layers:
        layer.scale, layer.units = (0.3, 0.3), ("um", "um")
    viewer.reset_view()
    dock = MeasureDock(viewer)
    viewer.window.add_dock_widget(dock, name="Measurements")
    dock.measure_button.click()
    wait(lambda: dock.outcome.state.property("state") == "done")
    dock.view.tabs.setCurrentIndex(2)
    dock.view.colour.setCurrentIndex(dock.view.colour.findData("area_um2"))
    dock.view.colour.activated.emit(dock.view.colour.currentIndex())
    settle()
    plot = dock.view.scatter
    (left, right), (low, high) = plot.getViewBox().viewRange()
    middle = (left + right) / 2
    ring = [(middle, low), (right, low), (right, high), (middle, high)]
    points = [plot.place_of(*place).toPoint() for place in ring]
    QTest.mousePress(plot.viewport(), Qt.MouseButton.LeftButton, pos=points[0])
    for point in points[1:]:
        QTest.mouseMove(plot.viewport(), point)
    QTest.mouseRelease(plot.viewport(), Qt.MouseButton.LeftButton, pos=points[-1])
    settle()
    viewer.screenshot(str(IMAGES / "measure.png"), canvas_only=False, flash=False)
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    settle()


def batch(viewer) -> None:
    """Segment a folder with a damaged file; open one of the results."""
    viewer.layers.clear()
    folder = Path(_HOME.name) / "plate1"
    folder.mkdir()
    for name, sample in SAMPLES.items():
        for number in (1, 2):
            shutil.copy(sample.micrograph, folder / f"{name}_{number}.png")
    whole = (folder / "stained_1.png").read_bytes()
    (folder / "damaged.png").write_bytes(whole[:900])
    dock = BatchDock(viewer)
    viewer.window.add_dock_widget(dock, name="Batch")
    dock.form.folder.setText(str(folder))
    dock.form.folder.editingFinished.emit()
    dock.form.table.click()
    dock.run_button.click()
    wait(lambda: dock.table.rowCount() and dock.table.status(0) == "done")
    dock.table.cellDoubleClicked.emit(0, 0)
    wait(lambda: len(viewer.layers) == 2)
    wait(lambda: dock.table.status(4).startswith("tile") or dock.table.status(4) == "done")
    dock.pause_button.click()
    viewer.reset_view()
    settle()
    viewer.screenshot(str(IMAGES / "batch.png"), canvas_only=False, flash=False)
    dock.cancel_button.click()
    wait(lambda: dock.run_button.isEnabled())
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    viewer.layers.clear()
    settle()


def correct_nuclei(viewer) -> None:
    """Correct some of the nuclei that were found."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Correct nuclei")
    dock = getattr(dock, "__wrapped__", dock)
    desk = desk_of(viewer)
    desk.keep_in(dock.image_layer, Path(_HOME.name))
    wait(lambda: desk.recording.stage == "ready")
    for action in ("next", "confirm", "next", "confirm", "next", "grow", "next", "smooth", "next"):
        dock.act(action)
        settle(0.1)
    dock.reviewed.open(True)
    dock.act("review around")
    settle()
    wait(lambda: not desk.recording.is_saving)
    settle()
    viewer.screenshot(str(IMAGES / "correct.png"), canvas_only=False, flash=False)
    viewer.window.remove_dock_widget(dock)
    settle()


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


def check_training_data(viewer) -> None:
    """Check a training folder with some faults, and look at the place worst drawn."""
    import numpy as np
    from PIL import Image

    from napari_nucleiseg.io import write_labels
    from napari_nucleiseg.samples import SAMPLES, read_sample

    for dock in list(viewer.window.dock_widgets.values()):
        viewer.window.remove_dock_widget(dock)
    viewer.layers.clear()
    data = Path(_HOME.name) / "corrected"
    for name, sample in SAMPLES.items():
        _, labels = read_sample(name)
        for folder in ("images", "masks"):
            (data / folder).mkdir(parents=True, exist_ok=True)
        (data / "images" / f"{name}.png").write_bytes(sample.micrograph.read_bytes())
        if name == "fluorescence":
            mask = np.where(labels > 0, 255, 0).astype(np.uint8)
            Image.fromarray(mask).save(data / "masks" / f"{name}.png")
            continue
        rows, columns = np.nonzero(labels == 7)
        y, x = int(rows.mean()), int(columns.mean())
        if name == "stained":
            labels[y - 1 : y + 2, x - 1 : x + 2] = 0
        write_labels(data / "masks" / f"{name}.tif", labels)
    _, dock = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Check training data")
    dock = getattr(dock, "__wrapped__", dock)
    session = dock.view._session
    dock.folder.setText(str(data))
    dock.folder.editingFinished.emit()
    dock.folder.setText("~/corrected")
    for pressed in (dock.view.check_button, dock.view.preview_button):
        pressed.click()
        wait(lambda: not session.is_busy, 300)
    table = dock.view.table
    at = next(i for i in range(table.rowCount()) if table.item(i, 0).text() == "stained")
    table.selectRow(at)
    table.cellClicked.emit(at, 0)
    wait(lambda: len(viewer.layers) == 2)
    settle()
    viewer.screenshot(str(IMAGES / "check.png"), canvas_only=False, flash=False)
    dock.view.hide()
    dock.next_place.find_button.click()
    wait(lambda: not session.is_busy, 300)
    dock.next_place.go_next()
    settle()
    viewer.screenshot(str(IMAGES / "next-place.png"), canvas_only=False, flash=False)


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
    wait(lambda: learning.curve.best_step is not None or not learning.is_busy, 600)
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
