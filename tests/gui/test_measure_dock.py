"""The dock "Measurements": real buttons, tables, mouse, and layers."""

from __future__ import annotations

import csv
import threading

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels
from qtpy.QtCore import QItemSelectionModel, QPoint, Qt
from qtpy.QtWidgets import QFileDialog
from typer.testing import CliRunner

from napari_nucleiseg import cli
from napari_nucleiseg.gui import memory
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.measure_dock import MeasureDock
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.measure import Measuring, measure
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import SAMPLES

WAIT = 60_000
LEFT = Qt.MouseButton.LeftButton


def click(qtbot, button):
    qtbot.mouseClick(button, LEFT)


def state(dock):
    return dock.outcome.state.property("state")


def run(dock, qtbot):
    click(qtbot, dock.measure_button)
    qtbot.waitUntil(lambda: state(dock) in ("done", "failed"), timeout=WAIT)
    assert state(dock) == "done", dock.outcome.sentence.text()


def squares(count=5):
    """Squares of 4, 6, 8, ... pixels in a row; their numbers are 3, 6, 9, ..."""
    labels = np.zeros((40, 80), np.int32)
    for n in range(count):
        side = 4 + 2 * n
        labels[5 : 5 + side, 5 + 15 * n : 5 + 15 * n + side] = 3 * (n + 1)
    return labels


SIZES = [16, 36, 64, 100, 144]


@pytest.fixture
def nuclei(viewer):
    """Five nuclei whose brightness falls while their area grows, at 0.5 µm per pixel."""
    labels = squares()
    pixels = np.where(labels > 0, 200 - 10 * labels, 0).astype(np.uint8)
    where = {"scale": (0.5, 0.5), "translate": (10, 20), "units": ("um", "um")}
    viewer.add_image(pixels, name="cells", **where)
    viewer.add_labels(labels, name="cells · nuclei", **where)
    # through a proxy, a layer is another object at every look
    return viewer.__wrapped__


@pytest.fixture
def dock(viewer, qtbot):
    widget = MeasureDock(viewer)
    viewer.window.add_dock_widget(widget, name="Measurements")
    yield widget
    session = bridge_of(viewer).session
    session.cancel()
    qtbot.waitUntil(lambda: not session.is_busy, timeout=WAIT)


@pytest.fixture
def here(viewer, monkeypatch):
    """Measures in this process: the same work, without the start of another process."""
    session = bridge_of(viewer).session
    monkeypatch.setattr(session, "_work_in", lambda function, *args: function(*args))


@pytest.fixture
def measured(nuclei, dock, here, qtbot):
    """The dock after *Measure*."""
    run(dock, qtbot)
    return dock


def shown_ids(dock):
    """Numbers of the nuclei in the order of the table."""
    model = dock.view.table.model()
    return [int(model.index(i, 0).data()) for i in range(model.rowCount())]


def selected_ids(dock):
    return dock.measured.ids[dock.measured.selected].tolist()


def selected_in_table(dock):
    table = dock.view.table
    return sorted(int(i.data()) for i in table.selectionModel().selectedRows(0))


def choose(field, name):
    field.setCurrentIndex(field.findData(name))
    field.activated.emit(field.currentIndex())


def colours(layer, ids):
    return np.asarray(layer.colormap.map(np.asarray(ids)), float)


# --- measuring ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_in_the_child_process_as_by_the_library(nuclei, dock, qtbot):
    run(dock, qtbot)
    layer = nuclei.layers["cells · nuclei"]
    pixels = nuclei.layers["cells"].data
    expected = measure(layer.data, Micrograph(pixels, "YX", (0.5, 0.5)))
    assert list(dock.measured.table) == list(expected)
    for name, column in expected.items():
        assert np.array_equal(dock.measured.table[name], column, equal_nan=True), name


