"""Stacks, pyramids and labels inside of a file in napari, and the plane that is segmented."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_nucleiseg.events import Segmented
from napari_nucleiseg.gui.contributions import get_reader
from napari_nucleiseg.gui.layers import is_guessed, kind_of, layer_of, read_layer
from napari_nucleiseg.gui.planes import plane_in_words, shell_settings
from napari_nucleiseg.io import open_micrograph

PLUGIN = "napari-nucleiseg"


@pytest.fixture
def plugin(viewer):
    """A viewer that finds the plugin's manifest."""
    from npe2 import PluginManager

    PluginManager.instance().discover()
    return viewer


@pytest.fixture
def store(tmp_path):
    """An OME-Zarr: focal planes of two channels in two levels, and a label image."""
    zarr = pytest.importorskip("zarr", minversion="3")
    pixels = np.arange(2 * 5 * 48 * 64, dtype=np.uint16).reshape(2, 5, 48, 64)
    group = zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="w", zarr_format=3)

    def write(group, pixels, axes, **more):
        steps = {"c": 1.0, "z": 0.5, "y": 0.2, "x": 0.2}
        datasets = []
        for level in range(2):
            group.create_array(str(level), data=pixels[..., :: 2**level, :: 2**level].copy())
            scale = [steps[a] * (2**level if a in "yx" else 1) for a in axes]
            step = {"type": "scale", "scale": scale}
            datasets.append({"path": str(level), "coordinateTransformations": [step]})
        units = [
            {"name": a, "type": "space", **({"unit": "micrometer"} if a != "c" else {})}
            for a in axes
        ]
        scales = [{"axes": units, "datasets": datasets}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": scales, **more}

    names = [{"label": "actin"}, {"label": "DAPI"}]
    write(group, pixels, "czyx", omero={"channels": names})
    inside = group.create_group("labels")
    inside.attrs["ome"] = {"labels": ["nuclei"]}
    write(inside.create_group("nuclei"), (pixels[1] > 9000).astype(np.int32), "zyx")
    return tmp_path / "a.ome.zarr"


def test_a_zarr_opens_with_levels_axes_scale_and_its_labels(plugin, store):
    image, labels = plugin.open(store, plugin=PLUGIN)
    assert image.multiscale
    assert [level.shape for level in image.data] == [(2, 5, 48, 64), (2, 5, 24, 32)]
    assert image.axis_labels == ("c", "z", "y", "x")
    assert tuple(image.scale) == (1, 0.5, 0.2, 0.2)
    assert [str(u) for u in image.units] == ["pixel", "micrometer", "micrometer", "micrometer"]
    assert labels.name == "a · nuclei"
    assert tuple(labels.scale) == (0.5, 0.2, 0.2)
    assert np.array_equal(np.asarray(labels.data[0]), np.asarray(image.data[0][1]) > 9000)


def test_who_reads_what(tmp_path, store):
    assert get_reader(str(store)) is not None
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(store), str(tmp_path)]) is None


@pytest.mark.parametrize("name", ["a.zarr", "a.czi", "a.LIF", "a.nd2", "a.svs", "a.ome.tiff"])
def test_napari_offers_the_reader(plugin, name, store):
    from npe2 import PluginManager

    path = store if name.endswith(".zarr") else store.parent / name
    if not path.exists():
        path.write_bytes(b"")
    readers = PluginManager.instance().iter_compatible_readers([str(path)])
    assert PLUGIN in {reader.plugin_name for reader in readers}


def test_a_vendor_file_is_refused_in_one_line(plugin, tmp_path):
    from napari_nucleiseg.errors import NucleisegError

    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(90))
    with pytest.raises(NucleisegError, match=r"a\.czi") as caught:
        plugin.open(tmp_path / "a.czi", plugin=PLUGIN)
    assert "\n" not in str(caught.value)


