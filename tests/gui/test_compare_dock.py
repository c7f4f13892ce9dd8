"""The dock "Compare models": real buttons, tables and layers."""

from __future__ import annotations

import csv
import threading
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_nucleiseg.comparing import (
    Compared,
    Comparing,
    ComparisonDone,
    NotCompared,
    Row,
    Told,
    summarise,
)
from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.evaluation import score_image
from napari_nucleiseg.gui import memory
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.compare_dock import CompareDock
from napari_nucleiseg.gui.layers import RESULT
from napari_nucleiseg.samples import SAMPLES

WAIT = 120_000


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def state(dock):
    return dock.outcome.state.property("state")


def results(viewer):
    return [x for x in viewer.layers if isinstance(x, Labels) and RESULT in x.metadata]


def squares(count=2):
    """Label image with some squares; made up, so that the answer is known."""
    labels = np.zeros((40, 50), np.int32)
    for n in range(count):
        labels[2 + 12 * n : 10 + 12 * n, 2:10] = n + 1
    return labels


def finds_some(models, items, config):
    """Stands in for the core: the first model finds both squares, every next one square less."""
    rows = []
    for m, model in enumerate(models):
        for i, item in enumerate(items):
            yield Comparing(model, m + 1, len(models), item.name, i + 1, len(items))
            labels = squares(2 - m)
            _, truth = item.read()
            seconds = 12.0 if m else 3.0
            row = Row(model, item.name, score_image(truth, labels), seconds, truth.size / 1e6)
            rows.append(row)
            yield Compared(row, labels, {"model": {"name": model}})
    yield Told("A sentence to be shown")
    yield ComparisonDone(summarise(rows))


