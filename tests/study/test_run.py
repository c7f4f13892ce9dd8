import csv
import json
import shutil

import numpy as np
import pytest
import tifffile

from napari_nucleiseg.errors import FileError, ShapeError, TrainingError
from napari_nucleiseg.evaluation import score_image
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.store import file_hash, find_model
from napari_nucleiseg.study.conduct import RunsPlanned, conduct
from napari_nucleiseg.study.plan import plan
from napari_nucleiseg.study.run import folder_of, hash_of, is_finished, perform


def test_a_run_leaves_a_model_tables_labels_and_a_record(finished, split_data, tiny):
    run = plan(tiny)[0]
    folder = folder_of(run, finished)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert record["steps"] == 9
    assert record["test_images"] == 3
    assert record["train_images"] + record["held_out_images"] == 12
    model = find_model(folder / "model.safetensors")
    assert file_hash(model.path) == record["model_sha256"] == model.sha256
    with (folder / "epochs.csv").open(newline="") as file:
        epochs = list(csv.DictReader(file))
    assert [e["epoch"] for e in epochs] == ["1", "2", "3"]
    assert all(float(e["held_out_loss"]) > 0 and float(e["quality"]) >= 0 for e in epochs)
    with (folder / "images.csv").open(newline="") as file:
        images = list(csv.DictReader(file))
    assert [i["split"] for i in images] == ["val"] * 3 + ["train"] * 2
    for row in images[:3]:
        truth = read_labels(split_data / "masks" / f"{row['image']}.tif").image
        found = read_labels(folder / "labels" / f"{row['image']}.tif").image
        scores = score_image(truth, found)
        assert float(row["dice"]) == pytest.approx(scores["dice"])
        assert int(row["true_count"]) == scores["true_count"] > 0


def test_a_run_with_other_settings_is_not_taken_for_it(finished, tiny):
    runs = plan(tiny)
    assert all(is_finished(run, finished) for run in runs)
    changed = tiny.model_copy(update={"base": {**tiny.base, "learning_rate": 0.5}})
    with pytest.raises(TrainingError, match="other settings"):
        is_finished(plan(changed)[0], finished)
    # where it is computed does not matter
    elsewhere = tiny.model_copy(update={"base": {**tiny.base, "threads": 4, "device": "auto"}})
    assert is_finished(plan(elsewhere)[0], finished)


def test_a_split_that_nobody_is_in_is_said_before_training(split_data, tiny, tmp_path):
    run = plan(tiny.model_copy(update={"test_split": "tset"}))[0]
    with pytest.raises(TrainingError, match="split tset"):
        next(perform(split_data, run, tmp_path))


def test_other_data_is_refused_and_nothing_is_overwritten(finished, split_data, tiny, tmp_path):
    other, out = tmp_path / "other", tmp_path / "study"
    shutil.copytree(split_data, other)
    shutil.copytree(finished, out)
    runs = plan(tiny)
    assert hash_of(other) == hash_of(split_data)
    tifffile.imwrite(other / "masks" / "003.tif", np.eye(96, dtype=np.int32))
    record = (folder_of(runs[0], out) / "run.json").read_bytes()
    with pytest.raises(TrainingError, match="other data"):
        next(perform(other, runs[0], out))
    # an unfinished run, too: its checkpoint has learned from the earlier data
    (folder_of(runs[1], out) / "run.json").unlink()
    with pytest.raises(TrainingError, match="other data"):
        next(perform(other, runs[1], out))
    assert (folder_of(runs[0], out) / "run.json").read_bytes() == record
    with pytest.raises(TrainingError, match="other data"):
        next(conduct(other, tiny, out))


def test_an_unfinished_run_with_other_settings_is_refused(finished, split_data, tiny, tmp_path):
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    for run in plan(tiny):
        (folder_of(run, out) / "run.json").unlink()
    shorter = tiny.model_copy(update={"base": {**tiny.base, "epochs": 1}})
    with pytest.raises(TrainingError, match="other settings"):
        next(conduct(split_data, shorter, out))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_record_is_named(text, finished, tiny, tmp_path):
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    path = folder_of(plan(tiny)[0], out) / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match="record of a run is damaged"):
        is_finished(plan(tiny)[0], out)


def test_a_test_image_that_does_not_fit_is_found_before_training(split_data, tiny, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(split_data, data)
    tifffile.imwrite(data / "masks" / "013.tif", np.ones((90, 96), np.int32))
    events = conduct(data, tiny, tmp_path / "study")
    assert next(events) == RunsPlanned(2, 0)
    with pytest.raises(ShapeError, match=r"013\.tif: 90×96 px, not 96×96 px"):
        next(events)