def test_what_is_measured_is_shown_with_units(measured, nuclei):
    assert measured.outcome.result.text() == "5 nuclei · median area 16 µm²"
    assert shown_ids(measured) == [3, 6, 9, 12, 15]
    model = measured.view.table.model()
    titles = [model.headerData(i, Qt.Orientation.Horizontal) for i in range(model.columnCount())]
    assert titles[:3] == ["Nucleus", "Area (µm²)", "Diameter (µm)"]
    assert "Area (px)" in titles
    areas = [model.index(i, 1).data() for i in range(5)]
    assert areas == ["4", "9", "16", "25", "36"]
    assert measured.chooser.about.isHidden()
    assert measured.view.count.text() == "0 of 5 nuclei selected"


def test_features_are_in_the_status_bar(measured, nuclei):
    layer = nuclei.layers["cells · nuclei"]
    assert layer.features["index"].tolist() == [3, 6, 9, 12, 15]
    assert layer.features["area_px"].tolist() == SIZES
    # the middle of the nucleus 9
    status = layer.get_status((8.0, 38.0))
    assert "area_um2: 16" in status["value"]


def test_features_of_others_are_kept(nuclei, dock, here, qtbot):
    layer = nuclei.layers["cells · nuclei"]
    layer.features = {"index": [15, 3], "cluster": ["b", "a"], "area_px": [1.0, 2.0]}
    run(dock, qtbot)
    assert layer.features["area_px"].tolist() == SIZES
    assert [x if isinstance(x, str) else "" for x in layer.features["cluster"]] == [
        "a",
        "",
        "",
        "",
        "b",
    ]


def test_without_a_pixel_size_lengths_are_in_pixels(viewer, dock, here, qtbot):
    viewer.add_labels(squares(), name="some")
    assert dock.chooser.about.text() == "The pixel size is not known, so lengths are in pixels."
    run(dock, qtbot)
    assert dock.outcome.result.text() == "5 nuclei · median area 64 px"
    assert not [c for c in dock.measured.columns if "um" in c or c.startswith("intensity")]


def test_an_image_of_another_size_cannot_be_ticked(nuclei, dock, here, qtbot):
    nuclei.add_image(np.zeros((9, 9)), name="small")
    items = [dock.chooser.images.item(i) for i in range(2)]
    assert [item.text() for item in items] == ["small (other size)", "cells"]
    assert items[0].toolTip() == "small is 9×9 px, the nuclei are 40×80 px"
    assert not items[0].flags() & Qt.ItemFlag.ItemIsEnabled
    assert [x.name for x in dock.chooser.ticked] == ["cells"]
    # replaced while the dock is open: nobody tells of it
    nuclei.layers["cells"].data = np.zeros((7, 7))
    run(dock, qtbot)
    assert not [c for c in dock.measured.columns if c.startswith("intensity")]


def test_several_images_and_all_their_channels(nuclei, dock, here, qtbot):
    labels = squares()
    nuclei.add_image(np.stack([labels, labels * 2]), name="two", axis_labels=("c", "y", "x"))
    rgb = np.stack([labels, labels * 2, labels * 3], axis=-1).astype(np.uint8)
    nuclei.add_image(rgb, name="colour", rgb=True)
    nuclei.layers.selection.active = nuclei.layers["cells · nuclei"]
    run(dock, qtbot)
    table = dock.measured.table
    ids = np.array([3, 6, 9, 12, 15])
    assert table["intensity_mean_cells"].tolist() == (200 - 10 * ids).tolist()
    assert table["intensity_mean_two_2"].tolist() == (2 * ids).tolist()
    assert table["intensity_mean_colour_blue"].tolist() == (3 * ids).tolist()
    # the user leaves one out
    for i in range(dock.chooser.images.count()):
        if dock.chooser.images.item(i).text() != "two":
            dock.chooser.images.item(i).setCheckState(Qt.CheckState.Unchecked)
    run(dock, qtbot)
    means = [c for c in dock.measured.table if c.startswith("intensity_mean")]
    assert means == ["intensity_mean_1", "intensity_mean_2"]
    assert not [c for c in nuclei.layers["cells · nuclei"].features if c.endswith("cells")]


