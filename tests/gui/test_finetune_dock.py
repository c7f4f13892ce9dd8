"""The dock "Fine-tune": real trainings of a small network, in real threads and processes."""

from __future__ import annotations

import errno
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_nucleiseg import fitting, lessons
from napari_nucleiseg.before_after import differ
from napari_nucleiseg.checkpoint import load_checkpoint
from napari_nucleiseg.config import TrainConfig
from napari_nucleiseg.errors import TrainingError
from napari_nucleiseg.events import (
    BatchDone,
    Comparing,
    Comparison,
    DeviceChosen,
    EpochDone,
    Finetuned,
    Notice,
    Planned,
)
from napari_nucleiseg.files import write_whole
from napari_nucleiseg.finetuning import finetune
from napari_nucleiseg.gui.bridge import bridge_of
from napari_nucleiseg.gui.desk import desk_of
from napari_nucleiseg.gui.finetune_dock import FinetuneDock
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.learning import Here
from napari_nucleiseg.learning_curve import LearningCurve
from napari_nucleiseg.lessons import Lesson, lessons_folder, write_corrections
from napari_nucleiseg.optimizers import OPTIMIZERS
from napari_nucleiseg.publishing import export_model
from napari_nucleiseg.samples import read_sample
from napari_nucleiseg.store import file_hash, list_models
from napari_nucleiseg.training import train

WAIT = 240_000
LONG = 100_000


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A small network that has learned a little of the fluorescence sample."""
    folder = tmp_path_factory.mktemp("parent")
    write_corrections(folder / "data", *read_sample("fluorescence"), None)
    config = TrainConfig(
        architecture_options={"widths": [16, 16, 16]},
        epochs=1,
        steps_per_epoch=60,
        batch_size=2,
        patch_px=64,
        held_out=0,
        threads=1,
        device="cpu",
        learning_rate=3e-3,
        ema_decay=0.9,
    )
    list(train(folder / "data", config, folder / "run"))
    path = folder / "small.safetensors"
    export_model(folder / "run" / "last.pt", path, "small", {"title": "Small"})
    return path


@pytest.fixture
def models(parent, tmp_path, monkeypatch) -> Path:
    """The folder of the user's models, with the small one."""
    folder = tmp_path / "models"
    folder.mkdir()
    for file in (parent, parent.with_suffix(".yaml")):
        shutil.copy(file, folder)
    monkeypatch.setenv("NUCLEISEG_MODELS", str(folder))
    return folder


@pytest.fixture
def opened(viewer, models):
    """A micrograph and its nuclei."""
    micrograph, labels = read_sample("fluorescence")
    viewer.add_image(micrograph.pixels, name="plate", scale=(0.5, 0.5), units=("um", "um"))
    viewer.add_labels(labels, name="plate · nuclei", scale=(0.5, 0.5), units=("um", "um"))
    bridge_of(viewer).session.model = "small"
    return viewer


@pytest.fixture
def dock(opened, qtbot):
    """The dock in its window."""
    widget = FinetuneDock(opened)
    opened.window.add_dock_widget(widget, name="Fine-tune")
    yield widget
    learning = bridge_of(opened).learning
    learning.cancel(discard=True)
    qtbot.waitUntil(lambda: not learning.is_busy, timeout=60_000)


@pytest.fixture
def answers(monkeypatch):
    """What the user answers to questions: the text of a button; and what was asked."""
    given, asked = [], []

    def answer(box):
        asked.append(box.text())
        wanted = given.pop(0)
        [button] = [b for b in box.buttons() if b.text() == wanted]
        button.click()

    def show(box):
        # not modal: a click on a button of a box that is not shown would not be heard
        box.show()
        QApplication.processEvents()
        answer(box)

    monkeypatch.setattr(QMessageBox, "exec", show)
    return given, asked


def brief(dock, **changes):
    """Let the next fine-tuning be short and the same every time."""
    values = {"steps": 8, "batch_size": 2, "patch_px": 64, "threads": 1, "device": "cpu", **changes}
    chosen = dock.settings.config
    dock.settings.config = lambda: chosen().model_copy(update=values)


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def state(dock):
    return dock.outcome.state.property("state")


