"""All planes of a stack in the dock: first the one looked at, then all, joined, as in the shell."""

from __future__ import annotations

import shlex
import threading

import numpy as np
import pytest
import tifffile
from napari.layers import Labels, Tracks
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from typer.testing import CliRunner

from napari_nucleiseg import cli
from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.events import Joined, PlaneDone, TileDone
from napari_nucleiseg.gui.axes import axes_of, read_stack
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.contributions import read
from napari_nucleiseg.gui.segment_dock import SegmentDock
from napari_nucleiseg.samples import read_sample

WAIT = 30_000


def choose(dock, letter):
    at = dock.planes.planes.findData(letter)
    dock.planes.planes.setCurrentIndex(at)
    dock.planes.planes.activated.emit(at)


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def state(dock):
    return dock.outcome.state.property("state")


def run(dock, qtbot, within=WAIT):
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: state(dock) == "done", timeout=within)


def layers_of(viewer, kind):
    return [x for x in viewer.layers if type(x) is kind]


@pytest.fixture
def movie(tmp_path):
    """Nuclei that move by 3 px from one time point to the next, 0.5 µm a pixel."""
    grey = read_sample("fluorescence")[0].pixels[:128, :160]
    pixels = np.stack([np.roll(grey, 3 * n, axis=1) for n in range(3)])
    path = tmp_path / "movie.tif"
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "TYX", "unit": "um"},
    )
    return path


def show(viewer, path):
    [(data, settings, _)] = read(str(path))
    return viewer.add_image(data, **settings)


def planes_of_squares(pause=None, fails=False):
    """Work that finds one square in each plane, which moves along; the answer can be read off."""

    def work(micrograph, config, joining, folder, first):
        letter = joining.join.upper()
        count = micrograph.pixels.shape[micrograph.axes.index(letter)]
        shape = (count, *micrograph.shape)
        file = folder / "planes.npy"
        planes = np.lib.format.open_memmap(file, "w+", np.int32, shape)
        for done, n in enumerate([first, *(n for n in range(count) if n != first)]):
            planes[n, 2:8, 2 + n : 8 + n] = 7
            yield TileDone(done + 1, count)
            yield PlaneDone(file, n, done + 1, count)
            if pause is not None:
                assert pause.wait(30)
            if fails:
                raise NucleisegError("Too dark", "plane 2")
        planes[planes == 7] = 1
        planes.flush()
        n = np.arange(count)
        tracks = {"track_id": n * 0 + 1, "t": n, "y": n * 0 + 4.5, "x": n + 4.5, "area": n * 0 + 36}
        found = tracks if letter == "T" else {}
        manifest = {"config": config.model_dump(), "join": joining.model_dump()}
        yield Joined(file, 1, 6.8, 0.1, found, manifest)

    return work


@pytest.mark.slow
def test_the_same_labels_and_tracks_as_in_the_shell(dock, viewer, movie, qtbot, tmp_path):
    image = show(viewer, movie)
    viewer.dims.set_current_step(0, 1)
    choose(dock, "T")
    assert dock.segment_button.text() == "Segment all 3 time points"
    assert dock.images.why.text() == "All time points are segmented, the one shown first."
    seen = []
    bridge_of(viewer).session.event.connect(seen.append)
    run(dock, qtbot, within=120_000)
    assert [e.plane for e in seen if isinstance(e, PlaneDone)] == [1, 0, 2]
    [labels], [tracks] = layers_of(viewer, Labels), layers_of(viewer, Tracks)
    assert labels.name == "movie · nuclei (all time points)"
    assert tuple(labels.scale) == tuple(image.scale)
    assert labels.units == image.units

    dock._copy_command()
    words = shlex.split(QApplication.clipboard().text())[1:]
    assert words[words.index("--join") + 1] == "t"
    words[words.index("--out") + 1] = str(tmp_path / "out")
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    shell = tifffile.imread(tmp_path / "out" / "movie_labels.ome.tif")
    assert shell.max() > 3
    np.testing.assert_array_equal(labels.data, shell)
    table = np.genfromtxt(tmp_path / "out" / "movie_tracks.csv", delimiter=",", names=True)
    rows = np.column_stack([table[n] for n in ("track_id", "t", "y", "x")])
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    np.testing.assert_allclose(tracks.data, rows[order])
    assert set(tracks.features["area"]) == set(table["area"])


