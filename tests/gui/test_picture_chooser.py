"""Pictures of a file with several: chosen in the dock."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.layers import Image

from napari_nucleiseg.gui.contributions import MOST_PICTURES
from napari_nucleiseg.gui.layers import series_of

COUNT = MOST_PICTURES + 2


@pytest.fixture
def file(tmp_path):
    """More pictures than become layers by themselves; each is as bright as its number."""
    path = tmp_path / "positions.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for number in range(COUNT):
            tif.write(np.full((20, 30), number, np.uint8), metadata={"axes": "YX"})
    return path


def images(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Image)]


def choose(dock, at):
    picture = dock.images.pictures.picture
    picture.setCurrentIndex(at)
    picture.activated.emit(at)


def test_a_picture_that_is_no_layer_yet_is_opened_and_chosen(dock, viewer, file, qtbot):
    viewer.open(str(file), plugin="napari-nucleiseg")
    row = dock.images.pictures.picture
    assert len(images(viewer)) == MOST_PICTURES
    assert row.count() == COUNT
    assert row.isVisibleTo(dock)
    choose(dock, COUNT - 1)
    qtbot.waitUntil(lambda: len(images(viewer)) == MOST_PICTURES + 1)
    qtbot.waitUntil(lambda: dock.layer is images(viewer)[-1])
    assert int(np.asarray(dock.layer.data).max()) == COUNT - 1
    assert row.currentIndex() == COUNT - 1
    choose(dock, 3)
    qtbot.waitUntil(lambda: series_of(dock.layer) == row.itemData(3))
    assert dock.layer.visible
    # once opened, it is gone to
    choose(dock, COUNT - 1)
    qtbot.waitUntil(lambda: dock.layer is images(viewer)[-1])
    assert len(images(viewer)) == MOST_PICTURES + 1


def test_a_file_opened_by_the_dock_offers_its_pictures(dock, viewer, file, qtbot):
    dock._session.open(file)
    qtbot.waitUntil(lambda: len(images(viewer)) == 1 and not dock._session.is_busy, timeout=60_000)
    assert dock.images.pictures.picture.count() == COUNT


def test_of_a_file_with_one_picture_there_is_no_choice(dock, viewer):
    viewer.add_image(np.zeros((20, 30), np.uint8))
    assert dock.images.pictures.picture.isHidden()


def test_a_picture_that_cannot_be_read_is_said(dock, viewer, file, qtbot):
    viewer.open(str(file), plugin="napari-nucleiseg")
    before = len(images(viewer))
    chosen = dock.layer
    file.write_bytes(file.read_bytes()[:900])
    choose(dock, COUNT - 1)
    qtbot.waitUntil(lambda: dock.outcome.failure.isVisibleTo(dock))
    assert "positions" in dock.outcome.sentence.text()
    assert len(images(viewer)) == before
    assert dock.layer is chosen