def test_the_plane_of_a_stack_that_is_shown(viewer, dock, here, qtbot):
    stack = np.zeros((6, 40, 80), np.int32)
    stack[4] = squares()
    stack[1] = squares(2)
    viewer.add_image(stack * 2, name="stack", scale=(3, 1, 1), axis_labels=("z", "y", "x"))
    viewer.add_labels(stack, name="nuclei", scale=(3, 1, 1))
    viewer.dims.set_current_step(0, 4)
    assert "Plane 5, the one shown, is measured." in dock.chooser.about.text()
    run(dock, qtbot)
    assert dock.measured.table["intensity_mean"].tolist() == [6, 12, 18, 24, 30]
    # another plane is shown by now: the nucleus is found where it was measured
    viewer.dims.set_current_step(0, 0)
    dock.view.table.selectRow(4)
    assert viewer.dims.current_step[0] == 4
    viewer.dims.set_current_step(0, 1)
    run(dock, qtbot)
    assert shown_ids(dock) == [3, 6]


def test_nothing_to_measure_is_said(viewer, dock, qtbot):
    assert dock.chooser.about.text().startswith("Open or segment an image first")
    click(qtbot, dock.measure_button)
    assert state(dock) == "failed"
    expected = "There are no nuclei. Segment an image or open its labels."
    assert dock.outcome.sentence.text() == expected


def test_an_empty_layer_is_measured_too(viewer, dock, here, qtbot):
    viewer.add_labels(np.zeros((8, 8), np.int32), name="empty")
    run(dock, qtbot)
    assert dock.outcome.result.text() == "no nuclei"
    choose(dock.view.colour, "area_px")
    for tab in range(3):
        dock.view.tabs.setCurrentIndex(tab)
    assert dock.view.count.text() == "0 of no nuclei selected"


# --- still true? --------------------------------------------------------------------------------


def test_edited_nuclei_are_said_and_undone_edits_forgotten(measured, nuclei, qtbot):
    layer = nuclei.layers["cells · nuclei"]
    assert measured.stale.isHidden()
    layer.data_setitem((np.array([6, 7]), np.array([6, 7])), 9)
    qtbot.waitUntil(lambda: not measured.stale.isHidden())
    assert measured.stale.text().startswith("The nuclei were edited since they were measured.")
    layer.undo()
    qtbot.waitUntil(measured.stale.isHidden)
    layer.data = squares(3)
    qtbot.waitUntil(lambda: not measured.stale.isHidden())
    run(measured, qtbot)
    assert measured.stale.isHidden()
    assert shown_ids(measured) == [3, 6, 9]


def test_a_removed_layer_leaves_no_trace(measured, nuclei, qtbot):
    choose(measured.view.colour, "area_um2")
    nuclei.layers.remove("cells · nuclei")
    assert measured.measured is None
    assert measured.view.isHidden()
    nuclei.layers.remove("cells")
    assert measured.chooser.about.text().startswith("Open or segment an image first")


def test_each_layer_has_measurements_of_its_own(measured, nuclei, qtbot):
    other = nuclei.add_labels(squares(2), name="others")
    nuclei.layers.selection.active = other
    assert measured.chooser.layer is other
    assert measured.view.isHidden()
    run(measured, qtbot)
    assert shown_ids(measured) == [3, 6]
    nuclei.layers.selection.active = nuclei.layers["cells · nuclei"]
    assert shown_ids(measured) == [3, 6, 9, 12, 15]


# --- table and view -----------------------------------------------------------------------------


def test_any_column_sorts_and_the_selection_goes_with_it(measured, qtbot):
    table, columns = measured.view.table, measured.measured.columns
    table.selectRow(1)
    assert selected_ids(measured) == [6]
    table.sortByColumn(columns.index("intensity_mean"), Qt.SortOrder.AscendingOrder)
    assert shown_ids(measured) == [15, 12, 9, 6, 3]
    assert selected_in_table(measured) == selected_ids(measured) == [6]
    table.sortByColumn(columns.index("area_um2"), Qt.SortOrder.DescendingOrder)
    assert shown_ids(measured) == [15, 12, 9, 6, 3]
    # measured again: the same order
    run(measured, qtbot)
    assert shown_ids(measured) == [15, 12, 9, 6, 3]


