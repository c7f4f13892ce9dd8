"""The dock "Evaluate": real buttons, tables, layers and threads."""

from __future__ import annotations

import csv
import threading
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog

from damage import damage
from napari_nucleiseg.comparison import Kind, classify, compare
from napari_nucleiseg.gui import memory
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.evaluate_dock import EvaluateDock
from napari_nucleiseg.gui.nuclei_table import COLUMNS
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.judging import Judging
from napari_nucleiseg.marks import kinds_of_marks, mark_colours
from napari_nucleiseg.samples import SAMPLES, read_sample

WAIT = 60_000
WHERE = {"scale": (0.5, 0.25), "translate": (3.0, 4.0), "units": ("um", "um")}
NAMES = [name for name, *_ in COLUMNS]


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def state(dock):
    return dock.outcome.state.property("state")


def layer(viewer, kind, image="image"):
    return viewer.layers[f"{image} · {kind}"]


def run(dock, qtbot):
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: state(dock) in ("done", "failed"), timeout=WAIT)
    assert state(dock) == "done", dock.outcome.sentence.text()


def shown_kinds(layer, threshold):
    """Kind of each pixel, from the colours that the layer shows."""
    of_colour = {}
    for mark, (kind, colour) in enumerate(
        zip(kinds_of_marks(threshold), mark_colours(threshold), strict=True)
    ):
        shown = layer.colormap.map(np.array([mark]))[0]
        assert np.allclose(shown, colour, atol=1 / 255), mark
        of_colour[mark] = kind
    return np.array([of_colour[m] for m in range(len(of_colour))])[np.asarray(layer.data)]


def counts(dock):
    return {k.words: int(label.text()) for k, label in dock.legend.counts.items()}


def cells(dock, name):
    model, at = dock.table.nuclei, NAMES.index(name)
    return [model.data(model.index(i, at)) for i in range(model.rowCount())]