def begin(dock, qtbot, *, thread=False, **changes):
    """Press the button and wait for the first step."""
    brief(dock, **changes)
    dock.settings.own_process.setChecked(not thread)
    heard = []
    dock._learning.event.connect(heard.append)
    click(qtbot, dock.learn_button)
    assert state(dock) in ("running", "failed")
    qtbot.waitUntil(
        lambda: dock._learning.progress.has_learned or state(dock) == "failed", timeout=WAIT
    )
    return heard


def batches(heard):
    return [e.step for e in heard if isinstance(e, BatchDone)]


def ends(dock, qtbot, how):
    qtbot.waitUntil(lambda: not dock._learning.is_busy, timeout=WAIT)
    assert dock._learning.state == how, dock.outcome.sentence.text()


def out():
    return lessons_folder() / "small-tuned"


# --- settings -----------------------------------------------------------------------------------


def test_everything_can_be_chosen_and_is_remembered(dock, opened):
    settings = dock.settings
    assert [settings.optimizer.itemText(i) for i in range(settings.optimizer.count())] == (
        OPTIMIZERS.names()
    )
    assert settings.length.itemText(0) == "quick · about 1 min"
    assert settings.name.placeholderText() == "small-tuned"
    proposed = settings.config()
    assert proposed.model == "small"
    assert proposed.learning_rate is None
    settings.length.setCurrentIndex(2)
    settings.may_forget.setCurrentIndex(1)
    settings.optimizer.setCurrentIndex(settings.optimizer.findText("rmsgd"))
    settings.rate.setText("0,002")
    settings.loss.setCurrentIndex(settings.loss.findText("dice_bce"))
    settings.schedule.setCurrentIndex(settings.schedule.findText("constant"))
    settings.frozen.setValue(50)
    settings.variation.setCurrentIndex(2)
    settings.batch.setValue(3)
    settings.seed.setValue(7)
    config = settings.config()
    assert (config.length, config.may_forget) == ("thorough", "a little")
    assert (config.optimizer, config.learning_rate) == ("rmsgd", 0.002)
    assert (config.loss, config.schedule, config.frozen) == ("dice_bce", "constant", 0.5)
    assert (config.batch_size, config.seed, config.augment.blur) == (3, 7, 0)
    again = FinetuneDock(opened)
    assert again.settings.config() == config
    again.settings.reset()
    assert again.settings.config() == proposed
    again.deleteLater()


def test_the_nuclei_and_the_area_of_the_image_are_proposed(dock, opened):
    assert dock.corrections.nuclei.currentText() == "plate · nuclei"
    assert dock.corrections.reviewed.currentText() == "the whole image"
    corner = np.array([[0, 0], [0, 60], [60, 60], [60, 0]])
    # of another image, and beside this one
    opened.add_image(np.zeros((360, 360), np.uint8), name="plate 2")
    layers = bridge_of(opened).viewer.layers
    layers.selection.active = layers["plate"]
    for name, where in (("plate 2 · reviewed", 0), ("far away", 900), ("Shapes", 5)):
        opened.add_shapes([corner + where], shape_type="polygon", name=name)
    field = dock.corrections.reviewed
    assert [field.itemText(i) for i in range(field.count())][2:] == ["Shapes"]
    assert dock.corrections.reviewed.currentText() == "the whole image"
    opened.add_shapes([corner], shape_type="polygon", name="plate · reviewed")
    assert [field.itemText(i) for i in range(field.count())][2:] == ["plate · reviewed", "Shapes"]
    assert dock.corrections.reviewed.currentText() == "plate · reviewed"
    place, prepare = dock.corrections.material(out())
    prepare()
    written = read_labels(place / "image_labels.tif").image
    # half a micrometre is a pixel
    assert (written[:120, :120] >= 0).mean() > 0.8
    assert (written[130:, 130:] == -1).all()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("rate", "The learning rate is not a number: fast."),
        ("name", "A model of this name is there already: small."),
        ("nuclei", "There are no nuclei to learn from: plate."),
        ("folder", "No folder is chosen."),
        ("empty", "No pairs of micrograph and label image found"),
    ],
)
def test_what_is_wrong_is_said_and_the_button_stays(dock, opened, qtbot, tmp_path, what, said):
    if what == "rate":
        dock.settings.rate.setText("fast")
    elif what == "name":
        dock.settings.name.setText("small")
    elif what == "nuclei":
        opened.layers.remove("plate · nuclei")
    else:
        dock.corrections.source.setCurrentIndex(1)
        if what == "empty":
            (tmp_path / "empty").mkdir()
            dock.corrections.folder.setText(str(tmp_path / "empty"))
            dock.settings.own_process.setChecked(False)
    click(qtbot, dock.learn_button)
    qtbot.waitUntil(lambda: state(dock) == "failed", timeout=WAIT)
    assert dock.outcome.sentence.text().startswith(said)
    assert not dock.learn_button.isHidden()
    assert dock.learn_button.isEnabled()