def test_a_row_brings_its_nucleus_into_the_view(measured, nuclei):
    measured.view.table.selectRow(4)
    assert selected_ids(measured) == [15]
    # rows 5 to 16, columns 65 to 76, and the place of the layer
    y, x = 10 + 0.5 * 10.5, 20 + 0.5 * 70.5
    assert nuclei.scene.camera.center[-2:] == pytest.approx((y, x))
    assert measured.view.count.text() == "1 of 5 nuclei selected"


def show(viewer, qtbot):
    """Open the window, so that everything has its size."""
    viewer.window._qt_window.resize(1200, 760)
    viewer.window.show()
    qtbot.waitUntil(lambda: viewer.window._qt_viewer.canvas.native.isVisible())


def click_in_view(viewer, qtbot, y, x, modifier=Qt.KeyboardModifier.NoModifier):
    """Click at a place in the world."""
    canvas = viewer.window._qt_viewer.canvas
    scene = canvas._scene_canvas
    transform = canvas.view.scene.transform
    place = transform.map([x, y])[:2]
    qtbot.mouseClick(scene.native, LEFT, modifier, QPoint(*(round(float(v)) for v in place)))


def test_a_click_in_the_view_selects_the_row(measured, nuclei, qtbot):
    show(nuclei, qtbot)
    nuclei.reset_view()
    click_in_view(nuclei, qtbot, 10 + 0.5 * 8.5, 20 + 0.5 * 38.5)
    assert selected_ids(measured) == selected_in_table(measured) == [9]
    shift = Qt.KeyboardModifier.ShiftModifier
    click_in_view(nuclei, qtbot, 10 + 0.5 * 10.5, 20 + 0.5 * 70.5, shift)
    assert selected_ids(measured) == selected_in_table(measured) == [9, 15]
    # who paints does not select
    nuclei.layers["cells · nuclei"].mode = "erase"
    click_in_view(nuclei, qtbot, 10 + 0.5 * 38, 20 + 0.5 * 2)
    assert selected_ids(measured) == [9, 15]
    nuclei.layers["cells · nuclei"].mode = "pan_zoom"
    click_in_view(nuclei, qtbot, 10 + 0.5 * 38, 20 + 0.5 * 2)
    assert selected_ids(measured) == []


# --- plots --------------------------------------------------------------------------------------


def draw(plot, qtbot, places, modifier=Qt.KeyboardModifier.NoModifier):
    """Draw a line with the left button through pairs of values."""
    points = [plot.place_of(*place).toPoint() for place in places]
    target = plot.viewport()
    qtbot.mousePress(target, LEFT, modifier, points[0])
    for point in points[1:]:
        qtbot.mouseMove(target, point)
    qtbot.mouseRelease(target, LEFT, modifier, points[-1])


def show_scatter(dock, viewer, qtbot):
    show(viewer, qtbot)
    dock.view.tabs.setCurrentIndex(2)
    choose(dock.view.x, "area_px")
    choose(dock.view.y, "intensity_mean")
    plot = dock.view.scatter
    qtbot.waitUntil(lambda: plot.isVisible() and plot.viewport().height() > 50)
    # the axes settle as the plot is drawn
    plot.grab()
    return plot