@pytest.fixture
def dock(viewer, qtbot):
    """The dock in its window."""
    widget = EvaluateDock(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    yield widget
    session = bridge_of(viewer).session
    session.cancel()
    qtbot.waitUntil(lambda: not session.is_busy, timeout=WAIT)


def add(viewer, name="fluorescence", seed=0, **where):
    """A real micrograph, its truth, and a prediction with planted errors."""
    micrograph, truth = read_sample(name)
    made = damage(truth, seed)
    pixels = micrograph.pixels
    viewer.add_image(pixels, name="image", rgb=micrograph.is_colour, **where)
    viewer.add_labels(made.labels, name="image · nuclei", **where)
    viewer.add_labels(truth.astype(np.int32), name="image · truth", **where)
    return truth, made


@pytest.fixture
def planted(viewer):
    return add(viewer, **WHERE)


# --- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_the_errors_layer_names_every_planted_error(viewer, dock, qtbot, name):
    truth, made = add(viewer, name)
    run(dock, qtbot)
    image = shown_kinds(layer(viewer, "errors"), 0.5)
    expected = dict.fromkeys((int(i) for i in np.unique(truth[truth > 0])), Kind.CORRECT)
    expected |= dict.fromkeys(made.deleted, Kind.MISSED)
    expected |= dict.fromkeys(made.eroded, Kind.POOR_OUTLINE)
    expected |= dict.fromkeys(made.split, Kind.SPLIT)
    expected |= dict.fromkeys(made.merged, Kind.MERGED)
    for number, kind in expected.items():
        assert set(image[truth == number].tolist()) == {kind}, number
    for number in made.invented:
        assert set(image[made.labels == number].tolist()) == {Kind.EXTRA}
    assert counts(dock) == {
        "correct": len(expected) - 10,
        "missed": 2,
        "extra": 2,
        "merged": 4,
        "split": 2,
        "poor outline": 2,
    }
    assert cells(dock, "kind").count("missed") == 2


def test_layers_lie_on_the_image_and_say_what_they_show(viewer, planted, dock, qtbot):
    truth, made = planted
    run(dock, qtbot)
    for kind in ("errors", "IoU", "Dice", "agreement"):
        shown = layer(viewer, kind)
        assert shown.scale.tolist() == [0.5, 0.25]
        assert shown.translate.tolist() == [3.0, 4.0]
        assert [str(u) for u in shown.units] == ["micrometer"] * 2
        assert not shown.editable
    names = [x.name for x in viewer.layers]
    assert names[-4:] == [f"image · {kind}" for kind in ("agreement", "Dice", "IoU", "errors")]
    assert [x.visible for x in viewer.layers[-4:]] == [False, False, False, True]
    assert not layer(viewer, "nuclei").visible
    # the status bar tells the IoU of an eroded nucleus
    y, x = (int(v) for v in np.argwhere(made.labels == made.eroded[0])[0])
    iou = (made.labels == made.eroded[0]).sum() / (truth == made.eroded[0]).sum()
    number = layer(viewer, "IoU").data[y, x]
    assert layer(viewer, "IoU").features["IoU"][number] == f"{iou:.2f}"
    dice = 2 * iou / (1 + iou)
    assert layer(viewer, "Dice").features["Dice"][layer(viewer, "Dice").data[y, x]] == f"{dice:.2f}"
    assert layer(viewer, "errors").features["kind"][layer(viewer, "errors").data[y, x]] == (
        "poor outline"
    )
    both = (truth > 0) & (made.labels > 0)
    agreement = layer(viewer, "agreement")
    assert (agreement.data[both] == 1).all()
    assert set(agreement.data[~both & (truth > 0)].tolist()) == {3}
    assert agreement.features["foreground"][3] == "only true"


def test_the_slider_changes_colours_counts_table_and_scores(viewer, planted, dock, qtbot):
    truth, made = planted
    run(dock, qtbot)
    errors = layer(viewer, "errors")
    before, said = errors.data, dock.outcome.scores.text()
    comparison = compare(truth, made.labels)
    for value in (51, 62, 75, 100, 50):
        dock.slider.setValue(value)
        threshold = value / 100
        kinds = classify(comparison.overlaps, threshold)
        assert (shown_kinds(errors, threshold) == comparison.kind_image(kinds)).all()
        assert counts(dock) == kinds.counts()
        assert cells(dock, "kind").count("poor outline") == kinds.counts()["poor outline"]
        assert f"correct at IoU {threshold:.2f}" in dock.outcome.result.text()
        assert dock.scores.marker.value() == threshold
    assert errors.data is before
    assert dock.outcome.scores.text() == said
    dock.slider.setValue(100)
    assert dock.scores.values["precision"].text() == f"{12 / 22:.3f}"


def test_again_replaces_its_layers(viewer, planted, dock, qtbot):
    run(dock, qtbot)
    before, errors = len(viewer.layers), layer(viewer, "errors")
    nuclei = layer(viewer, "nuclei")
    nuclei.data = np.asarray(layer(viewer, "truth").data)
    layer(viewer, "truth").translate = nuclei.translate = viewer.layers["image"].translate = (7, 8)
    run(dock, qtbot)
    assert len(viewer.layers) == before
    assert layer(viewer, "errors") == errors
    assert errors.translate.tolist() == [7, 8]
    assert counts(dock)["correct"] == 22
    assert set(shown_kinds(errors, 0.5).ravel().tolist()) == {0, Kind.CORRECT}
    assert not dock.next_button.isEnabled()


def test_values_are_written_beside_nuclei(viewer, planted, dock, qtbot):
    truth, made = planted
    run(dock, qtbot)
    dock.values.click()
    values = layer(viewer, "IoU values")
    assert len(values.data) == 22
    assert list(values.features["IoU"]) == [
        f"{v:.2f}" for v in compare(truth, made.labels).best_iou
    ]
    dock.values.click()
    assert "image · IoU values" not in viewer.layers


def test_ticks_show_and_hide_layers(viewer, planted, dock, qtbot):
    run(dock, qtbot)
    assert dock.shown["errors"].isChecked()
    assert dock.bar_of_colours.isHidden()
    dock.shown["IoU"].click()
    assert layer(viewer, "IoU").visible
    assert not dock.bar_of_colours.isHidden()
    del viewer.layers["image · Dice"]
    assert not dock.shown["Dice"].isEnabled()


def test_a_change_since_is_told(viewer, planted, dock, qtbot):
    run(dock, qtbot)
    assert dock.outcome.notices.isHidden()
    layer(viewer, "nuclei").data_setitem((np.array([3]), np.array([3])), 40)
    assert "Compare again" in dock.outcome.notices.text()
    run(dock, qtbot)
    assert dock.outcome.notices.isHidden()


def test_a_closed_dock_gives_back_its_keys_and_clicks(viewer, qtbot):
    real = bridge_of(viewer).viewer
    before, keys = list(real.mouse_drag_callbacks), dict(real.keymap)
    widget = EvaluateDock(viewer)
    assert len(real.keymap) == len(keys) + 2
    assert len(real.mouse_drag_callbacks) == len(before) + 1
    widget.deleteLater()
    qtbot.waitUntil(lambda: not isalive(widget))
    assert list(real.mouse_drag_callbacks) == before
    assert dict(real.keymap) == keys


# --- what is compared ---------------------------------------------------------------------------


def test_nuclei_and_truth_are_proposed_by_name(viewer, planted, dock):
    assert dock.choices.prediction_layer.name == "image · nuclei"
    assert dock.choices.truth_layer.name == "image · truth"
    assert dock.choices.area.currentText() == "everywhere"
    viewer.add_labels(np.zeros((9, 9), np.int32), name="other")
    assert dock.choices.truth_layer.name == "image · truth"


def test_different_sizes_are_said_in_a_sentence(viewer, planted, dock, qtbot):
    viewer.add_labels(np.ones((9, 12), np.int32), name="other")
    field = dock.choices.truth
    field.setCurrentIndex(field.findText("other"))
    field.activated.emit(field.currentIndex())
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: state(dock) == "failed", timeout=WAIT)
    assert dock.outcome.sentence.text() == (
        "The nuclei and the true ones differ in size: 360×360 and 9×12 px. "
        "Choose label images of the same field of view."
    )
    assert dock.compare_button.isEnabled()


