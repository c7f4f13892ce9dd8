"""What a checkpoint becomes: a model with its card, and what its layers have learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .assembly import build_model, build_optimizer, fixed_tile, layer_rates
from .checkpoint import Checkpoint, load_checkpoint
from .explain import Layer, probe
from .intensity import NormaliseConfig
from .store import ModelCard, save_model


def export_model(checkpoint: Path, path: Path, name: str, about: Mapping[str, Any]) -> ModelCard:
    """Turn a checkpoint into a model that segments: averaged weights and a card.

    Parameters
    ----------
    checkpoint : Path
    path : Path
        The ``.safetensors`` file to write; the card is written beside it.
    name : str
        What the model is chosen by.
    about : mapping
        Further entries of the card: title, licence of the data, scores, ...

    Returns
    -------
    ModelCard
    """
    state = load_checkpoint(checkpoint)
    model = build_model(state.config)
    names: tuple[str, ...] = model.map_names  # type: ignore[assignment]
    size = {"median_diameter_px": round(state.median_diameter_px, 1)}
    card = {
        "name": name,
        **about,
        # a training on nothing but ignored pixels knows of no size
        **({"data": {**size, **about.get("data", {})}} if state.median_diameter_px else {}),
        "architecture": state.config.architecture,
        "architecture_options": state.config.architecture_options,
        "parameters": sum(p.numel() for p in model.parameters()),
        "maps": list(names),
        "multiple": model.multiple,
        **({} if fixed_tile(model) is None else {"fixed_tile": fixed_tile(model)}),
        "normalise": NormaliseConfig().model_dump(mode="json"),
        "training": {
            "config": _config_of(state),
            "epochs": state.epoch,
            "steps": state.step,
            "minutes": round(state.seconds / 60, 1),
            "train_images": len(state.data.get("train", ())),
            "held_out_images": len(state.data.get("held_out", ())),
            "held_out_scores": state.scores,
            "versions": {"torch": str(torch.__version__), "napari-nucleiseg": __version__},
        },
    }
    return save_model(path, state.averaged, card)


def _config_of(state: Checkpoint) -> dict[str, Any]:
    """The settings of a run for others to read: no path of this computer."""
    config = state.config.model_dump(mode="json")
    start = state.config.start
    return {**config, "start": None if start is None else Path(start).stem}


def probe_checkpoint(state: Checkpoint, *, squared: bool = False) -> list[Layer]:
    """Measure what the layers of a checkpoint have learned; see `napari_nucleiseg.explain`.

    These are the weights as trained, whose learning rates and history the checkpoint holds, not
    the averaged ones.
    """
    model = build_model(state.config)
    model.load_state_dict(state.weights)
    optimizer = build_optimizer(model, state.config)
    optimizer.load_state_dict(state.optimizer)
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    return probe(weights, layer_rates(model, optimizer), squared=squared)
