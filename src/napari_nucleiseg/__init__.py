"""Every nucleus in a micrograph as its own label."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import FinetuneConfig, SegmentConfig, TrainConfig
    from .errors import NucleisegError
    from .finetuning import finetune
    from .io import read_labels, read_micrograph, write_labels
    from .micrograph import Micrograph
    from .segmentation import segment, segment_now
    from .training import train

__version__ = "0.1.0"

_HOMES = {
    "FinetuneConfig": "config",
    "Micrograph": "micrograph",
    "NucleisegError": "errors",
    "SegmentConfig": "config",
    "TrainConfig": "config",
    "finetune": "finetuning",
    "read_labels": "io",
    "read_micrograph": "io",
    "segment": "segmentation",
    "segment_now": "segmentation",
    "train": "training",
    "write_labels": "io",
}

__all__ = [
    "FinetuneConfig",
    "Micrograph",
    "NucleisegError",
    "SegmentConfig",
    "TrainConfig",
    "__version__",
    "finetune",
    "read_labels",
    "read_micrograph",
    "segment",
    "segment_now",
    "train",
    "write_labels",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