def test_nothing_to_compare_is_said(viewer, dock, qtbot):
    click(qtbot, dock.compare_button)
    assert "No nuclei are chosen" in dock.outcome.sentence.text()
    viewer.add_labels(np.ones((9, 9), np.int32), name="one")
    for field in (dock.choices.prediction, dock.choices.truth):
        field.setCurrentIndex(0)
        field.activated.emit(0)
    click(qtbot, dock.compare_button)
    assert "compared with themselves: one" in dock.outcome.sentence.text()


def test_only_reviewed_areas_count(viewer, planted, dock, qtbot):
    truth, _ = planted
    number = int(truth[180, 180]) or int(np.unique(truth)[5])
    y, x = np.argwhere(truth == number).mean(axis=0)
    box = np.array([[y - 60, x - 60], [y - 60, x + 60], [y + 60, x + 60], [y + 60, x - 60]])
    viewer.add_shapes([box], shape_type="polygon", name="image · reviewed", **WHERE)
    assert dock.choices.area.currentText() == "image · reviewed"
    run(dock, qtbot)
    inside = dock.table.nuclei.table["true_id"]
    assert number in inside
    assert 0 < len(inside) < 22
    # the shapes are gone: all count again
    del viewer.layers["image · reviewed"]
    assert dock.choices.area.currentText() == "everywhere"
    # below 0 in the truth nothing counts either
    layer(viewer, "truth").data = np.where(truth == number, truth, -1).astype(np.int32)
    run(dock, qtbot)
    assert dock.table.nuclei.table["true_id"].max() == number


def test_a_layer_that_is_removed_meanwhile(viewer, planted, dock, qtbot, work):
    go_on = threading.Event()

    def slowly(events):
        yield Judging("waiting", 0)
        go_on.wait(30)
        yield from events()

    run(dock, qtbot)
    for kind in ("errors", "IoU", "Dice", "agreement"):
        del viewer.layers[f"image · {kind}"]
    work(lambda: iter(()))
    session = bridge_of(viewer).session
    session._ask_in = lambda events: slowly(events)
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: "waiting" in dock.outcome.state.text(), timeout=WAIT)
    del viewer.layers["image · truth"]
    go_on.set()
    qtbot.waitUntil(lambda: not session.is_busy, timeout=WAIT)
    assert "removed meanwhile" in dock.outcome.notices.text()
    # the table was of the comparison before
    assert dock._results.isHidden()
    assert state(dock) == "idle"
    assert "image · errors" not in viewer.layers


