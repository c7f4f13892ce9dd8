"""Window, library and shell: one set of defaults, identical label images."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture
from qtpy.QtCore import Qt

from napari_nucleiseg import SegmentConfig, segment_now
from napari_nucleiseg.channels import choose_pixels
from napari_nucleiseg.gui.layers import kind_of, read_layer
from napari_nucleiseg.io import read_labels, read_micrograph
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
    qtbot.waitUntil(
        lambda: dock.outcome.state.property("state") in ("done", "failed"), timeout=120_000
    )
    window = viewer.layers[f"{dock.layer.name} · nuclei"]

    assert library.count > 0
    assert np.array_equal(window.data, library.labels)
    assert np.array_equal(shell, library.labels)
    assert window.metadata["nucleiseg"]["config"] == library.manifest["config"]
    assert "Dice" in dock.outcome.scores.text()

    # again with other settings: nuclei that stay keep their numbers, and so their colours
    before = window.data.copy()
    dock.form.field("min_area_px").setValue(200)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: dock.outcome.state.property("state") in ("done", "failed"), timeout=120_000
    )
    again = viewer.layers[f"{dock.layer.name} · nuclei"].data
    assert (again == before)[again > 0].all()


# --- files that napari's own reader opens --------------------------------------------------------


def grey():
    return read_sample("fluorescence")[0].pixels


def colours():
    return read_sample("stained")[0].pixels


def png16(path, pixels):
    import imagecodecs

    path.write_bytes(imagecodecs.png_encode(pixels))


def as_grey(path):
    Picture.fromarray(grey()).save(path)


def as_equal_colours(path):
    Picture.fromarray(np.stack([grey()] * 3, -1)).save(path)


def as_equal_colours_with_opacity(path):
    Picture.fromarray(np.stack([grey()] * 3 + [grey() * 0 + 255], -1)).save(path)


def as_grey_with_opacity(path):
    Picture.fromarray(np.stack([grey(), np.full_like(grey(), 255)], -1), "LA").save(path)


def as_16_bit_grey(path):
    png16(path, grey().astype(np.uint16) * 13)


def as_16_bit_colours(path):
    dim = grey().astype(np.uint16)
    png16(path, np.stack([dim * 0 + 3, dim * 3, dim * 7 + 1], -1))


def as_16_bit_grey_with_opacity(path):
    full = np.full(grey().shape, 65535, np.uint16)
    png16(path, np.stack([grey().astype(np.uint16) * 13, full], -1))


def as_palette(path):
    Picture.fromarray(colours()).quantize(64).save(path)


def as_black_and_white(path):
    Picture.fromarray(grey() > 12).save(path)


def as_colours(path):
    Picture.fromarray(colours()).save(path, quality=95)


def as_printing_colours(path):
    Picture.fromarray(colours()).convert("CMYK").save(path, quality=95)


def as_channels(path):
    tifffile.imwrite(path, np.stack([grey() // 9, grey()]), photometric="minisblack")


def as_16_bit_colour_tiff(path):
    dim = grey().astype(np.uint16)
    tifffile.imwrite(path, np.stack([dim * 0 + 3, dim * 3, dim * 7], -1), photometric="rgb")


def as_white_is_0(path):
    tifffile.imwrite(path, 255 - grey(), photometric="miniswhite")


def as_numbers(path):
    np.save(path, grey().astype(np.float32) / 255)


FILES = [
    (as_grey, "png"),
    (as_equal_colours, "png"),
    (as_equal_colours, "bmp"),
    (as_equal_colours_with_opacity, "png"),
    (as_grey_with_opacity, "png"),
    (as_16_bit_grey, "png"),
    (as_16_bit_colours, "png"),
    (as_16_bit_grey_with_opacity, "png"),
    (as_palette, "png"),
    (as_black_and_white, "png"),
    (as_colours, "jpg"),
    (as_colours, "png"),
    (as_printing_colours, "jpg"),
    (as_channels, "tif"),
    (as_16_bit_colour_tiff, "tif"),
    (as_white_is_0, "tif"),
    (as_numbers, "npy"),
]


def opened(viewer, path):
    """The layer that napari's own reader makes of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # imageio's and Pillow's own
        return viewer.open(path, plugin="napari")[0]