# --- real trainings -----------------------------------------------------------------------------


@pytest.mark.slow
def test_to_the_end_in_a_process_of_its_own(dock, opened, models, qtbot, answers):
    _, asked = answers
    untouched = file_hash(models / "small.safetensors")
    heard = begin(dock, qtbot, steps=80, learning_rate=2e-3, may_forget="anything")
    assert dock.learn_button.isHidden()
    assert "round 1 of 4, step" in dock.outcome.state.text()
    assert dock.device.text().startswith("CPU")
    ends(dock, qtbot, "done")
    done = heard[-1]
    assert isinstance(done, Finetuned)
    assert done.recommended, done.reason
    assert batches(heard) == list(range(1, 81))
    assert dock._learning.curve.best_step in (20, 40, 60, 80)
    assert dock.proof.verdict.text().startswith("Recommended. It is better")
    table = dock.proof.table
    titles = [table.verticalHeaderItem(i).text() for i in range(table.rowCount())]
    assert titles == ["Dice", "IoU", "AP@0.5", "AP", "PQ"]
    own = done.comparisons[0]
    assert table.item(3, 0).text() == f"{own.before['ap']:.2f} → {own.after['ap']:.2f} ▲"
    # nothing of the way stays, and nobody is made to use it
    assert [p.name for p in out().iterdir() if p.suffix == ".pt"] == []
    session = bridge_of(opened).session
    assert session.model == "small"
    assert file_hash(models / "small.safetensors") == untouched

    click(qtbot, dock.proof.look_button)
    ends(dock, qtbot, "done")
    names = [x.name for x in opened.layers if isinstance(x, Labels)]
    assert names[1:] == [
        "plate · before (small)",
        "plate · after (small-tuned)",
        "plate · changed",
    ]
    after = opened.layers["plate · after (small-tuned)"]
    assert tuple(after.scale) == (0.5, 0.5)
    assert dock.outcome.scores.text().startswith("Nuclei that differ: ")
    assert opened.layers["plate · changed"].data.any()
    # looked at again: the same layers, not more
    click(qtbot, dock.proof.look_button)
    ends(dock, qtbot, "done")
    assert len([x for x in opened.layers if isinstance(x, Labels)]) == 4

    click(qtbot, dock.proof.use_button)
    assert asked == []
    assert session.model == "small-tuned"
    assert "small-tuned" in [m.name for m in list_models()]
    assert dock.settings.models.model.currentText().startswith("small-tuned")
    assert dock.settings.name.placeholderText() == "small-tuned-2"


@pytest.mark.slow
def test_paused_segmenting_meanwhile_then_the_best_is_kept(dock, opened, qtbot):
    heard = begin(dock, qtbot, steps=LONG)
    click(qtbot, dock.pause_button)
    assert state(dock) == "paused"
    assert dock.pause_button.text() == "Continue"
    bridge = bridge_of(opened)
    # the old model segments while the new one is half learned
    bridge.segment(opened.layers["plate"], "grey")
    qtbot.waitUntil(lambda: not bridge.session.is_busy, timeout=WAIT)
    assert bridge.session.state == "done"
    reached = batches(heard)
    assert dock._learning.state == "paused"
    click(qtbot, dock.pause_button)
    assert dock.pause_button.text() == "Pause"
    qtbot.waitUntil(lambda: len(batches(heard)) > len(reached) + 1, timeout=WAIT)
    click(qtbot, dock.keep_button)
    stopped_at = batches(heard)[-1]
    ends(dock, qtbot, "done")
    assert isinstance(heard[-1], Finetuned)
    # within one batch, apart from those whose news were on their way
    assert batches(heard)[-1] <= stopped_at + 2
    assert not dock.proof.isHidden()