def test_cancel_changes_nothing(viewer, planted, dock, qtbot):
    go_on = threading.Event()

    def slowly(events):
        yield Judging("waiting", 0)
        go_on.wait(30)
        yield from events()

    bridge_of(viewer).session._ask_in = lambda events: slowly(events)
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: "waiting" in dock.outcome.state.text(), timeout=WAIT)
    assert not dock.compare_button.isEnabled()
    click(qtbot, dock.cancel_button)
    assert state(dock) == "stopping"
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "cancelled", timeout=WAIT)
    assert len(viewer.layers) == 3
    assert dock.compare_button.isEnabled()


# --- table and view -----------------------------------------------------------------------------


def test_a_row_centres_the_view(viewer, planted, dock, qtbot):
    run(dock, qtbot)
    table, model = dock.table, dock.table.nuclei
    at = cells(dock, "kind").index("extra")
    table.setCurrentIndex(model.index(at, 0))
    row = int(model.rows[at])
    place = model.table["y_px"][row], model.table["x_px"][row]
    world = layer(viewer, "errors").data_to_world(place)
    assert np.allclose(viewer.scene.camera.center[-2:], world)


def test_a_click_in_the_view_chooses_the_row(viewer, planted, dock, qtbot):
    truth, made = planted
    run(dock, qtbot)

    def press(place):
        class Event:
            type, button, modifiers = "mouse_press", 1, ()
            pos = np.zeros(2)
            position = tuple(layer(viewer, "errors").data_to_world(place))

        real = bridge_of(viewer).viewer
        for called in real.mouse_drag_callbacks:
            Event.type = "mouse_press"
            going = called(real, Event)
            next(going, None)
            Event.type = "mouse_release"
            next(going, None)

    def chosen(name):
        return dock.table.nuclei.table[name][dock.table.row]

    dock.filter.setCurrentIndex(dock.filter.findData("extra"))
    for number in (made.deleted[0], made.split[0]):
        y, x = np.argwhere(truth == number)[3]
        press((int(y), int(x)))
        assert chosen("true_id") == number
        [selected] = dock.table.selectionModel().selectedRows()
        assert dock.table.nuclei.rows[selected.row()] == dock.table.row
    y, x = np.argwhere(made.labels == made.invented[1])[3]
    press((int(y), int(x)))
    assert (chosen("kind"), chosen("prediction_id")) == ("extra", made.invented[1])
    before = dock.table.row
    press((-50, -50))
    assert dock.table.row == before


def test_next_error_by_key_goes_round(viewer, planted, dock, qtbot):
    run(dock, qtbot)
    real = bridge_of(viewer).viewer
    keys = {str(binding): called for binding, called in real.keymap.items()}
    seen = []
    for _ in range(13):
        keys["."](real)
        seen.append(dock.table.row)
    assert len(set(seen[:12])) == 12
    assert seen[12] == seen[0]
    assert {dock.table.nuclei.table["kind"][row] for row in seen} == {
        "missed",
        "extra",
        "merged",
        "split",
        "poor outline",
    }
    keys[","](real)
    assert dock.table.row == seen[11]


def test_sorting_and_filtering(viewer, planted, dock, qtbot):
    run(dock, qtbot)
    assert cells(dock, "iou") == sorted(cells(dock, "iou"))
    at = NAMES.index("true_id")
    dock.table.sortByColumn(at, Qt.SortOrder.DescendingOrder)
    numbers = cells(dock, "true_id")
    assert numbers[-2:] == ["–", "–"]
    assert [int(n) for n in numbers[:-2]] == sorted((int(n) for n in numbers[:-2]), reverse=True)
    dock.filter.setCurrentIndex(dock.filter.findData("merged"))
    assert cells(dock, "kind") == ["merged"] * 4
    assert dock.filter.currentText() == "merged (4)"
    dock.filter.setCurrentIndex(1)
    assert len(cells(dock, "kind")) == 12
    assert not dock.table.isColumnHidden(NAMES.index("hausdorff_um"))


