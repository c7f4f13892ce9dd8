"""What the axes of a layer count: said by the file or by a person, and the same in a shell."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from qtpy.QtWidgets import QApplication

from napari_nucleiseg.gui import memory
from napari_nucleiseg.gui.axes import axes_choices, axes_of, say_axes
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.contributions import read
from napari_nucleiseg.gui.layers import is_guessed, kind_of

PLUGIN = "napari-nucleiseg"


@pytest.fixture
def planes(tmp_path):
    """A TIFF of nine planes that says nothing of them."""
    path = tmp_path / "planes.tif"
    pixels = np.arange(9 * 30 * 40, dtype=np.uint16).reshape(9, 30, 40)
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


def show(viewer, path):
    [(data, settings, _)] = read(str(path))
    return viewer.add_image(data, **settings)


def choose(field, value):
    at = field.findData(value)
    field.setCurrentIndex(at)
    field.activated.emit(at)


def copied(dock):
    dock._copy_command()
    return shlex.split(QApplication.clipboard().text())


@pytest.mark.parametrize(
    ("shape", "settings", "axes", "asked"),
    [
        ((30, 40), {}, "YX", False),
        ((3, 30, 40), {}, "CYX", True),
        ((9, 30, 40), {}, "ZYX", True),
        ((9, 30, 40), {"axis_labels": ("t", "y", "x")}, "TYX", True),
        ((9, 30, 40, 3), {"rgb": True}, "ZYXS", True),
        ((9, 8, 30, 40), {}, "TZYX", True),
        ((9, 2, 30, 40), {}, "ZCYX", True),
        ((2, 9, 30, 40), {}, "CZYX", True),
        ((2, 9, 30, 40), {"axis_labels": ("t", "c", "y", "x")}, "TCYX", False),
        ((9, 2, 8, 30, 40), {}, "TCZYX", True),
        ((2,) * 4 + (30, 40), {}, "", True),
        ((9, 30, 40), {"metadata": {"nucleiseg_micrograph": {"axes": "TYX"}}}, "TYX", False),
    ],
)
def test_what_is_guessed_where_nobody_says_it(shape, settings, axes, asked):
    layer = Image(np.zeros(shape, np.uint8), **settings)
    assert axes_of(layer) == axes
    assert is_guessed(layer) is asked


def test_what_a_person_says_counts():
    layer = Image(np.zeros((3, 30, 40), np.uint8))
    assert kind_of(layer) == "channels"
    assert [letters for _, letters in axes_choices(layer)] == ["C", "Z", "T"]
    say_axes(layer, "T")
    assert (axes_of(layer), kind_of(layer)) == ("TYX", "stack")
    assert is_guessed(layer)


def test_the_dock_asks_what_a_file_does_not_say_and_remembers_it(dock, viewer, planes):
    show(viewer, planes)
    assert not dock.images.axes.isHidden()
    assert dock.images.axes.currentText() == "focal planes"
    assert dock.planes.planes.findData("T") == -1
    choose(dock.images.axes, "T")
    assert viewer.dims.axis_labels[0] == "t"
    assert "time point 5 (counted from 1)" in dock.images.why.text()
    assert dock.planes.planes.findData("Z") == -1
    choose(dock.planes.planes, "T")
    assert dock.segment_button.text() == "Segment all 9 time points"
    words = copied(dock)
    assert words[words.index("--axes") + 1] == "TYX"
    assert words[words.index("--join") + 1] == "t"
    assert "--t" not in words
    assert memory.recall_axes(planes) == "T"
    viewer.layers.clear()
    assert axes_of(show(viewer, planes)) == "TYX"
    # channels are no planes to join
    choose(dock.images.axes, "C")
    assert dock.planes.planes.isHidden()
    assert not dock.images.channel.isHidden()
    assert dock.segment_button.text() == "Segment"


def test_a_file_that_names_its_axes_is_not_asked_about(dock, viewer, tmp_path):
    pixels = np.zeros((9, 30, 40), np.uint8)
    tifffile.imwrite(tmp_path / "z.tif", pixels, imagej=True, metadata={"axes": "ZYX"})
    show(viewer, tmp_path / "z.tif")
    assert dock.images.axes.isHidden()
    assert dock.planes.planes.findData("Z") == 1


def test_a_pixel_size_can_be_said_and_results_stay_on_their_image(dock, viewer, planes):
    image = show(viewer, planes)
    image.translate = (0, 7, 9)
    bridge = bridge_of(viewer)
    result = bridge.show_labels(image, np.ones((30, 40), np.int32), {}, "", (4,))
    assert dock.images.pixel_size.text() == "not known"
    dock.images.pixel_size.setValue(0.25)
    for layer in (image, result):
        assert tuple(layer.scale[-2:]) == (0.25, 0.25)
        assert tuple(layer.translate[-2:]) == (7, 9)
        assert [str(unit) for unit in layer.units[-2:]] == ["micrometer"] * 2
    # napari before 0.9 has it on the viewer
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[1:] == pytest.approx((7 + 0.25 * 14.5, 9 + 0.25 * 19.5), abs=0.3)
    words = copied(dock)
    assert words[words.index("--pixel-size-um") + 1] == "0.25"
    # it stays open to change, and can be taken back
    viewer.add_image(np.zeros((30, 40), np.uint8), scale=(0.5, 0.5), units=("um", "um"))
    assert dock.images.pixel_size.isHidden()
    dock.images.image.setCurrentIndex(1)
    assert dock.images.pixel_size.value() == 0.25
    dock.images.pixel_size.setValue(0)
    assert tuple(image.scale) == (1, 1, 1)


def test_files_opened_as_a_stack_are_one_layer(dock, viewer, tmp_path):
    """By napari's own way, in the order in which people count; read when looked at."""
    from npe2 import PluginManager

    pytest.importorskip("dask")
    PluginManager.instance().discover()
    paths = []
    for n in (10, 9, 8):
        paths.append(str(tmp_path / f"cell_{n}.tif"))
        tifffile.imwrite(paths[-1], np.full((30, 40), n, np.uint8))
    [layer] = viewer.open(paths, stack=True, plugin=PLUGIN)
    assert layer.name == "cell"
    assert not isinstance(layer.data, np.ndarray)
    assert np.asarray(layer.data[:, 0, 0]).tolist() == [8, 9, 10]
    assert axes_of(layer) == "ZYX"
    assert not dock.images.axes.isHidden()
    choose(dock.images.axes, "T")
    choose(dock.planes.planes, "T")
    words = copied(dock)
    assert words[2:5] == paths[::-1]
    assert words[words.index("--stack") + 1] == "t"
    assert words[words.index("--join") + 1] == "t"
    assert "--axes" not in words
    # one by one they are layers of their own
    assert len(viewer.open(paths, plugin=PLUGIN)) == 3


def test_a_stack_of_labels_is_saved_with_its_axis_and_sizes(viewer, tmp_path):
    from napari_nucleiseg.io import open_micrograph

    labels = np.zeros((3, 1, 30, 40), np.int32)
    labels[1, 0, 4:9, 5:9] = 70_000
    layer = Labels(
        labels,
        axis_labels=("t", "c", "y", "x"),
        scale=(1, 1, 0.5, 0.25),
        units=("pixel", "pixel", "um", "um"),
    )
    viewer.add_layer(layer)
    layer.save(str(tmp_path / "a.tif"), plugin=PLUGIN)
    found = open_micrograph(tmp_path / "a.tif")
    assert (found.axes, found.pixel_size_um) == ("TYX", (0.5, 0.25))
    np.testing.assert_array_equal(found.pixels, labels[:, 0])