@pytest.mark.slow
@pytest.mark.parametrize("thread", [True, False])
def test_discarded(dock, models, qtbot, answers, thread):
    given, asked = answers
    heard = begin(dock, qtbot, thread=thread, steps=LONG)
    given.append("Go on learning")
    click(qtbot, dock.discard_button)
    assert asked == ["Throw away what was learned?"]
    qtbot.waitUntil(lambda: len(batches(heard)) > 3, timeout=WAIT)
    given.append("Throw away")
    click(qtbot, dock.discard_button)
    stopped_at = batches(heard)[-1]
    assert dock.outcome.state.text() == "Stopping · after this step"
    ends(dock, qtbot, "cancelled")
    assert batches(heard)[-1] == stopped_at
    assert not out().exists()
    assert not dock.learn_button.isHidden()
    assert dock._unfinished.isHidden()


@pytest.mark.slow
def test_a_rate_far_too_large_is_one_sentence(dock, models, qtbot):
    untouched = file_hash(models / "small.safetensors")
    begin(dock, qtbot, steps=20, learning_rate=1.0, schedule="constant")
    ends(dock, qtbot, "failed")
    assert "became infinite" in dock.outcome.sentence.text()
    assert "The model small is untouched" in dock.outcome.sentence.text()
    assert file_hash(models / "small.safetensors") == untouched
    assert bridge_of(dock._viewer).session.model == "small"
    assert not dock.learn_button.isHidden()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["disk", "memory"])
def test_failed_in_the_middle(dock, models, qtbot, monkeypatch, what):
    untouched = file_hash(models / "small.safetensors")
    if what == "disk":
        whole = write_whole

        def full(path, write):
            if path.suffix == ".pt":
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            whole(path, write)

        monkeypatch.setattr("napari_nucleiseg.checkpoint.write_whole", full)
        said = "No space left on device"
    else:
        fit = fitting.fit_batch
        steps = []

        def out_of_memory(*args):
            steps.append(1)
            if len(steps) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return fit(*args)

        monkeypatch.setattr("napari_nucleiseg.training.fit_batch", out_of_memory)
        said = "Memory ran out while learning. Close other programs"
    begin(dock, qtbot, thread=True)
    ends(dock, qtbot, "failed")
    assert said in dock.outcome.sentence.text()
    assert file_hash(models / "small.safetensors") == untouched
    monkeypatch.undo()
    monkeypatch.setenv("NUCLEISEG_MODELS", str(models))
    assert dock.learn_button.isEnabled()


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_weights(dock, qtbot, tmp_path):
    heard = begin(dock, qtbot, steps=24, name="mine")
    folder = lessons_folder() / "mine"
    # the process may be ahead of what it has told: its checkpoint is written first
    qtbot.waitUntil(lambda: any(isinstance(event, EpochDone) for event in heard), timeout=WAIT)
    dock._learning._place._process.kill()
    ends(dock, qtbot, "failed")
    assert "The working process ended" in dock.outcome.sentence.text()
    reached = load_checkpoint(folder / "last.pt").step
    assert 0 < dock._found.learned <= reached / 24
    said = dock.unfinished_words.text()
    stopped = f"{dock._found.stopped_at:%Y-%m-%d %H:%M}"
    share = round(100 * dock._found.learned)
    assert said == (
        f"mine has not learned to the end · stopped {stopped} · {share} % learned · from small on "
        "plate. Go on?"
    )
    heard.clear()
    lesson = dock._found
    click(qtbot, dock.resume_button)
    ends(dock, qtbot, "done")
    assert batches(heard)[0] == reached + 1
    write_corrections(tmp_path / "corrections", *read_sample("fluorescence"), None)
    *_, whole = finetune(tmp_path / "corrections", lesson.config, tmp_path / "whole")
    assert file_hash(whole.path) == file_hash(heard[-1].path)


