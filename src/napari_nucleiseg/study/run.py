"""One run of a study: train, make a model of the best epoch, test it; never twice."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..checkpoint import Checkpoint, load_checkpoint
from ..config import SegmentConfig, TrainConfig
from ..data.pairs import Pair, find_pairs, read_truth
from ..errors import FileError, ShapeError, TrainingError
from ..evaluation import score_image
from ..events import Event, Segmented
from ..explain import from_history
from ..files import write_text
from ..io import read_micrograph, write_labels
from ..micrograph import Micrograph
from ..publishing import export_model
from ..segmentation import segment
from ..store import file_hash
from ..training import train
from .plan import Run

RECORD, BEGUN = "run.json", "begun.json"
MODEL = "model.safetensors"
# where and how fast a run is computed does not make it another one
MACHINE = {"threads", "device"}


@dataclass(frozen=True)
class ImageTested(Event):
    """One micrograph was segmented and scored by the model of a run."""

    run: str
    done: int
    total: int


def folder_of(run: Run, out: Path) -> Path:
    """Where a run keeps its files, below the study's folder."""
    return out / "runs" / run.name


def labels_file(folder: Path, image: str) -> Path:
    """Where a run keeps the label image that its model made of a test micrograph."""
    return folder / "labels" / f"{image}.tif"


def is_finished(run: Run, out: Path, contents: str | None = None) -> bool:
    """Whether a run is complete, with the same settings, on the same data.

    Parameters
    ----------
    run : Run
    out : Path
        The study's folder.
    contents : str, optional
        Hash of the data, see `hash_of`; None where there is nothing to compare with.

    Raises
    ------
    TrainingError
        If it was begun or made otherwise: its results would be taken for those of the new one.
    FileError
        If its record is damaged.
    """
    folder = folder_of(run, out)
    for name in (BEGUN, RECORD):
        record = read_record(folder / name)
        if record is not None:
            _refuse_another(run, record, contents, folder / name)
    return record is not None


def read_record(path: Path) -> dict[str, Any] | None:
    """What a run has written down, or None where it has not yet.

    Raises
    ------
    FileError
        If it is damaged.
    """
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path) from error
    needed = {"config", "test_split", "train_sample"}
    if not isinstance(record, dict) or not needed <= record.keys():
        raise _damaged(path)
    return record


def _damaged(path: Path) -> FileError:
    return FileError(
        "The record of a run is damaged",
        str(path),
        "Delete this file, and the run goes on from its checkpoint",
    )


def _refuse_another(run: Run, record: Mapping[str, Any], contents: str | None, path: Path) -> None:
    earlier = TrainConfig.parse(record["config"], source=str(path))
    now = (run.config.model_dump(exclude=MACHINE), run.test_split, run.train_sample)
    then = (earlier.model_dump(exclude=MACHINE), record["test_split"], record["train_sample"])
    if now != then:
        raise TrainingError(
            "A run of this study was made with other settings",
            str(path.parent),
            "Choose another --out, or delete this folder to repeat the run",
        )
    then_contents = record.get("contents_sha256")
    if contents is not None and then_contents is not None and contents != then_contents:
        raise TrainingError(
            "A run of this study was made with other data",
            f"{path.parent}; micrographs, label images or index.csv have changed since",
            "Choose another --out, or delete this folder to repeat the run",
        )


def hash_of(data: Path) -> str:
    """Hash of all that a study learns from and is tested on: pixels, labels, names and splits."""
    found = hashlib.sha256()
    for pair in sorted(find_pairs(data)[0], key=lambda p: p.name):
        labels = [pair.labels, *(path for _, path in pair.class_files)]
        files = [pair.micrograph]
        for path in labels:
            files += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        hashes = [file_hash(path) for path in dict.fromkeys(files)]
        found.update(json.dumps([pair.name, pair.split, hashes]).encode())
    return found.hexdigest()


def check_test(data: Path, test_split: str) -> None:
    """Read what is to be tested on, before hours of training.

    Raises
    ------
    NucleisegError
        If there is nothing, or a file cannot be read or does not fit its micrograph.
    """
    for pair in _tested(find_pairs(data)[0], data, test_split):
        _read_test(pair)


def _tested(pairs: Sequence[Pair], data: Path, test_split: str) -> list[Pair]:
    tested = [p for p in pairs if p.split == test_split]
    if not tested:
        splits = ", ".join(sorted({p.split for p in pairs})) or "none"
        raise TrainingError(
            f"No micrograph is in the split {test_split}",
            f"{data}; splits: {splits}",
            "Give the folder an index.csv with the columns image_id and split, or change "
            "test_split in the study",
        )
    return tested


def true_labels(pair: Pair) -> np.ndarray:
    """The label image of a pair, however it is written."""
    return read_truth(pair, max((number for number, _ in pair.class_files), default=1))[0]