def test_the_plane_shown_is_seen_while_the_others_are_under_way(dock, viewer, work, qtbot):
    pause = threading.Event()
    work(planes_of_squares(pause))
    viewer.add_image(np.zeros((5, 30, 40), np.uint8), name="a", scale=(2, 0.5, 0.5))
    viewer.dims.set_current_step(0, 3)
    choose(dock, "Z")
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: bool(layers_of(viewer, Labels)), timeout=WAIT)
    [preview] = layers_of(viewer, Labels)
    assert [bool(plane.any()) for plane in preview.data] == [False] * 3 + [True, False]
    assert not preview.editable
    assert dock.outcome.state.text().startswith("Running · plane 1 of 5")
    assert preview not in bridge_of(viewer).truth_layers()
    pause.set()
    qtbot.waitUntil(lambda: state(dock) == "done", timeout=WAIT)
    [result] = layers_of(viewer, Labels)
    assert result.name == "a · nuclei (all focal planes)"
    assert dock.tracks_button.isHidden()
    assert [int(plane.max()) for plane in result.data] == [1] * 5
    assert tuple(result.scale) == (2, 0.5, 0.5)
    result.data_setitem(tuple(np.array([[0], [20], [20]])), 5)
    assert result.data[0, 20, 20] == 5
    assert not layers_of(viewer, Tracks)


def test_a_dock_that_is_opened_meanwhile_tells_of_planes_too(dock, viewer, work, qtbot):
    viewer.add_image(np.zeros((4, 20, 30), np.uint8), name="movie", axis_labels=("t", "y", "x"))
    goes_on = threading.Event()
    work(planes_of_squares(goes_on))
    choose(dock, "T")
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: "1 of 4" in dock.outcome.state.text(), timeout=WAIT)
    dock.parent().close()
    later = SegmentDock(viewer)
    viewer.window.add_dock_widget(later, name="Segment nuclei")
    assert later.planes.letter == "T"
    assert later.segment_button.text() == "Segment all 4 time points"
    said = []
    bridge_of(viewer).session.event.connect(lambda _: said.append(later.outcome.state.text()))
    goes_on.set()
    qtbot.waitUntil(lambda: state(later) == "done", timeout=WAIT)
    assert any("2 of 4" in text for text in said)
    assert not any("tile" in text for text in said)


@pytest.mark.parametrize("ends", ["cancelled", "failed"])
def test_of_a_run_that_does_not_end_nothing_is_kept(ends, dock, viewer, work, qtbot):
    pause = threading.Event()
    work(planes_of_squares(pause, fails=ends == "failed"))
    viewer.add_image(np.zeros((5, 30, 40), np.uint8), name="a")
    choose(dock, "Z")
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: bool(layers_of(viewer, Labels)), timeout=WAIT)
    if ends == "cancelled":
        click(qtbot, dock.cancel_button)
    pause.set()
    qtbot.waitUntil(lambda: state(dock) == ends, timeout=WAIT)
    assert not layers_of(viewer, Labels)
    assert dock.segment_button.isEnabled()
    if ends == "cancelled":
        assert dock.outcome.state.text() == "Cancelled · after plane 1 of 5; none is kept"
    else:
        assert "Too dark" in dock.outcome.sentence.text()


def test_an_edited_result_is_kept_and_a_new_one_takes_its_place(dock, viewer, work, qtbot):
    work(planes_of_squares())
    viewer.add_image(np.zeros((5, 30, 40), np.uint8), name="a", axis_labels=("t", "y", "x"))
    choose(dock, "T")
    run(dock, qtbot)
    [first] = layers_of(viewer, Labels)
    run(dock, qtbot)
    assert layers_of(viewer, Labels) == [first]
    assert len(layers_of(viewer, Tracks)) == 1
    first.data_setitem(tuple(np.array([[2], [20], [20]])), 9)
    run(dock, qtbot)
    kept, new = sorted(layers_of(viewer, Labels), key=lambda layer: layer.data.max(), reverse=True)
    assert kept is first
    assert kept.data[2, 20, 20] == 9
    assert not kept.visible
    assert new.data.max() == 1