def test_a_lasso_selects_nuclei_in_the_view(measured, nuclei, qtbot):
    layer = nuclei.layers["cells · nuclei"]
    before = colours(layer, [3, 6, 9, 12, 15])
    plot = show_scatter(measured, nuclei, qtbot)
    # areas 36 and 64, brightness 140 and 110
    draw(plot, qtbot, [(25, 150), (80, 150), (80, 100), (25, 100)])
    assert selected_ids(measured) == selected_in_table(measured) == [6, 9]
    assert measured.view.count.text() == "2 of 5 nuclei selected"
    now = colours(layer, [3, 6, 9, 12, 15])
    assert np.allclose(now[1:3], before[1:3], atol=0.01)
    assert now[[0, 3, 4], 3].max() < 0.3
    assert np.allclose(now[[0, 3, 4], :3], before[[0, 3, 4], :3], atol=0.01)
    draw(
        plot, qtbot, [(130, 60), (150, 60), (150, 40), (130, 40)], Qt.KeyboardModifier.ShiftModifier
    )
    assert selected_ids(measured) == [6, 9, 15]
    # a click on a point selects it alone, and one beside all of them none
    qtbot.mouseClick(plot.viewport(), LEFT, pos=plot.place_of(100, 80).toPoint())
    assert selected_ids(measured) == [12]
    qtbot.mouseClick(plot.viewport(), LEFT, pos=plot.place_of(60, 60).toPoint())
    assert selected_ids(measured) == []
    assert np.array_equal(colours(layer, [3, 6, 9, 12, 15]), before)


def test_clear_selects_none(measured, nuclei, qtbot):
    assert not measured.view.clear_button.isEnabled()
    measured.view.table.selectAll()
    assert len(selected_ids(measured)) == 5
    click(qtbot, measured.view.clear_button)
    assert selected_ids(measured) == selected_in_table(measured) == []


def test_nuclei_without_a_value_are_in_no_lasso(viewer, dock, here, qtbot):
    viewer.add_labels(squares(1), name="one")
    run(dock, qtbot)
    dock.view.tabs.setCurrentIndex(2)
    choose(dock.view.x, "nearest_edge_px")
    plot = dock.view.scatter
    plot.grab()
    draw(plot, qtbot, [(-9, -9), (99, -9), (99, 999), (-9, 999)])
    assert selected_ids(dock) == []
    dock.view.tabs.setCurrentIndex(1)
    choose(dock.view.of, "nearest_edge_px")
    assert dock.view.histogram.getPlotItem().items == []


def bars(dock):
    drawn = dock.view.histogram.getPlotItem().items
    return [item.opts["height"].tolist() for item in drawn]


def test_the_histogram_counts_all_and_the_selected(measured, qtbot):
    measured.view.tabs.setCurrentIndex(1)
    choose(measured.view.of, "touching")
    assert bars(measured) == [[5], [0]]
    choose(measured.view.of, "area_um2")
    counts, chosen = bars(measured)
    assert sum(counts) == 5
    assert sum(chosen) == 0
    assert measured.view.histogram.getAxis("bottom").labelText == "Area (µm²)"
    assert measured.view.histogram.getAxis("left").labelText == "nuclei"
    measured.view.table.selectRow(0)
    counts, chosen = bars(measured)
    assert (sum(counts), sum(chosen), chosen[0]) == (5, 1, 1)


# --- colours ------------------------------------------------------------------------------------


def test_colour_by_a_measurement_and_back(measured, nuclei):
    layer = nuclei.layers["cells · nuclei"]
    layer.visible = False
    before, ids = colours(layer, range(20)), [3, 6, 9, 12, 15]
    choose(measured.view.colour, "area_um2")
    assert layer.visible
    shown = colours(layer, ids)
    # viridis, from its first to its last colour; lighter the larger
    assert shown[0] == pytest.approx((0.267, 0.005, 0.329, 1), abs=0.01)
    assert shown[-1] == pytest.approx((0.993, 0.906, 0.144, 1), abs=0.01)
    assert (np.diff(shown[:, :3] @ (0.21, 0.72, 0.07)) > 0).all()
    assert colours(layer, [0]).tolist() == [[0, 0, 0, 0]]
    low, high = measured.view.bar.words
    assert (low, high) == ("≤ 4.4 µm²", "≥ 35 µm²")
    assert not measured.view.bar.isHidden()
    choose(measured.view.colour, None)
    assert np.array_equal(colours(layer, range(20)), before)
    assert measured.view.bar.isHidden()