def taken_of(layer):
    """What the dock hands to the segmentation by itself."""
    micrograph = read_layer(layer, kind_of(layer))
    return micrograph() if callable(micrograph) else micrograph


FILE_NAMES = [f"{write.__name__}-{suffix}" for write, suffix in FILES]


@pytest.mark.parametrize(("write", "suffix"), FILES, ids=FILE_NAMES)
def test_of_a_layer_that_napari_read_the_network_gets_what_the_file_gives(
    viewer, tmp_path, write, suffix
):
    path = tmp_path / f"a.{suffix}"
    write(path)
    taken = taken_of(opened(viewer, path))
    assert taken.path == path
    in_window, said = choose_pixels(taken)
    in_shell, also_said = choose_pixels(read_micrograph(path))
    assert in_window.pixels.dtype == in_shell.pixels.dtype
    assert np.array_equal(in_window.pixels, in_shell.pixels)
    assert (in_window.axes, said) == (in_shell.axes, also_said)


@pytest.mark.parametrize(("write", "suffix"), FILES, ids=FILE_NAMES)
def test_a_layer_that_somebody_changed_counts_and_not_its_file(viewer, tmp_path, write, suffix):
    path = tmp_path / f"a.{suffix}"
    write(path)
    layer = opened(viewer, path)
    layer.data = layer.data[::-1, ::-1].copy()
    taken = taken_of(layer)
    assert taken.path is None
    assert any("not hold what is in its file" in text for text in taken.notices)
    shown = layer.data[..., :3] if layer.rgb else layer.data
    if shown.shape[-1] == 2:
        shown = shown[..., 0]
    if layer.rgb and taken.axes == "CYX":
        shown = np.moveaxis(shown, -1, 0)
    assert np.array_equal(taken.pixels, shown)


def test_a_plane_of_a_stack_is_the_layers_and_not_the_files(viewer, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([grey(), grey() // 2, grey() // 3]), photometric="minisblack")
    layer = opened(viewer, path)
    taken = read_layer(layer, "stack", (1,))
    assert np.array_equal(taken.pixels, grey() // 2)


def test_the_result_of_a_picture_with_opacity_lies_in_its_height_and_width(
    dock, viewer, qtbot, tmp_path
):
    as_grey_with_opacity(tmp_path / "a.png")
    layer = opened(viewer, tmp_path / "a.png")
    assert layer.data.shape == (360, 360, 2)
    assert dock.segment_button.text() == "Segment"
    assert "opacity" in dock.images.why.text()
    dock.expert_form.field("engine").setCurrentText("torch")
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: dock.outcome.state.property("state") in ("done", "failed"), timeout=120_000
    )
    result = viewer.layers["a · nuclei"].data
    assert np.array_equal(
        result, segment_now(read_sample("fluorescence")[0], SegmentConfig(engine="torch")).labels
    )


@pytest.mark.slow
@pytest.mark.parametrize("write", [as_equal_colours, as_16_bit_colours], ids=lambda x: x.__name__)
def test_identical_labels_of_files_that_napari_read(dock, viewer, qtbot, tmp_path, write):
    path = tmp_path / "a.png"
    write(path)
    layer = opened(viewer, path)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: dock.outcome.state.property("state") in ("done", "failed"), timeout=120_000
    )
    command = [sys.executable, "-m", "napari_nucleiseg", "segment", str(path)]
    subprocess.run([*command, "--out", str(tmp_path)], check=True, capture_output=True)
    shell = read_labels(tmp_path / "a_labels.tif").image
    assert np.array_equal(viewer.layers[f"{layer.name} · nuclei"].data, shell)


@pytest.mark.slow
def test_a_real_run_is_cancelled_in_the_middle(dock, viewer, qtbot):
    pixels = np.tile(read_sample("fluorescence")[0].pixels, (4, 4))
    viewer.add_image(pixels, name="mosaic")
    dock.expert_form.field("tile_px").setValue(256)
    qtbot.mouseClick(dock.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "tile 1 of" in dock.outcome.state.text(), timeout=120_000)
    qtbot.mouseClick(dock.cancel_button, Qt.MouseButton.LeftButton)
    assert dock.outcome.state.text() == "Stopping · after this tile"
    qtbot.waitUntil(lambda: dock.outcome.state.property("state") == "cancelled", timeout=30_000)
    assert [layer.name for layer in viewer.layers] == ["mosaic"]
