import csv
import json

import pytest

from napari_nucleiseg.errors import TrainingError
from napari_nucleiseg.evaluation import score_image
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.store import file_hash, find_model
from napari_nucleiseg.study.plan import plan
from napari_nucleiseg.study.run import folder_of, is_finished, perform


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