def test_the_table_as_a_file(viewer, planted, dock, qtbot, tmp_path, monkeypatch):
    run(dock, qtbot)
    dock.slider.setValue(100)
    chosen = [str(tmp_path / "nuclei")]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (chosen[0], ""))
    click(qtbot, dock.save_button)
    with (tmp_path / "nuclei.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert {row["kind"] for row in rows} >= {"extra", "correct", "merged"}
    assert sum(row["kind"] == "correct" for row in rows) == counts(dock)["correct"]
    chosen[0] = str(tmp_path / "no" / "folder" / "x.txt")
    click(qtbot, dock.save_button)
    assert "x.txt" in dock.outcome.sentence.text()


def test_threshold_and_folds_are_remembered(viewer, planted, dock, qtbot):
    dock.slider.setValue(77)
    run(dock, qtbot)
    dock.fold.open(True)
    assert memory.recall()["evaluate"]["threshold"] == 77
    again = EvaluateDock(viewer)
    qtbot.addWidget(again)
    assert again.threshold == 0.77
    assert again.fold.is_open


# --- folders ------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Predictions with planted errors and a training folder."""
    for name, sample in SAMPLES.items():
        truth = read_sample(name)[1]
        write_labels(tmp_path / "found" / f"{name}_labels.tif", damage(truth, 0).labels)
        for kind, source in (("images", sample.micrograph), ("masks", sample.labels)):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / kind / f"{name}.png").write_bytes(source.read_bytes())
    lines = ("image_id,lab", "stained,one", "fluorescence,two", "brightfield,two")
    (tmp_path / "index.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def start_folders(dock, qtbot, folders):
    view = dock.folders
    dock.tabs.setCurrentIndex(1)
    view.fields["prediction"].setText(str(folders / "found"))
    view.fields["prediction"].editingFinished.emit()
    view.fields["truth"].setText(str(folders / "data"))
    view.fields["index"].setText(str(folders / "index.csv"))
    view.fields["group"].setText("lab")
    click(qtbot, view.evaluate_button)
    return view


def test_two_folders_and_an_image_of_them(viewer, dock, qtbot, folders, monkeypatch):
    view = start_folders(dock, qtbot, folders)
    assert view.fields["out"].text() == str(folders / "found-evaluation")
    qtbot.waitUntil(lambda: view.outcome.state.property("state") == "done", timeout=WAIT)
    assert view.list.topLevelItemCount() == 3
    ap = [float(view.list.topLevelItem(i).text(1)) for i in range(3)]
    assert ap == sorted(ap)
    assert "3 images, 76 nuclei" in view.outcome.result.text()
    assert "two (2): AP" in view.outcome.scores.text()
    written = {p.name for p in (folders / "found-evaluation").iterdir()}
    assert written == {"nuclei.csv", "images.csv", "summary.json", "report.html"}
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    click(qtbot, view.report_button)
    assert opened[0].toLocalFile() == str(folders / "found-evaluation" / "report.html")

    line = view.list.findItems("stained", Qt.MatchFlag.MatchExactly)[0]
    for _ in range(2):
        view.list.itemDoubleClicked.emit(line, 0)
        qtbot.waitUntil(lambda: state(dock) == "done", timeout=WAIT)
        assert dock.tabs.currentIndex() == 0
        assert [type(x) for x in viewer.layers[:1]] == [Image]
        # opened again, it takes its own layers
        assert [x.name for x in viewer.layers if isinstance(x, Labels)] == [
            f"stained · {kind}"
            for kind in ("nuclei", "truth", "agreement", "Dice", "IoU", "errors")
        ]
    assert counts(dock)["missed"] == 2


def test_folders_that_do_not_fit_are_told(dock, qtbot, folders):
    (folders / "found" / "stained_labels.tif").unlink()
    view = start_folders(dock, qtbot, folders)
    qtbot.waitUntil(lambda: view.outcome.state.property("state") == "failed", timeout=WAIT)
    assert "1 of 3 images have no prediction: stained" in view.outcome.sentence.text()
    view.fields["truth"].clear()
    click(qtbot, view.evaluate_button)
    assert "No folder is chosen for the truth" in view.outcome.sentence.text()


def test_folders_can_be_cancelled(viewer, dock, qtbot, folders):
    session = bridge_of(viewer).session
    go_on = threading.Event()
    real = session._work_in

    def slowly(function, *args):
        for event in real(function, *args):
            yield event
            go_on.wait(30)

    session._work_in = slowly
    view = start_folders(dock, qtbot, folders)
    qtbot.waitUntil(lambda: view.list.topLevelItemCount() == 1, timeout=WAIT)
    click(qtbot, view.cancel_button)
    go_on.set()
    qtbot.waitUntil(lambda: view.outcome.state.property("state") == "cancelled", timeout=WAIT)
    assert "no report was written" in view.outcome.state.text()
    assert not (folders / "found-evaluation" / "report.html").exists()
    assert view.evaluate_button.isEnabled()