@pytest.mark.slow
@pytest.mark.parametrize("thread", [True, False])
def test_napari_closed_while_it_learns(make_napari_viewer_proxy, models, qtbot, thread):
    viewer = make_napari_viewer_proxy()
    micrograph, labels = read_sample("fluorescence")
    viewer.add_image(micrograph.pixels, name="plate")
    viewer.add_labels(labels, name="plate · nuclei")
    bridge_of(viewer).session.model = "small"
    dock = FinetuneDock(viewer)
    viewer.window.add_dock_widget(dock, name="Fine-tune")
    learning = bridge_of(viewer).learning
    heard = begin(dock, qtbot, thread=thread, steps=LONG)
    # napari asks with these words
    tasks = viewer.__wrapped__.window._task_status_manager.get_status()
    assert any("Learning small-tuned" in task for task in tasks)
    reached = batches(heard)[-1]
    viewer.close()
    qtbot.waitUntil(lambda: not learning.is_busy, timeout=60_000)
    assert learning.state == "cancelled"
    assert load_checkpoint(out() / "last.pt").step >= reached
    [found], _ = lessons.all_unfinished()
    assert found.config.name == "small-tuned"


# --- what comes after ---------------------------------------------------------------------------


def compared(where, before, after):
    names = ("dice", "iou", "ap50", "ap", "pq")
    return Comparison(where, 1, 9, dict.fromkeys(names, before), dict.fromkeys(names, after), "")


def new_model(name):
    """Write a model that nobody uses yet, as a fine-tuning does."""
    place = out()
    small = lessons_folder().parent / "small.safetensors"
    for suffix in (".safetensors", ".yaml"):
        shutil.copy(small.with_suffix(suffix), place / f"{name}{suffix}")
    card = place / f"{name}.yaml"
    card.write_text(card.read_text().replace("name: small", f"name: {name}"))
    return place / f"{name}.safetensors"


def let_learn(dock, qtbot, monkeypatch, steps):
    """Press the button; the events come from a generator of the test, on the job's thread."""
    monkeypatch.setattr("napari_nucleiseg.learning.learn", lambda *_: steps())
    dock.settings.own_process.setChecked(False)
    click(qtbot, dock.learn_button)


@pytest.fixture
def worse(dock, models, qtbot, monkeypatch):
    """A fine-tuning that ended with a model that is no better."""
    name = "bad-not-better"
    comparisons = (compared("held-out corrections", 0.7, 0.5), compared("replay set", 0.6, 0.6))
    reason = "It is hardly better, if at all, on corrections that it has not seen"

    def steps():
        yield Finetuned(new_model(name), name, False, reason, comparisons, 1.0)

    let_learn(dock, qtbot, monkeypatch, steps)
    ends(dock, qtbot, "done")


def test_a_worse_model_is_not_used_without_a_question(dock, worse, qtbot, answers):
    given, asked = answers
    session = dock._session
    assert dock.proof.verdict.text().startswith("Not recommended: kept as bad-not-better.")
    assert dock.proof.table.item(3, 0).text() == "0.70 → 0.50 ▼"
    assert dock.proof.table.item(3, 1).text() == "0.60 → 0.60 ="
    given.append("Stay with small")
    click(qtbot, dock.proof.use_button)
    assert asked == ["bad-not-better is not recommended. Use it all the same?"]
    assert session.model == "small"
    assert "bad-not-better" not in [m.name for m in list_models()]
    given.append("Use it")
    click(qtbot, dock.proof.use_button)
    assert session.model == "bad-not-better"