def _read_test(pair: Pair) -> tuple[Micrograph, np.ndarray]:
    micrograph, truth = read_micrograph(pair.micrograph), true_labels(pair)
    if micrograph.shape != truth.shape:
        raise ShapeError(
            "A label image has another size than its micrograph",
            "{}: {}×{} px, not {}×{} px".format(pair.labels, *truth.shape, *micrograph.shape),
            "Mend or remove the pair",
        )
    return micrograph, truth


def perform(data: Path, run: Run, out: Path) -> Iterator[Event]:
    """Train, export and test one run, going on where it was interrupted.

    Parameters
    ----------
    data : Path
        See `napari_nucleiseg.data.pairs.find_pairs`; its index.csv says what trains and tests.
    run : Run
    out : Path
        The study's folder; the run writes to ``runs/NAME`` in it: checkpoints, the model with its
        card, ``epochs.csv``, ``layers.csv``, ``images.csv``, the label images of the test split,
        and at the very end ``run.json``.

    Yields
    ------
    Event
        Those of the training, and `ImageTested`.
    """
    folder = folder_of(run, out)
    folder.mkdir(parents=True, exist_ok=True)
    pairs, _ = find_pairs(data)
    tested = _tested(pairs, data, run.test_split)
    contents = hash_of(data)
    is_finished(run, out, contents)
    begun = {
        "test_split": run.test_split,
        "train_sample": run.train_sample,
        "config": run.config.model_dump(mode="json"),
        "contents_sha256": contents,
    }
    write_text(folder / BEGUN, json.dumps(begun, indent=1) + "\n")
    yield from train(data, run.config, folder)
    state = load_checkpoint(folder / "last.pt")
    best = load_checkpoint(folder / "best.pt")
    about = {"title": run.variant, "description": f"run {run.name} of a study"}
    card = export_model(folder / "best.pt", folder / MODEL, run.name, about).card
    trained = set(state.data["train"])
    sample = [p for p in pairs if p.name in trained]
    # every so many, so that all kinds are among them
    every = max(1, len(sample) // max(run.train_sample, 1))
    sample = sample[::every][: run.train_sample]
    rows = yield from _test(run, folder, [*tested, *sample])
    _write_table(folder / "epochs.csv", [run.labels() | _flat(r) for r in state.history])
    _write_table(folder / "layers.csv", _layers(run, state))
    _write_table(folder / "images.csv", rows)
    mine = [row for row in rows if row["split"] == run.test_split]
    record = {
        **run.labels(),
        **begun,
        "parameters": card["parameters"],
        "model_sha256": file_hash(folder / MODEL),
        "best_epoch": best.epoch,
        "epochs": state.epoch,
        "steps": state.step,
        "train_seconds": state.seconds,
        "train_cpu_seconds": state.cpu_seconds,
        "test_seconds": sum(row["seconds"] for row in mine),
        "test_cpu_seconds": sum(row["cpu_seconds"] for row in mine),
        "test_megapixels": sum(row["megapixels"] for row in mine),
        "train_images": len(trained),
        "train_images_scored": len(sample),
        "held_out_images": len(state.data["held_out"]),
        "test_images": len(tested),
        "device": run.config.device,
        "versions": {
            "napari-nucleiseg": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }
    write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")


def _test(run: Run, folder: Path, pairs: Sequence[Pair]) -> Any:
    """Segment and score micrographs as a user of the model would."""
    if run.config.threads:
        torch.set_num_threads(run.config.threads)
    config = SegmentConfig(model=str(folder / MODEL), engine="torch", device=run.config.device)
    rows = []
    for done, pair in enumerate(pairs, 1):
        micrograph, truth = _read_test(pair)
        started, cpu_started = time.monotonic(), time.process_time()
        labels = np.zeros(0)
        for event in segment(micrograph, config):
            if isinstance(event, Segmented):
                labels = event.labels
        seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
        if pair.split == run.test_split:
            place = labels_file(folder, pair.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_labels(place, labels)
        rows.append(
            {
                **run.labels(),
                "split": pair.split,
                "image": pair.name,
                **score_image(truth, labels),
                "megapixels": truth.size / 1e6,
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
            }
        )
        yield ImageTested(run.name, done, len(pairs))
    return rows


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "layers"}


def _layers(run: Run, state: Checkpoint) -> list[dict[str, Any]]:
    """What each layer had learned after each epoch, a row for each."""
    return [
        {
            "run": run.name,
            "epoch": epoch,
            **{k: v for k, v in asdict(layer).items() if k != "shape"},
        }
        for epoch, layers in from_history(state.history).items()
        for layer in layers
    ]


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, as a whole; columns that a row lacks stay empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