def test_colours_that_the_user_chose_meanwhile_stay(measured, nuclei):
    layer = nuclei.layers["cells · nuclei"]
    choose(measured.view.colour, "area_um2")
    layer.new_colormap(seed=3)
    theirs = layer.colormap
    choose(measured.view.colour, None)
    assert layer.colormap is theirs


def test_a_closed_dock_gives_the_colours_back(measured, nuclei, qtbot):
    layer = nuclei.layers["cells · nuclei"]
    before = len(nuclei.mouse_drag_callbacks)
    choose(measured.view.colour, "area_um2")
    coloured = layer.colormap
    nuclei.window.remove_dock_widget(measured)
    measured.deleteLater()
    qtbot.waitUntil(lambda: layer.colormap is not coloured)
    assert len(nuclei.mouse_drag_callbacks) == before - 1


def test_what_is_not_a_number_is_grey(viewer, dock, here, qtbot):
    layer = viewer.add_labels(squares(1), name="one")
    run(dock, qtbot)
    choose(dock.view.colour, "nearest_edge_px")
    assert colours(layer, [3]).tolist() == [[0.5, 0.5, 0.5, 1]]


# --- saving -------------------------------------------------------------------------------------


def save(dock, qtbot, monkeypatch, path):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(path), ""))
    click(qtbot, dock.view.save_button)