@pytest.mark.slow
def test_after_adopting_the_open_images_are_segmented_again(dock, opened, worse, qtbot, answers):
    bridge = bridge_of(opened)
    opened.layers.remove("plate · nuclei")
    opened.add_image(np.array(opened.layers["plate"].data[:200]), name="other")
    for name in ("plate", "other"):
        # not through the proxy, which gives another object at every look
        bridge.segment(bridge.viewer.layers[name], "grey")
        qtbot.waitUntil(lambda: not bridge.session.is_busy, timeout=WAIT)
    answers[0].append("Use it")
    click(qtbot, dock.proof.use_button)
    assert dock.proof.again_button.text() == "Segment 2 open images again"
    models = []
    bridge.session.event.connect(
        lambda e: models.append(e.manifest["model"]["name"]) if hasattr(e, "manifest") else None
    )
    click(qtbot, dock.proof.again_button)
    qtbot.waitUntil(lambda: len(models) == 2 and not bridge.session.is_busy, timeout=WAIT)
    assert models == ["bad-not-better"] * 2


def test_an_unfinished_one_is_offered_and_can_be_thrown_away(opened, qtbot, answers, tmp_path):
    dock = FinetuneDock(opened)
    assert dock._unfinished.isHidden()
    lesson = Lesson(tmp_path / "data", dock.settings.config(), out())
    lesson.keep()
    (out() / "last.pt").write_bytes(b"weights")
    damaged = lessons_folder() / "liver"
    damaged.mkdir()
    for name in ("lesson.json", "last.pt"):
        (damaged / name).write_text("{")
    dock.deleteLater()
    again = FinetuneDock(opened)
    assert "is damaged, so nothing of it is used or removed" in again.outcome.notices.text()
    assert str(damaged) in again.outcome.notices.text()
    assert not again._unfinished.isHidden()
    assert again.unfinished_words.text().startswith("small-tuned has not learned to the end")
    assert "from small on data" in again.unfinished_words.text()
    # a new one would replace it
    answers[0].append("Cancel")
    click(qtbot, again.learn_button)
    assert answers[1] == ["small-tuned has not learned to the end. Start anew?"]
    assert state(again) == "idle"
    answers[0].append("Throw away")
    click(qtbot, again.forget_button)
    assert again._unfinished.isHidden()
    assert not out().exists()
    again.deleteLater()


def test_the_plot_marks_the_best_and_begins_anew_with_another_part(dock):
    def epoch(number, ap):
        scores = {"ap": ap, "dice": ap, "iou": ap, "held_out_loss": 1 - ap}
        return EpochDone(number, 0.5, 1e-3, 1.0, 0.5, scores)

    plot, curve = dock.plot, LearningCurve()
    for number, ap in enumerate((0.5, 0.7, 0.6), 1):
        for step in (1, 2):
            curve.hear(BatchDone(number, 2 * number - 2 + step, 0.5, 0.1))
        curve.hear(epoch(number, ap))
    curve.hear(Comparing(1, 2))
    assert curve.best_step == 4
    plot.draw(curve)
    assert list(plot._dice.getData()[0]) == [2, 4, 6]
    assert list(plot._dice.getData()[1]) == [0.5, 0.7, 0.6]
    assert [line.value() for line in plot._best] == [4, 4]
    curve.hear(BatchDone(1, 1, 0.5, 0.5))
    assert curve.best_step is None
    plot.draw(curve)
    assert not plot._best[0].isVisible()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_its_colours_are_those_of_the_theme(dock, opened, theme):
    opened.theme = theme
    assert dock.plot.losses.ink == dock.plot.scores.ink
    assert dock.plot.losses.ink.lower() in dock.plot._best[0].pen.color().name().lower()


def test_of_a_few_corrected_nuclei_only_their_surroundings_are_learned(opened, dock, tmp_path):
    real = bridge_of(opened).viewer
    image, labels = real.layers["plate"], real.layers["plate · nuclei"]
    desk = desk_of(opened)
    desk.choose(image, labels)
    desk.correcting.confirm([int(np.unique(labels.data)[1])])
    folder, prepare = dock.corrections.material(tmp_path)
    assert dock.corrections.reviewed.currentText() == "around corrected nuclei"
    prepare()
    [path] = [p for p in folder.rglob("*") if "label" in p.name]
    written = read_labels(path).image
    assert (written == -1).mean() > 0.5
    assert len(np.unique(written[written > 0])) == 1
    real.add_labels(labels.data, name="plate · states", metadata={"nucleiseg_states": True})
    field = dock.corrections.nuclei
    assert [field.itemText(i) for i in range(field.count())] == ["plate · nuclei"]


