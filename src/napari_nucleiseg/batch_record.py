"""The record beside each result: which files are done already, by which settings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from . import __version__
from .batch import stamps_of
from .batch_config import BatchConfig
from .batch_events import FileFinished
from .beside import Beside
from .config import JoinConfig, SegmentConfig
from .export import endings
from .result_names import Item


def done_before(number: int, item: Item, out: Path) -> FileFinished:
    """What an earlier run has made of a file; see `is_done`."""
    record = read_record(item, out)
    manifest = item.result(out, "_labels.json")
    size = record["input"].get("pixel_size_um")
    exports = [item.result(out, ending) for ending in endings()]
    overlay, table = (item.result(out, ending) for ending in ("_overlay.png", "_nuclei.csv"))
    return FileFinished(
        number,
        manifest.with_name(str(record["labels"])),
        manifest,
        int(record["nuclei"]),
        0.0,
        True,
        tuple(record.get("notices", ())),
        median_diameter_px=record.get("median_diameter_px"),
        pixel_size_um=None if size is None else (float(size[0]), float(size[1])),
        overlay=overlay if overlay.name in record["written"] else None,
        table=table if table.name in record["written"] else None,
        exports=tuple(path for path in exports if path.name in record["written"]),
    )


def is_done(
    item: Item,
    config: BatchConfig,
    settings: SegmentConfig,
    sha256: str,
    joining: JoinConfig | None = None,
) -> bool:
    """Whether all results of a file are there, of this file as it is now, by the same settings.

    Parameters
    ----------
    item : Item
    config : BatchConfig
    settings : SegmentConfig
    sha256 : str
        Of the model's weights.
    joining : JoinConfig, optional
        How planes are joined, where they are.
    """
    record = segmented_before(item, config.out, settings, sha256, joining)
    return bool(record) and not _missing(record, item, config)


def lacks_only_files_beside(
    item: Item,
    config: BatchConfig,
    settings: SegmentConfig,
    sha256: str,
    joining: JoinConfig | None = None,
) -> dict[str, Any]:
    """The record of a file that need not be segmented again, though a table or export is missing.

    Empty where it has to be, or where nothing is missing. Parameters are those of `is_done`.
    """
    record = segmented_before(item, config.out, settings, sha256, joining)
    return record if record and _missing(record, item, config) else {}


def segmented_before(
    item: Item,
    out: Path,
    settings: SegmentConfig,
    sha256: str,
    joining: JoinConfig | None = None,
) -> dict[str, Any]:
    """The record of a label image of this file as it is now, by the same settings, or nothing."""
    record = read_record(item, out)
    expected = {
        "config": settings.model_dump(mode="json"),
        "model": {"name": record.get("model", {}).get("name"), "sha256": sha256},
        "join": joining.model_dump(mode="json") if joining and joining.join != "none" else None,
    }
    if any(record.get(name) != value for name, value in expected.items()):
        return {}
    if record.get("versions", {}).get("napari-nucleiseg") != __version__:
        return {}
    if record.get("input", {}).get("path") != os.path.abspath(item.path):
        return {}
    try:
        stamp = stamps_of(item)
    except OSError:
        return {}
    labels = item.result(out, "_labels.json").with_name(str(record.get("labels")))
    is_same = all(record["input"].get(name) == value for name, value in stamp.items())
    is_listed = isinstance(record.get("written"), list) and labels.name in record["written"]
    return record if is_same and is_listed and _is_there(labels) else {}


def _missing(record: dict[str, Any], item: Item, config: BatchConfig) -> list[Path]:
    """Files that are wanted beside the label image and are not there."""
    beside = Beside.of(
        item,
        config.out,
        overlay=config.overlay,
        table=config.table,
        exports=config.exports,
        is_joined=record.get("join") is not None,
    )
    written = record["written"]
    return [path for path in beside.paths if path.name not in written or not _is_there(path)]


def _is_there(path: Path) -> bool:
    """Whether a file is there and not empty; a folder counts as it is."""
    return path.is_dir() or (path.is_file() and path.stat().st_size > 0)


def read_record(item: Item, out: Path) -> dict[str, Any]:
    """The record of an earlier run; empty where there is none."""
    try:
        record = json.loads(item.result(out, "_labels.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    parts = ("model", "versions", "input")
    is_ours = isinstance(record, dict) and all(isinstance(record.get(p), dict) for p in parts)
    return record if is_ours and isinstance(record.get("nuclei"), int) else {}
