"""Window, library and shell: one set of defaults, identical label images."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_nucleiseg import segment_now
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.samples import SAMPLES, read_sample


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fluorescence", "stained"])
def test_identical_labels(dock, viewer, qtbot, tmp_path, name):
    library = segment_now(read_sample(name)[0])
    command = [sys.executable, "-m", "napari_nucleiseg", "segment"]
    file = SAMPLES[name].micrograph
    subprocess.run([*command, str(file), "--out", str(tmp_path)], check=True, capture_output=True)
    shell = read_labels(tmp_path / f"{file.stem}_labels.tif").image

    viewer.open_sample("napari-nucleiseg", name)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.state.property("state") in ("done", "failed"), timeout=120_000)
    window = viewer.layers[f"{dock.layer.name} · nuclei"]

    assert library.count > 0
    assert np.array_equal(window.data, library.labels)
    assert np.array_equal(shell, library.labels)
    assert window.metadata["nucleiseg"]["config"] == library.manifest["config"]
    assert "Dice" in dock.scores.text()

    # again with other settings: nuclei that stay keep their numbers, and so their colours
    before = window.data.copy()
    dock.form.field("min_area_px").setValue(200)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.state.property("state") in ("done", "failed"), timeout=120_000)
    again = viewer.layers[f"{dock.layer.name} · nuclei"].data
    assert (again == before)[again > 0].all()


@pytest.mark.slow
def test_a_real_run_is_cancelled_in_the_middle(dock, viewer, qtbot):
    pixels = np.tile(read_sample("fluorescence")[0].pixels, (4, 4))
    viewer.add_image(pixels, name="mosaic")
    dock.form.field("tile_px").setValue(256)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "tile 1 of" in dock.state.text(), timeout=120_000)
    qtbot.mouseClick(dock.cancel_button, Qt.MouseButton.LeftButton)
    assert dock.state.text() == "Stopping · after this tile"
    qtbot.waitUntil(lambda: dock.state.property("state") == "cancelled", timeout=30_000)
    assert [layer.name for layer in viewer.layers] == ["mosaic"]