# --- closed and opened again --------------------------------------------------------------------


def open_dock(viewer):
    """A dock, and what closes it by its X."""
    made = FinetuneDock(viewer)
    frame = viewer.window.add_dock_widget(made, name="Fine-tune", tabify=True)
    return made, frame.title.close_button.click


def close_dock(made, close, qtbot):
    gone = []
    made.destroyed.connect(lambda *_: gone.append(True))
    close()
    qtbot.waitUntil(lambda: bool(gone))


def shown(dock):
    """All that a dock shows of a fine-tuning."""
    plot, proof, table = dock.plot, dock.proof, dock.proof.table
    lines = (plot._loss, plot._held_out, plot._dice, plot._iou)
    cells = [
        table.item(y, x).text() for y in range(table.rowCount()) for x in range(table.columnCount())
    ]
    running = (dock.pause_button, dock.discard_button, dock.keep_button, dock.cancel_button)
    parts = (dock._running, dock._choices, dock._about, dock.learn_button, proof, plot, *running)
    return {
        "outcome": (dock.outcome.state.text(), *vars(dock.outcome.said).values()),
        "bar": (dock.bar.maximum(), dock.bar.value(), dock.device.text(), dock._about.text()),
        "curves": [None if x.getData()[0] is None else np.c_[x.getData()].tolist() for x in lines],
        "best": [line.value() for line in plot._best],
        "proof": (proof.verdict.text(), proof.words.text(), proof.use_button.text(), cells),
        "hidden": [part.isHidden() for part in parts],
        "enabled": [part.isEnabled() for part in (*running, proof.use_button, proof)],
        "pause": dock.pause_button.text(),
    }


@pytest.fixture
def lesson_in_steps(models):
    """A fine-tuning that waits twice: while it learns, and before its result."""
    gates = threading.Event(), threading.Event()
    scores = {"ap": 0.5, "dice": 0.8, "iou": 0.7, "held_out_loss": 0.4}
    comparisons = (compared("held-out corrections", 0.5, 0.7), compared("replay set", 0.6, 0.6))

    def steps():
        yield DeviceChosen("cpu", "torch", "no GPU found")
        yield Comparing(1, 1)
        yield Planned("8 steps", 2, 4, 1)
        yield Notice("Few nuclei can be held out")
        for step in range(1, 5):
            yield BatchDone(1, step, 1 / step, step / 8)
        yield EpochDone(1, 0.5, 1e-3, 1.0, 0.5, scores)
        gates[0].wait(60)
        yield BatchDone(2, 5, 0.2, 5 / 8)
        gates[1].wait(60)
        reason = "It is better on corrections that it has not seen"
        path = new_model("small-tuned")
        yield Finetuned(path, "small-tuned", True, reason, comparisons, 1.0)

    yield steps, gates
    for gate in gates:
        gate.set()


def test_closed_while_it_learns_it_shows_the_same_when_opened_again(
    dock, opened, qtbot, monkeypatch, lesson_in_steps
):
    steps, gates = lesson_in_steps
    second, close = open_dock(opened)
    learning = dock._learning
    let_learn(second, qtbot, monkeypatch, steps)
    qtbot.waitUntil(lambda: bool(learning.curve.epochs))
    assert shown(second) == shown(dock)
    close_dock(second, close, qtbot)
    second, close = open_dock(opened)
    assert second._about.text() == "small → small-tuned · from plate"
    assert second.outcome.notices.text() == "Few nuclei can be held out"
    assert list(second.plot._dice.getData()[0]) == [4]
    assert shown(second) == shown(dock)
    # what is done in the new one, the one that was open all the time follows
    click(qtbot, second.pause_button)
    close_dock(second, close, qtbot)
    second, close = open_dock(opened)
    assert state(second) == state(dock) == "paused"
    assert second.pause_button.text() == "Continue"
    click(qtbot, second.pause_button)
    gates[0].set()
    qtbot.waitUntil(lambda: len(learning.curve.steps) == 5)
    assert shown(second) == shown(dock)
    assert len(second.plot._loss.getData()[0]) == 5
    close_dock(second, close, qtbot)
    gates[1].set()
    ends(dock, qtbot, "done")
    # it ended while the dock was closed
    second, close = open_dock(opened)
    assert second.proof.verdict.text().startswith("Recommended. It is better")
    assert shown(second) == shown(dock)
    click(qtbot, second.proof.use_button)
    assert bridge_of(opened).session.model == "small-tuned"
    assert "small-tuned" in [m.name for m in list_models()]
    close_dock(second, close, qtbot)
    third, close = open_dock(opened)
    assert third.proof.verdict.text() == "small-tuned is in use now."
    assert not third.proof.use_button.isEnabled()
    close_dock(third, close, qtbot)


