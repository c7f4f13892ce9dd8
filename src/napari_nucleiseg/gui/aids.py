"""Layers of this plugin that are there to look at: no nuclei to choose, correct or measure."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels

from .before_after_layers import BESIDE
from .layers import RESULT
from .states_layer import is_outlines

SHOWS = "shows"
LIVE = "what is visible"


def is_aid(layer: Any) -> bool:
    """Whether it shows states, errors or scores of nuclei, or results of two models."""
    found = layer.metadata
    return is_outlines(layer) or BESIDE in found or SHOWS in found.get(RESULT, {})


def nuclei_layers(viewer: Any) -> list[Labels]:
    """Labels whose nuclei can be chosen, the uppermost first."""
    return [x for x in reversed(viewer.layers) if isinstance(x, Labels) and not is_aid(x)]