def test_each_picture_of_a_file_becomes_a_layer(plugin, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for name, n in (("overview", 8), ("detail", 20)):
            file.write(np.ones((n, 30), np.uint8), metadata={"axes": "YX", "Name": name})
    first, second = plugin.open(tmp_path / "a.ome.tif", plugin=PLUGIN)
    assert (first.name, second.name) == ("a · overview", "a · detail")
    assert (first.visible, second.visible) == (True, False)
    assert shell_settings(second, ()) == {"series": "detail"}


@pytest.fixture
def seen(work):
    """The micrographs that the segmentation is given; nothing is found in them."""
    taken = []

    def remembers(micrograph, *rest):
        taken.append(micrograph)
        yield Segmented(np.ones(micrograph.shape, np.int32), 1, 9.0, 0.1, {})

    work(remembers)
    return taken


def press(dock, qtbot):
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)


def test_the_plane_shown_of_a_lazy_stack_is_segmented(plugin, dock, store, seen, qtbot):
    image, inside = plugin.open(store, plugin=PLUGIN)
    plugin.layers.remove(inside)
    image.translate = (0, 3, 7, 9)
    plugin.dims.set_current_step((0, 1), (1, 2))
    assert dock.segment_button.text() == "Segment the plane shown"
    assert "channel 2, focal plane 3" in dock.images.why.text()
    press(dock, qtbot)
    qtbot.waitUntil(lambda: len(plugin.layers) == 2, timeout=20_000)
    (taken,) = seen
    assert taken.axes == "YX"
    assert np.array_equal(taken.pixels, np.asarray(open_micrograph(store).pixels[1, 2]))
    result = plugin.layers[1]
    assert result.name == "a · nuclei (plane 2, 3)"
    assert tuple(result.scale) == (0.2, 0.2)
    assert tuple(result.translate) == (7, 9)


def test_the_copied_command_names_plane_and_channel(plugin, dock, store, seen):
    image, _ = plugin.open(store, plugin=PLUGIN)
    plugin.dims.set_current_step((0, 1), (1, 2))
    assert plane_in_words(image, (1, 2)) == "channel 2, focal plane 3"
    dock._copy_command()
    words = shlex.split(QApplication.clipboard().text())
    assert words[:3] == ["nucleiseg", "segment", str(store)]
    assert words[words.index("--z") + 1] == "3"
    assert words[words.index("--channel") + 1] == "2"


def test_of_a_stack_without_a_file_the_command_leaves_the_plane_open(dock, plugin, seen):
    layer = plugin.add_image(np.zeros((9, 30, 40), np.uint8))
    assert kind_of(layer) == "stack"
    assert is_guessed(layer)
    assert shell_settings(layer, (4,)) is None
    assert plane_in_words(layer, (4,)) == "plane 5"


def test_a_slide_that_cannot_fit_says_what_to_do(plugin, dock, seen, qtbot):
    """Its maps would take terabytes; nothing of it is ever computed."""
    import dask.array

    huge = dask.array.zeros((400_000, 400_000), chunks=4096, dtype=np.uint8)
    small = dask.array.zeros((1000, 1000), dtype=np.uint8)
    plugin.add_image([huge, small], multiscale=True, name="slide")
    press(dock, qtbot)
    qtbot.waitUntil(lambda: "too large" in dock.outcome.sentence.text(), timeout=20_000)
    assert "--stream" in dock.outcome.sentence.text()
    assert seen == []


def test_channels_of_a_slide_are_told_by_a_part_of_it(tmp_path):
    """The proposal must not read the whole of what is in a file."""
    from napari.layers import Image

    rng = np.random.default_rng(0)
    zarr = pytest.importorskip("zarr", minversion="3")
    group = zarr.open_group(str(tmp_path / "b.zarr"), mode="w", zarr_format=3)
    pixels = rng.integers(0, 9, (2, 3300, 1700), dtype=np.uint8)
    group.create_array("0", data=pixels, chunks=(1, 512, 512))
    axes = [{"name": a, "type": "space"} for a in "cyx"]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    data, settings, _ = layer_of(open_micrograph(tmp_path / "b.zarr"))
    layer = Image(data, contrast_limits=(0, 9), **settings)
    assert np.array_equal(read_layer(layer, "channels", thinned=True)().pixels, pixels[:, ::2, ::2])
    assert np.array_equal(read_layer(layer, "channels")().pixels, pixels)