def test_what_failed_while_it_was_closed_is_said_when_it_is_opened(
    dock, opened, qtbot, monkeypatch
):
    gate = threading.Event()

    def fails():
        yield BatchDone(1, 1, 0.5, 0.1)
        gate.wait(60)
        raise TrainingError("The loss became infinite", "at step 2", "Use a smaller rate")

    second, close = open_dock(opened)
    let_learn(second, qtbot, monkeypatch, fails)
    qtbot.waitUntil(lambda: dock._learning.progress.has_learned)
    close_dock(second, close, qtbot)
    gate.set()
    ends(dock, qtbot, "failed")
    second, close = open_dock(opened)
    assert second.outcome.sentence.text() == (
        "The loss became infinite: at step 2. Use a smaller rate."
    )
    assert shown(second) == shown(dock)
    close_dock(second, close, qtbot)


def test_both_results_are_shown_though_the_dock_that_asked_is_closed(
    opened, qtbot, monkeypatch, lesson_in_steps
):
    steps, gates = lesson_in_steps
    for gate in gates:
        gate.set()
    second, close = open_dock(opened)
    learning = second._learning
    let_learn(second, qtbot, monkeypatch, steps)
    ends(second, qtbot, "done")
    labels = opened.layers["plate · nuclei"].data
    asked, found = [], threading.Event()

    def looks(_micrograph, _config, old, new):
        asked.extend((old, new))
        found.wait(60)
        yield differ(labels, np.where(labels == labels.max(), 0, labels))

    monkeypatch.setattr("napari_nucleiseg.learning.before_and_after", looks)
    monkeypatch.setattr(learning, "_apart", Here)
    click(qtbot, second.proof.look_button)
    # nothing is learned now: nothing can be paused or thrown away
    assert not second.cancel_button.isHidden()
    for of_learning in (second.pause_button, second.keep_button, second.discard_button):
        assert of_learning.isHidden()
    close_dock(second, close, qtbot)
    found.set()
    qtbot.waitUntil(lambda: not learning.is_busy)
    assert asked == ["small", str(out() / "small-tuned.safetensors")]
    assert [x.name for x in opened.layers][2:] == [
        "plate · before (small)",
        "plate · after (small-tuned)",
        "plate · changed",
    ]
    second, close = open_dock(opened)
    assert second.outcome.scores.text() == "Nuclei that differ: 1 gone (orange)."
    assert not second.proof.isHidden()
    close_dock(second, close, qtbot)


def test_a_look_can_be_cancelled_and_the_result_stays(
    dock, opened, qtbot, monkeypatch, lesson_in_steps
):
    steps, gates = lesson_in_steps
    for gate in gates:
        gate.set()
    let_learn(dock, qtbot, monkeypatch, steps)
    ends(dock, qtbot, "done")
    go_on = threading.Event()

    def looks(*_):
        yield Notice("the image has two channels")
        go_on.wait(60)
        yield Notice("never heard")

    monkeypatch.setattr("napari_nucleiseg.learning.before_and_after", looks)
    monkeypatch.setattr(dock._learning, "_apart", Here)
    click(qtbot, dock.proof.look_button)
    click(qtbot, dock.cancel_button)
    go_on.set()
    ends(dock, qtbot, "cancelled")
    assert dock._running.isHidden()
    assert dock.proof.verdict.text().startswith("Recommended.")
    assert dock.proof.isEnabled()
    assert (out() / "small-tuned.safetensors").is_file()