@pytest.fixture
def images(viewer):
    """Two images with true nuclei, and one without."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    where = {"scale": (0.5, 0.5), "translate": (3, 4), "units": ("um", "um")}
    for name in ("a", "b"):
        viewer.add_image(pixels, name=name, **where)
        viewer.add_labels(squares(), name=f"{name} · truth")
    viewer.add_image(np.zeros((8, 8), np.uint8), name="small")
    return viewer


@pytest.fixture
def dock(viewer, qtbot, model_folder):
    """The dock in its window, with the models "nuclei", "noisy" and the damaged "torn"."""
    widget = CompareDock(viewer)
    viewer.window.add_dock_widget(widget, name="Compare models")
    yield widget
    session = bridge_of(viewer).session
    session.cancel()
    qtbot.waitUntil(lambda: not session.is_busy, timeout=60_000)


def run(dock, qtbot):
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: state(dock) == "done")


def lines(table, column=0):
    return [table.topLevelItem(i).text(column) for i in range(table.topLevelItemCount())]


def tick(dock, *names):
    for i in range(dock.models.count()):
        item = dock.models.item(i)
        is_on = item.data(Qt.ItemDataRole.UserRole) in names
        item.setCheckState(Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked)


# --- choices ------------------------------------------------------------------------------------


def test_models_stand_with_their_scores(dock):
    texts = [dock.models.item(i).text() for i in range(dock.models.count())]
    assert texts[0].startswith("AP 0.61 · Nuclei")
    assert "1.2 MPix/s" in dock.models.item(0).toolTip()
    assert texts[1:] == ["Noisy nuclei", "Torn nuclei"]
    dock.none_button.click()
    assert dock.chosen_models() == []
    dock.all_button.click()
    assert dock.chosen_models() == ["nuclei", "noisy", "torn"]


def test_without_images_the_samples_are_proposed(dock):
    assert dock.images.kind == "samples"
    assert dock.images.count.text() == "3 images with true nuclei"
    assert [item.name for item in dock.images.items()] == list(SAMPLES)


def test_open_images_are_paired_with_their_true_nuclei(images, dock):
    chooser = dock.images
    assert chooser.kind == "layers"
    table = chooser.pairs
    names = [table.item(i, 0).text() for i in range(table.rowCount())]
    assert names == ["small", "b", "a"]
    assert [table.cellWidget(i, 1).currentText() for i in range(3)] == [
        "none",
        "b · truth",
        "a · truth",
    ]
    assert [item.name for item in chooser.items()] == ["b", "a"]
    # what the user chose stays when layers come and go
    table.item(1, 0).setCheckState(Qt.CheckState.Unchecked)
    images.add_image(np.zeros((9, 9), np.uint8), name="later")
    assert [item.name for item in chooser.items()] == ["a"]
    field = table.cellWidget(2, 1)
    assert field.findText("a · truth") > 0
    field.setCurrentIndex(field.findText("a · truth"))
    field.activated.emit(field.currentIndex())
    micrograph, truth = {item.name: item for item in chooser.items()}["b"].read()
    assert micrograph.name == "b"
    assert np.array_equal(truth, squares())


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "data"
    for name, sample in SAMPLES.items():
        for kind, source in (("images", sample.micrograph), ("masks", sample.labels)):
            (place / kind).mkdir(parents=True, exist_ok=True)
            (place / kind / f"{name}.png").write_bytes(source.read_bytes())
    index = "image_id,split\nstained,val\nfluorescence,train\nbrightfield,val\n"
    (place / "index.csv").write_text(index)
    return place


def test_a_folder_and_its_split(dock, folder, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(folder))
    dock.images.source.setCurrentIndex(1)
    assert dock.images.count.text() == "Choose a folder of images and label images."
    dock.images.browse.click()
    # of the split train the models have learned
    assert dock.images.split.currentText() == "val"
    assert dock.images.count.text() == "2 images with true nuclei"
    assert [item.name for item in dock.images.items()] == ["brightfield", "stained"]
    dock.images.split.setCurrentIndex(dock.images.split.findText("all"))
    assert dock.images.count.text() == "3 images with true nuclei"


def test_a_folder_that_holds_nothing_is_said(dock, tmp_path, qtbot):
    dock.images.source.setCurrentIndex(1)
    dock.images.folder.setText(str(tmp_path / "models"))
    dock.images.folder.editingFinished.emit()
    assert "No pairs of micrograph and label image" in dock.images.count.text()
    click(qtbot, dock.compare_button)
    assert state(dock) == "failed"
    assert str(tmp_path / "models") in dock.outcome.sentence.text()


def test_what_is_missing_is_said_before_anything_runs(images, dock, qtbot):
    dock.none_button.click()
    click(qtbot, dock.compare_button)
    assert dock.outcome.sentence.text() == "No model is ticked. Tick at least one."
    dock.all_button.click()
    for i in range(3):
        dock.images.pairs.item(i, 0).setCheckState(Qt.CheckState.Unchecked)
    click(qtbot, dock.compare_button)
    assert dock.outcome.sentence.text().startswith("No image with true nuclei is chosen")
    assert dock.compare_button.isEnabled()


def test_choices_are_remembered(viewer, dock, folder):
    tick(dock, "noisy")
    dock.images.source.setCurrentIndex(1)
    dock.images.folder.setText(str(folder))
    dock.images.folder.editingFinished.emit()
    dock.images.split.setCurrentIndex(2)
    again = CompareDock(viewer)
    assert again.chosen_models() == ["noisy"]
    assert again.images.kind == "folder"
    assert again.images.split.currentText() == "val"
    assert memory.recall()["compare"]["unticked"] == ["nuclei", "torn"]
    again.deleteLater()


# --- the four ends of a job ---------------------------------------------------------------------


def test_a_run_to_the_end(images, dock, work, qtbot):
    work(finds_some)
    tick(dock, "nuclei", "noisy")
    click(qtbot, dock.compare_button)
    assert state(dock) == "running"
    assert not dock.compare_button.isEnabled()
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert dock.outcome.result.text() == "Best: nuclei · AP 1.00 · Dice 1.00"
    assert dock.outcome.scores.text() == (
        "Too few images to tell whether worse (6 are needed): noisy"
    )
    assert dock.outcome.notices.text() == "A sentence to be shown"
    assert lines(dock.table) == ["nuclei", "noisy"]
    assert lines(dock.table, 1) == ["1.000", "0.500"]
    assert lines(dock.table, 8) == ["2", "2"]
    assert dock.table.topLevelItem(0).childCount() == 2
    assert dock.compare_button.isEnabled()
    assert dock._running.isHidden()
    assert len(dock.plot.plot.listDataItems()) == 8
    assert results(images) == []


def test_any_column_is_sorted_by_its_numbers(images, dock, work, qtbot):
    work(finds_some)
    tick(dock, "nuclei", "noisy")
    run(dock, qtbot)
    seconds = 6
    assert sorted(lines(dock.table, seconds)) == ["12", "3.0"]
    dock.table.sortByColumn(seconds, Qt.SortOrder.AscendingOrder)
    assert lines(dock.table, seconds) == ["3.0", "12"]
    dock.table.sortByColumn(seconds, Qt.SortOrder.DescendingOrder)
    assert lines(dock.table, seconds) == ["12", "3.0"]
    dock.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert lines(dock.table) == ["noisy", "nuclei"]


def test_results_become_layers_on_their_images(images, dock, work, qtbot):
    work(finds_some)
    tick(dock, "nuclei", "noisy")
    run(dock, qtbot)
    assert not dock.show_button.isEnabled()
    model = dock.table.topLevelItem(1)
    [line] = [model.child(i) for i in range(2) if model.child(i).text(0) == "a"]
    dock.table.itemDoubleClicked.emit(line, 0)
    [shown] = results(images)
    assert shown.name == "a · nuclei (noisy)"
    assert np.array_equal(shown.data, squares(1))
    assert tuple(shown.scale) == (0.5, 0.5)
    assert tuple(shown.translate) == (3, 4)
    assert [str(u) for u in shown.units] == ["micrometer"] * 2
    assert images.layers.index(shown) == images.layers.index("a") + 1
    # all of a model by the button; again: the same layers, not more
    for _ in range(2):
        dock.table.clearSelection()
        model.setSelected(True)
        click(qtbot, dock.show_button)
    assert sorted(x.name for x in results(images)) == ["a · nuclei (noisy)", "b · nuclei (noisy)"]
    # what somebody has painted into it is kept
    shown.data_setitem((np.array([30]), np.array([40])), 7)
    dock.table.itemDoubleClicked.emit(line, 0)
    assert shown.data[30, 40] == 7
    assert "a · nuclei (noisy) 2" in images.layers


def test_a_result_for_an_image_of_another_size_by_now_is_said(images, dock, work, qtbot):
    work(finds_some)
    run(dock, qtbot)
    images.layers["a"].data = np.zeros((9, 9), np.uint8)
    dock._show_one("nuclei", "a")
    assert "The image was replaced" in dock.outcome.sentence.text()
    images.layers.remove("b")
    dock._show_one("nuclei", "b")
    assert "b is not open any more" in dock.outcome.notices.text()
    assert results(images) == []


def test_cancelled_in_the_middle(images, dock, work, qtbot):
    closed, go_on = [], threading.Event()

    def waits(models, items, config):
        try:
            events = finds_some(models, items, config)
            for _ in range(3):
                yield next(events)
            go_on.wait(30)
            yield from events
        finally:
            closed.append(threading.current_thread() is not threading.main_thread())

    work(waits)
    tick(dock, "nuclei", "noisy")
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: "model 1 of 2, image 2 of 2" in dock.outcome.state.text())
    click(qtbot, dock.cancel_button)
    assert dock.outcome.state.text() == "Stopping · after this tile"
    assert not dock.cancel_button.isEnabled()
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "cancelled")
    assert closed == [True]
    assert dock.outcome.state.text() == "Cancelled · at model 1 of 2, image 2 of 2"
    # what was done stays and can be shown
    assert lines(dock.table) == ["nuclei"]
    assert dock.table.topLevelItem(0).text(8) == "1"
    dock._show_one("nuclei", "b")
    assert [x.name for x in results(images)] == ["b · nuclei (nuclei)"]
    work(finds_some)
    run(dock, qtbot)
    assert lines(dock.table) == ["nuclei", "noisy"]


def test_a_model_that_fails_is_told_and_the_others_are_compared(images, dock, work, qtbot):
    def one_fails(models, items, config):
        yield NotCompared("torn", "", "The weights are damaged.")
        yield from finds_some(["nuclei"], items, config)

    work(one_fails)
    run(dock, qtbot)
    assert "torn: The weights are damaged." in dock.outcome.notices.text()
    assert lines(dock.table) == ["nuclei"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NucleisegError("Nothing could be compared", "torn: damaged"), "Nothing could be compared"),
        (RuntimeError("CUDA out of memory"), "Something went wrong inside the program (CUDA out"),
    ],
)
def test_failed_in_the_middle(images, dock, work, qtbot, error, sentence):
    def fails(models, items, config):
        yield Comparing("nuclei", 1, 1, "a", 1, 2)
        raise error

    work(fails)
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: state(dock) == "failed")
    assert dock.outcome.sentence.text().startswith(sentence)
    assert not dock.outcome.failure.isHidden()
    work(finds_some)
    run(dock, qtbot)
    assert dock.outcome.failure.isHidden()


def test_viewer_closed_while_it_runs(make_napari_viewer_proxy, monkeypatch, qtbot):
    viewer = make_napari_viewer_proxy()
    dock = CompareDock(viewer)
    viewer.window.add_dock_widget(dock, name="Compare models")
    go_on, closed = threading.Event(), threading.Event()

    def waits(models, items, config):
        try:
            yield Comparing("nuclei", 1, 1, "a", 1, 2)
            go_on.wait(30)
            yield Comparing("nuclei", 1, 1, "b", 2, 2)
        finally:
            closed.set()

    session = bridge_of(viewer).session
    monkeypatch.setattr(session, "_work_in", lambda function, *args: waits(*args))
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: "image 1 of 2" in dock.outcome.state.text())
    tasks = viewer.__wrapped__.window._task_status_manager.get_status()
    assert any("Comparing models" in task for task in tasks)
    viewer.close()
    go_on.set()
    qtbot.waitUntil(closed.is_set)
    qtbot.waitUntil(lambda: not session.is_busy)
    assert session.state == "cancelled"


@pytest.mark.slow
def test_with_real_models_on_a_folder(viewer, dock, folder, qtbot, monkeypatch, tmp_path):
    dock.images.source.setCurrentIndex(1)
    dock.images.folder.setText(str(folder))
    dock.images.folder.editingFinished.emit()
    dock.images.split.setCurrentIndex(dock.images.split.findText("train"))
    bridge_of(viewer).session.config = bridge_of(viewer).session.config.model_copy(
        update={"engine": "torch", "device": "cpu"}
    )
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: state(dock) in ("done", "failed"), timeout=WAIT)
    assert lines(dock.table) == ["nuclei", "noisy"]
    assert "torn: The weights are damaged" in dock.outcome.notices.text()
    # the image is not open yet: it is opened for the result
    dock.table.itemDoubleClicked.emit(dock.table.topLevelItem(0).child(0), 0)
    qtbot.waitUntil(lambda: len(results(viewer)) == 1, timeout=WAIT)
    assert [x.name for x in viewer.layers] == ["fluorescence", "fluorescence · nuclei (nuclei)"]
    assert results(viewer)[0].metadata[RESULT]["model"]["name"] == "nuclei"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(tmp_path / "out"))
    # the image's layer is there before the work that opened it has ended
    qtbot.waitUntil(dock.save_button.isEnabled, timeout=WAIT)
    click(qtbot, dock.save_button)
    with (tmp_path / "out" / "models.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"{float(row['dice']):.3f}" for row in rows] == lines(dock.table, 2)


# --- beside other docks -------------------------------------------------------------------------


def test_the_other_dock_says_what_runs_and_keeps_its_result(images, dock, work, qtbot):
    from napari_nucleiseg.gui.segment_dock import SegmentDock

    other = SegmentDock(images)
    images.window.add_dock_widget(other, name="Segment nuclei")
    go_on = threading.Event()

    def waits(models, items, config):
        yield Comparing("nuclei", 1, 1, "a", 1, 2)
        go_on.wait(30)
        yield from finds_some(models, items, config)

    other.outcome.say_result("312 nuclei")
    work(waits)
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: "image 1 of 2" in dock.outcome.state.text())
    assert other.outcome.state.text() == "Running · Comparing models"
    assert not other.segment_button.isEnabled()
    assert other._running.isHidden()
    go_on.set()
    qtbot.waitUntil(lambda: state(dock) == "done")
    assert state(other) == "done"
    assert other.outcome.result.text() == "312 nuclei"
    assert other.segment_button.isEnabled()


# --- the study ----------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path) -> Path:
    place = tmp_path / "study"
    for optimizer in ("adam", "sgd"):
        for seed in (0, 1):
            name = f"{optimizer}-{seed}"
            path = place / "runs" / name / "epochs.csv"
            path.parent.mkdir(parents=True)
            path.write_text(
                "run,network,optimizer,schedule,seed,epoch,loss,dice,iou\n"
                f"{name},unet,{optimizer},cosine,{seed},1,0.9,,\n"
                f"{name},unet,{optimizer},cosine,{seed},2,0.7,0.5,0.4\n"
            )
    return place


def test_the_curves_of_a_study(dock, study, monkeypatch):
    view = dock.study
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(study))
    view.open_folder()
    titles = [view.legend.item(i).text() for i in range(view.legend.count())]
    assert titles == ["adam · seed 0", "adam · seed 1", "sgd · seed 0", "sgd · seed 1"]
    quantities = [view.quantity.itemText(i) for i in range(view.quantity.count())]
    assert quantities == ["Loss", "Dice, held out", "IoU, held out"]
    drawn = view.plot.listDataItems()
    assert [list(line.getData()[1]) for line in drawn] == [[0.9, 0.7]] * 4
    colours = [line.opts["pen"].color().name() for line in drawn]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert view.plot.getAxis("bottom").labelText == "epoch"
    assert view.plot.getAxis("left").labelText == "Loss"

    view.legend.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert len(view.plot.listDataItems()) == 3
    view.quantity.setCurrentIndex(1)
    assert [list(line.getData()[0]) for line in view.plot.listDataItems()] == [[2]] * 3
    # a run more since; what is not ticked stays so
    more = study / "runs" / "lion-0" / "epochs.csv"
    more.parent.mkdir()
    more.write_text(
        "run,network,optimizer,schedule,seed,epoch,loss,dice,iou\n"
        "lion-0,unet,lion,cosine,0,1,0.9,0.1,\n"
    )
    view.reload.click()
    assert view.quantity.currentText() == "Dice, held out"
    assert len(view.plot.listDataItems()) == 4
    view.none_button.click()
    assert view.plot.listDataItems() == []
    view.all_button.click()
    assert len(view.plot.listDataItems()) == 5
    assert memory.recall()["compare"]["study"] == str(study)


def test_a_folder_that_is_no_study_is_said(dock, tmp_path):
    dock.study.folder.setText(str(tmp_path))
    dock.study.folder.returnPressed.emit()
    assert not dock.study.said.isHidden()
    assert dock.study.said.text().startswith(f"This is no folder of a study: {tmp_path}")
    assert dock.study.plot.isHidden()


def test_closed_while_it_compares_it_shows_all_when_opened_again(images, model_folder, work, qtbot):
    first, second = threading.Event(), threading.Event()

    def waits(models, items, config):
        for at, event in enumerate(finds_some(models, items, config)):
            if at == 2:
                first.wait(30)
            if at == 4:
                second.wait(30)
            yield event

    work(waits)
    session = bridge_of(images).session

    def opened():
        made = CompareDock(images)
        return made, images.window.add_dock_widget(made, name="Compare models")

    def closed(dock, frame):
        gone = []
        dock.destroyed.connect(lambda *_: gone.append(True))
        frame.title.close_button.click()
        qtbot.waitUntil(lambda: bool(gone))

    dock, frame = opened()
    tick(dock, "nuclei", "noisy")
    click(qtbot, dock.compare_button)
    qtbot.waitUntil(lambda: bool(lines(dock.table)))
    closed(dock, frame)
    first.set()
    dock, frame = opened()
    # what came before, while it was closed, and from now on
    qtbot.waitUntil(lambda: len(dock._results_so_far.rows) == 2)
    assert state(dock) == "running"
    assert lines(dock.table) == ["nuclei"]
    assert dock.table.topLevelItem(0).childCount() == 2
    closed(dock, frame)
    second.set()
    qtbot.waitUntil(lambda: not session.is_busy)
    dock, frame = opened()
    assert sorted(lines(dock.table)) == ["noisy", "nuclei"]
    assert state(dock) == "done"
    assert dock.outcome.result.text()
    assert dock.outcome.notices.text() == "A sentence to be shown"
    dock._show_one("noisy", "b")
    assert [int(x.data.max()) for x in results(images)] == [1]
    closed(dock, frame)
