"""What napari finds in the manifest, by way of npe2, as napari does it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from napari.layers import Labels

from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.gui.batch_dock import BatchDock
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.compare_dock import CompareDock
from napari_nucleiseg.gui.contributions import get_reader, write
from napari_nucleiseg.gui.finetune_dock import FinetuneDock
from napari_nucleiseg.gui.measure_dock import MeasureDock
from napari_nucleiseg.gui.segment_dock import SegmentDock
from napari_nucleiseg.io import read_labels, read_micrograph
from napari_nucleiseg.samples import SAMPLES, read_sample

PLUGIN = "napari-nucleiseg"


@pytest.fixture
def plugin(npe2pm_, viewer):
    return viewer


@pytest.fixture
def npe2pm_():
    from npe2 import PluginManager

    manager = PluginManager.instance()
    manager.discover()
    return manager


def test_the_manifest_is_valid():
    done = subprocess.run(
        [sys.executable, "-m", "npe2.cli", "validate", "--imports", PLUGIN],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_samples_come_with_their_truth(plugin, name):
    image, truth = plugin.open_sample(PLUGIN, name)
    micrograph, labels = read_sample(name)
    assert np.array_equal(image.data, micrograph.pixels)
    assert image.rgb == micrograph.is_colour
    assert truth.name == f"{image.name} · truth"
    assert np.array_equal(truth.data, labels)


def test_the_reader_keeps_channels_pixel_size_and_names(plugin, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 900, (2, 30, 40), np.uint16)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path,
        pixels,
        metadata={
            "axes": "CYX",
            "PhysicalSizeX": 0.4,
            "PhysicalSizeY": 0.2,
            "Channel": {"Name": ["actin", "DAPI"]},
        },
    )
    (layer,) = plugin.open(path, plugin=PLUGIN)
    assert layer.name == "a"
    assert tuple(layer.scale) == pytest.approx((1, 0.2, 0.4))
    assert [str(u) for u in layer.units] == ["pixel", "micrometer", "micrometer"]
    assert layer.axis_labels == ("c", "y", "x")
    assert layer.metadata["nucleiseg_micrograph"]["channel_names"] == ("actin", "DAPI")
    assert np.array_equal(layer.data, pixels)


def test_the_reader_takes_files_only(tmp_path):
    assert get_reader(str(tmp_path)) is None


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy"])
def test_labels_are_written_without_loss(plugin, tmp_path, suffix):
    labels = np.zeros((30, 40), np.int32)
    labels[:2, :40] = np.arange(1, 81).reshape(2, 40) * 7
    layer = plugin.add_labels(labels)
    (path,) = layer.save(str(tmp_path / f"a{suffix}"), plugin=PLUGIN)
    assert np.array_equal(read_labels(path).image, labels)


def test_a_plane_of_its_own_is_written_as_a_plane(tmp_path):
    labels = np.arange(12, dtype=np.int32).reshape(1, 3, 4)
    (path,) = write(str(tmp_path / "a.tif"), labels, {})
    assert np.array_equal(read_labels(path).image, labels[0])


def test_a_stack_is_saved_and_opened_voxel_for_voxel(plugin, tmp_path):
    labels = np.arange(60, dtype=np.int32).reshape(3, 4, 5)
    (path,) = plugin.add_labels(labels).save(str(tmp_path / "a.tif"), plugin=PLUGIN)
    (layer,) = plugin.open(path, plugin="napari")
    assert np.array_equal(np.asarray(layer.data), labels)


def test_what_no_file_can_hold_is_refused_in_words(tmp_path):
    with pytest.raises(NucleisegError, match=r"cannot be written to such a file.*a\.png"):
        write(str(tmp_path / "a.png"), np.zeros((3, 4, 5), np.int32), {})
    with pytest.raises(NucleisegError, match="a plane or a stack"):
        write(str(tmp_path / "a.tif"), np.zeros((2, 2, 3, 4, 5), np.int32), {})
    assert not list(tmp_path.iterdir())


def test_the_pixel_size_is_written(plugin, tmp_path):
    labels = np.zeros((30, 40), np.int32)
    labels[3:9, 3:9] = 1
    layer = plugin.add_labels(labels, scale=(0.2, 0.2), units=("um", "um"))
    (path,) = layer.save(str(tmp_path / "a.tif"), plugin=PLUGIN)
    assert read_micrograph(path).pixel_size_um == pytest.approx((0.2, 0.2))


def titles_in(menu):
    """Titles of a menu; "Plugins" holds a menu of their own for plugins with several docks."""
    from napari._app_model import get_app_model

    for item in get_app_model().menus.get_menu(menu):
        if hasattr(item, "submenu"):
            yield from titles_in(item.submenu)
        else:
            yield item.command.title


@pytest.mark.parametrize(
    "dock", ["Segment nuclei", "Compare models", "Measurements", "Batch", "Fine-tune"]
)
def test_the_docks_are_in_both_menus(plugin, dock):
    for menu in ("napari/layers/segment", "napari/plugins"):
        assert any(title.startswith(dock) for title in titles_in(menu)), menu


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Segment nuclei", SegmentDock),
        ("Compare models", CompareDock),
        ("Measurements", MeasureDock),
        ("Batch", BatchDock),
        ("Fine-tune", FinetuneDock),
    ],
)
def test_the_docks_open_from_the_menu_and_take_a_proxy(plugin, title, kind):
    _, dock = plugin.window.add_plugin_dock_widget(PLUGIN, title)
    dock = getattr(dock, "__wrapped__", dock)
    assert isinstance(dock, kind)
    assert dock._bridge is bridge_of(plugin)


def test_a_result_can_be_saved(plugin, tmp_path):
    layer = Labels(np.eye(8, dtype=np.int32), name="a · nuclei", scale=(0.2, 0.2), units="um")
    plugin.add_layer(layer)
    plugin.layers.save(str(tmp_path / "a.tif"), plugin=PLUGIN)
    assert np.array_equal(read_labels(tmp_path / "a.tif").image, np.eye(8))
