"""What the docks remember of a user: settings and which folds are open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import platformdirs

from ..config import JoinConfig, SegmentConfig

# these belong to one image, not to a person
OF_THE_IMAGE = {
    "channel",
    "colour",
    "merge",
    "series",
    "axes",
    "pixel_size_um",
    "z",
    "t",
    "nucleus_diameter",
}
# of so many files it is remembered what their axes count
_MOST_FILES = 100


def memory_file() -> Path:
    """Where it is kept."""
    return platformdirs.user_config_path("napari-nucleiseg") / "docks.json"


def recall() -> dict[str, Any]:
    """All that is remembered; nothing where there is none or the file is damaged."""
    try:
        found = json.loads(memory_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(**values: Any) -> None:
    """Keep values beside those already kept.

    A folder that cannot be written to is no reason to stop someone's work. The file is not forced
    to the disk: that can take longer than a window may stand still.
    """
    path = memory_file()
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({**recall(), **values}, indent=1), encoding="utf-8")
        part.replace(path)
    except OSError:
        return


def recall_config() -> SegmentConfig:
    """Give the last settings; what is unknown or out of range by now is left out."""
    kept = recall().get("segment", {})
    config = SegmentConfig()
    for name, value in kept.items() if isinstance(kept, dict) else ():
        if name in OF_THE_IMAGE or name not in SegmentConfig.model_fields:
            continue
        try:
            config = SegmentConfig.model_validate({**config.model_dump(), name: value})
        except ValueError:
            continue
    return config


def recall_joining() -> JoinConfig:
    """Give the last settings of joining planes; those that are out of range by now are not used."""
    kept = recall().get("join", {})
    try:
        return JoinConfig.model_validate({**kept, "join": "none"})
    except (ValueError, TypeError):
        return JoinConfig()


def remember_joining(joining: JoinConfig) -> None:
    """Keep the settings of joining planes that differ from the defaults."""
    remember(join=joining.model_dump(mode="json", exclude={"join"}, exclude_defaults=True))


def recall_axes(path: Path) -> str:
    """Give what somebody said that the axes of a file count; empty where nobody did."""
    kept = recall().get("axes", {})
    return str(kept.get(str(path), "")) if isinstance(kept, dict) else ""


def remember_axes(path: Path, letters: str) -> None:
    """Keep what somebody says that the axes of a file count."""
    kept = recall().get("axes", {})
    others = {k: v for k, v in kept.items() if k != str(path)} if isinstance(kept, dict) else {}
    last = list(others.items())[-_MOST_FILES + 1 :]
    remember(axes=dict([*last, (str(path), letters)]))


def remember_config(config: SegmentConfig) -> None:
    """Keep the settings that differ from the defaults."""
    remember(segment=config.model_dump(mode="json", exclude=OF_THE_IMAGE, exclude_defaults=True))
