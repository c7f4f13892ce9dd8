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
from .config import JoinConfig, SegmentConfig
from .export import ending_of, endings
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
    record = read_record(item, config.out)
    expected = {
        "config": settings.model_dump(mode="json"),
        "model": {"name": record.get("model", {}).get("name"), "sha256": sha256},
        "join": joining.model_dump(mode="json") if joining and joining.join != "none" else None,
    }
    if any(record.get(name) != value for name, value in expected.items()):
        return False
    if record.get("versions", {}).get("napari-nucleiseg") != __version__:
        return False
    if record.get("input", {}).get("path") != os.path.abspath(item.path):
        return False
    manifest = item.result(config.out, "_labels.json")
    # blocks and stacks are written to other files, of which nothing else is made
    labels = manifest.with_name(str(record.get("labels")))
    wanted = [labels]
    if labels.suffixes[-1:] == [".tif"] and ".ome" not in labels.suffixes:
        wanted += [item.result(config.out, "_overlay.png")] if config.overlay else []
        wanted += [item.result(config.out, "_nuclei.csv")] if config.table else []
        wanted += [item.result(config.out, ending_of(name)) for name in config.exports]
    try:
        stamp = stamps_of(item)
    except OSError:
        return False
    is_same = all(record["input"].get(name) == value for name, value in stamp.items())
    written = record.get("written")
    is_listed = isinstance(written, list) and all(path.name in written for path in wanted)
    return is_same and is_listed and all(path.exists() and _size(path) for path in wanted)


def _size(path: Path) -> int:
    """Bytes of a file; a folder counts as one."""
    return 1 if path.is_dir() else path.stat().st_size


def read_record(item: Item, out: Path) -> dict[str, Any]:
    """The record of an earlier run; empty where there is none."""
    try:
        record = json.loads(item.result(out, "_labels.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    parts = ("model", "versions", "input")
    is_ours = isinstance(record, dict) and all(isinstance(record.get(p), dict) for p in parts)
    return record if is_ours and isinstance(record.get("nuclei"), int) else {}