def test_of_the_other_axes_what_the_sliders_show_counts(dock, viewer, work, qtbot):
    """Time points of the second channel and the third focal plane: the labels lie there."""
    asked = []

    def noted(*args):
        if len(args) == 5:
            asked.append(args)
            yield from planes_of_squares()(*args)

    work(noted)
    image = viewer.add_image(
        np.zeros((4, 2, 3, 30, 40), np.uint8),
        name="a",
        axis_labels=("t", "c", "z", "y", "x"),
        scale=(1, 1, 2, 0.5, 0.5),
        translate=(0, 0, 5, 1, 1),
        units=("pixel", "pixel", "um", "um", "um"),
    )
    viewer.dims.set_current_step((0, 1, 2), (0, 1, 2))
    choose(dock, "T")
    assert "channel 2, focal plane 3" in dock.images.why.text()
    run(dock, qtbot)
    [(micrograph, config, joining, _, first)] = asked
    assert (micrograph.axes, micrograph.z_step_um, micrograph.pixel_size_um) == (
        "TCZYX",
        2,
        (0.5, 0.5),
    )
    assert (config.channel, config.z, config.t, joining.join, first) == ("2", "3", None, "t", 0)
    [result] = layers_of(viewer, Labels)
    assert not layers_of(viewer, Tracks)
    assert "Tracks of a layer with more than four axes" in dock.outcome.notices.text()
    assert result.data.shape == (4, 1, 1, 30, 40)
    there = image.data_to_world((3, 1, 2, 4, 5))
    assert result.data_to_world((3, 0, 0, 4, 5)) == pytest.approx(there)
    # all focal planes at the first time point: of (T, C, Z) they are the last
    viewer.dims.set_current_step(0, 0)
    choose(dock, "Z")
    run(dock, qtbot)
    result = next(x for x in layers_of(viewer, Labels) if x.data.ndim == 3)
    assert result.name == "a · nuclei (plane 1, 2, all focal planes)"
    assert result.data_to_world((2, 4, 5)) == pytest.approx(there[2:])


def test_a_stack_that_was_replaced_meanwhile_gets_no_result(dock, viewer, work, qtbot):
    pause = threading.Event()
    work(planes_of_squares(pause))
    image = viewer.add_image(np.zeros((5, 30, 40), np.uint8), name="a")
    choose(dock, "Z")
    click(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: bool(layers_of(viewer, Labels)), timeout=WAIT)
    image.data = np.zeros((4, 30, 40), np.uint8)
    pause.set()
    qtbot.waitUntil(lambda: state(dock) == "done", timeout=WAIT)
    assert not layers_of(viewer, Labels)
    assert "replaced" in dock.outcome.notices.text()


def test_how_planes_are_joined_is_set_and_remembered(dock, viewer, own_memory):
    viewer.add_image(np.zeros((5, 30, 40), np.uint8), name="a")
    assert dock.planes.settings.isHidden()
    choose(dock, "Z")
    assert not dock.planes.settings.isHidden()
    dock.planes.settings.field("join_gap").setValue(3)
    assert dock.planes.joining.join_gap == 3
    assert '"join_gap": 3' in own_memory.read_text()
    dock._copy_command()
    assert "--join z --join-gap 3" in QApplication.clipboard().text()
    viewer.add_image(np.zeros((30, 40), np.uint8), name="b")
    assert dock.planes.planes.isHidden()
    assert dock.segment_button.text() == "Segment"


def test_what_is_in_a_file_stays_there(viewer):
    import dask.array

    lazy = dask.array.zeros((6, 2, 30, 40), dtype=np.uint16, chunks=(1, 1, 30, 40))
    layer = viewer.add_image(lazy, contrast_limits=(0, 1))
    assert axes_of(layer) == "ZCYX"
    stack = read_stack(layer, axes_of(layer))()
    assert stack.is_lazy
    assert (stack.axes, stack.pixels.shape) == ("CZYX", (2, 6, 30, 40))
    # what another process could not read is read here
    bound = dask.array.map_blocks(lambda block: block + 1, lazy, dtype=lazy.dtype)
    layer = viewer.add_image(bound, contrast_limits=(0, 1))
    stack = read_stack(layer, axes_of(layer))()
    assert not stack.is_lazy
    assert (stack.pixels == 1).all()


def test_tracks_are_exported_as_they_are_in_the_layer(
    dock, viewer, work, qtbot, tmp_path, monkeypatch
):
    pytest.importorskip("zarr", minversion="3")
    work(planes_of_squares())
    viewer.add_image(np.zeros((5, 30, 40), np.uint8), name="a", axis_labels=("t", "y", "x"))
    choose(dock, "T")
    run(dock, qtbot)
    [labels] = layers_of(viewer, Labels)
    labels.data_setitem(tuple(np.array([[2], [20], [20]])), 9)
    monkeypatch.undo()
    monkeypatch.setattr(
        "napari_nucleiseg.gui.tracks_button.QFileDialog.getExistingDirectory",
        lambda *a: str(tmp_path / "out"),
    )
    click(qtbot, dock.tracks_button)
    qtbot.waitUntil(lambda: "Saved for Ultrack" in dock.outcome.notices.text(), timeout=WAIT)
    table = np.genfromtxt(tmp_path / "out" / "a_btrack.csv", delimiter=",", names=True)
    assert sorted(table["nucleus"]) == [1] * 5 + [9]
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "out" / "a_trackmate.tif"), labels.data
    )
    viewer.layers.remove(labels)
    assert dock.tracks_button.isHidden()