@pytest.mark.slow
def test_the_saved_table_is_that_of_the_command_line(
    viewer, dock, here, qtbot, monkeypatch, tmp_path
):
    viewer.open_sample("napari-nucleiseg", "stained")
    labels = next(x for x in viewer.layers if isinstance(x, Labels))
    run(dock, qtbot)
    save(dock, qtbot, monkeypatch, tmp_path / "dock.csv")
    assert dock.outcome.notices.text() == f"Saved 34 nuclei: {tmp_path / 'dock.csv'}"
    write_labels(tmp_path / "x_labels.tif", np.asarray(labels.data))
    words = ["measure", tmp_path / "x_labels.tif", "--image", SAMPLES["stained"].micrograph]
    done = CliRunner().invoke(cli.app, [str(w) for w in (*words, "--out", tmp_path / "shell.csv")])
    assert done.exit_code == 0, done.output
    tables = []
    for name in ("dock", "shell"):
        with (tmp_path / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            tables.append([dict(row, image="") for row in csv.DictReader(file)])
    assert tables[0] == tables[1]


def test_the_selected_nuclei_as_parquet(measured, qtbot, monkeypatch, tmp_path):
    measured.view.table.selectionModel().select(
        measured.view.table.model().index(2, 0),
        QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows,
    )
    assert measured.view.which.itemText(1) == "selected nuclei (1)"
    choose(measured.view.which, True)
    save(measured, qtbot, monkeypatch, tmp_path / "some.parquet")
    table = pd.read_parquet(tmp_path / "some.parquet")
    assert table["label"].tolist() == [9]
    assert table["image"].tolist() == ["cells · nuclei"]
    assert table["area_um2"].tolist() == [16]


def test_a_table_that_cannot_be_written_is_said(measured, qtbot, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    save(measured, qtbot, monkeypatch, tmp_path / "file" / "a.csv")
    assert "could not be written" in measured.outcome.sentence.text()
    save(measured, qtbot, monkeypatch, tmp_path / "a.xlsx")
    assert "a.xlsx" in measured.outcome.sentence.text()
    save(measured, qtbot, monkeypatch, "")
    assert [x.name for x in tmp_path.iterdir() if x.suffix in (".csv", ".xlsx")] == []


def test_choices_are_remembered(measured, viewer, qtbot):
    measured.view.tabs.setCurrentIndex(2)
    choose(measured.view.y, "solidity")
    choose(measured.view.of, "eccentricity")
    assert memory.recall()["measure"]["y"] == "solidity"
    again = MeasureDock(viewer)
    assert again.view.tabs.currentIndex() == 2
    run(again, qtbot)
    assert again.view.y.currentData() == "solidity"
    assert again.view.of.currentData() == "eccentricity"
    again.deleteLater()


# --- the other ends of a job --------------------------------------------------------------------


def test_cancelled_in_the_middle(nuclei, dock, work, here, qtbot):
    closed, go_on = [], threading.Event()

    def waits(labels, micrographs):
        try:
            yield Measuring("neighbours", 1, 3)
            go_on.wait(30)
            yield Measuring("intensities", 2, 3)
        finally:
            closed.append(threading.current_thread() is not threading.main_thread())

    work(waits)
    click(qtbot, dock.measure_button)
    qtbot.waitUntil(lambda: dock.outcome.state.text() == "Running · neighbours")
    assert not dock.measure_button.isEnabled()
    click(qtbot, dock.cancel_button)
    assert state(dock) == "stopping"
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "cancelled")
    assert closed == [True]
    assert dock.measured is None
    assert dock.measure_button.isEnabled()
    assert nuclei.layers["cells · nuclei"].features.empty


def test_failed_in_the_middle(nuclei, dock, work, qtbot):
    def fails(labels, micrographs):
        yield Measuring("neighbours", 1, 3)
        raise MemoryError

    work(fails)
    click(qtbot, dock.measure_button)
    qtbot.waitUntil(lambda: state(dock) == "failed")
    assert dock.outcome.sentence.text().startswith("There is not enough memory.")
    assert dock.measure_button.isEnabled()


def test_layer_removed_while_it_is_measured(nuclei, dock, work, qtbot):
    go_on = threading.Event()

    def waits(labels, micrographs):
        from napari_nucleiseg.measure import measure_steps

        yield Measuring("neighbours", 1, 3)
        go_on.wait(30)
        yield from measure_steps(labels, micrographs)

    work(waits)
    click(qtbot, dock.measure_button)
    qtbot.waitUntil(lambda: dock.outcome.state.text() == "Running · neighbours")
    nuclei.layers.remove("cells · nuclei")
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert "cells · nuclei was removed while it was measured." in dock.outcome.notices.text()


def test_viewer_closed_while_it_runs(make_napari_viewer_proxy, monkeypatch, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.add_labels(squares(), name="nuclei")
    dock = MeasureDock(viewer)
    viewer.window.add_dock_widget(dock, name="Measurements")
    go_on, closed = threading.Event(), threading.Event()

    def waits(labels, micrographs):
        try:
            yield Measuring("neighbours", 1, 3)
            go_on.wait(30)
            yield Measuring("intensities", 2, 3)
        finally:
            closed.set()

    session = bridge_of(viewer).session
    monkeypatch.setattr(session, "_work_in", lambda function, *args: waits(*args))
    click(qtbot, dock.measure_button)
    qtbot.waitUntil(lambda: "neighbours" in dock.outcome.state.text())
    viewer.close()
    go_on.set()
    qtbot.waitUntil(closed.is_set)
    qtbot.waitUntil(lambda: not session.is_busy)
    assert session.state == "cancelled"


def test_the_dock_of_segmentation_says_what_runs(nuclei, dock, work, qtbot):
    from napari_nucleiseg.gui.segment_dock import SegmentDock

    other = SegmentDock(nuclei)
    nuclei.window.add_dock_widget(other, name="Segment nuclei")
    go_on = threading.Event()

    def fails(labels, micrographs):
        yield Measuring("neighbours", 1, 3)
        go_on.wait(30)
        raise MemoryError

    other.outcome.say_result("312 nuclei")
    work(fails)
    click(qtbot, dock.measure_button)
    qtbot.waitUntil(lambda: "neighbours" in dock.outcome.state.text())
    assert other.outcome.state.text() == "Running · Measuring nuclei"
    assert not other.segment_button.isEnabled()
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "failed")
    assert state(other) == "done"
    assert other.outcome.failure.isHidden()
    assert other.outcome.result.text() == "312 nuclei"
