"""Segmentation: from a micrograph to its label image."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from . import __version__
from .channels import choose_pixels
from .config import SegmentConfig
from .engine import Engine, build_engine
from .events import DeviceChosen, Event, Notice, Segmented
from .finding import (
    check_enlarged,
    check_fits,
    factor_given,
    find,
    look_again,
    too_large,
    without_resampling,
)
from .instances import diameters
from .intensity import intensity_range
from .micrograph import Micrograph
from .store import ModelCard, find_model

NEUTRAL = SegmentConfig.model_fields["seed_sensitivity"].default


def segment(
    micrograph: Micrograph, config: SegmentConfig, engine: Engine | None = None
) -> Iterator[Event]:
    """Find every nucleus of a micrograph.

    Parameters
    ----------
    micrograph : Micrograph
    config : SegmentConfig
    engine : Engine, optional
        What runs the network, where it is at hand; it must be of this model and device.

    Yields
    ------
    Event
        `Notice` and `DeviceChosen`, `TileDone` after each tile, `Decoding`, and last `Segmented`.

    Raises
    ------
    NucleisegError
        If model, channel or device are not there, or memory does not suffice.
    TypeError
        If it is given anything but a micrograph, for example its pixels alone.
    """
    if not isinstance(micrograph, Micrograph):
        raise TypeError(
            f"segment takes a Micrograph, not {type(micrograph).__name__}. Make one of pixels by "
            'Micrograph(pixels, "YX"), or read a file by read_micrograph(path)'
        )
    started = time.monotonic()
    model = find_model(config.model)
    for text in micrograph.notices:
        yield Notice(text)
    plane = micrograph.one_plane(config.z, config.t)
    chosen, notices = choose_pixels(plane, config.channel, config.colour, config.merge)
    for text in notices:
        yield Notice(text)
    if chosen.is_lazy:
        check_fits(micrograph.name, chosen.shape)
    try:
        chosen = chosen.loaded()
    except MemoryError as error:
        raise too_large(micrograph) from error
    pixels = chosen.pixels
    numbers = np.count_nonzero(np.isfinite(pixels)) if pixels.dtype.kind == "f" else pixels.size
    if 0 < numbers < pixels.size:
        yield Notice(f"{micrograph.name} holds pixels that are not numbers; they count as dark")
    low, high = intensity_range(pixels, model.normalise)
    if high > low:
        engine = build_engine(model, config) if engine is None else engine
        for text in engine.notices:
            yield Notice(text)
        yield DeviceChosen(engine.device, engine.name, engine.reason)
        yield from without_effect(model, config)
        factor = factor_given(micrograph.pixel_size_um, model, config)
        check_enlarged(chosen, factor)
        yield from without_resampling(micrograph.pixel_size_um, model, config)
        found = yield from find(chosen, (low, high), model, config, engine, factor)
        if config.nucleus_diameter == "auto":
            found = yield from look_again(chosen, (low, high), model, config, found)
        labels, classes, engine, factor = found.labels, found.classes, found.engine, found.factor
        used: dict[str, Any] = {"device": engine.device, "engine": engine.name}
    else:
        why = "nothing in it stands out from its background"
        if not numbers:
            why = "none of its pixels is a number"
        yield Notice(f"{micrograph.name} is empty: {why}")
        labels, classes, factor = np.zeros(chosen.shape, np.int32), [], 1.0
        used = {"device": "none", "engine": "none"}
    sizes = diameters(labels)
    manifest = describe_run(
        micrograph, chosen, model, config, (low, high), used, len(sizes), factor
    )
    if model.classes > 1:
        # of the nuclei 1..N, in this order
        manifest["classes"] = classes
    median = float(np.median(sizes)) if len(sizes) else 0.0
    yield Segmented(labels, len(sizes), median, time.monotonic() - started, manifest)


def without_effect(model: ModelCard, config: SegmentConfig) -> Iterator[Event]:
    """Say which settings a model does not use."""
    if model.finds_instances and config.seed_sensitivity != NEUTRAL:
        yield Notice(
            f"seed_sensitivity has no effect: {model.name} finds every nucleus by itself, "
            "without seeds"
        )


def describe_run(
    micrograph: Micrograph,
    chosen: Micrograph,
    model: ModelCard,
    config: SegmentConfig,
    ends: tuple[float, float],
    used: dict[str, Any],
    count: int,
    factor: float = 1.0,
) -> dict[str, Any]:
    """Record all that is needed to repeat a segmentation: the manifest of its result."""
    return {
        "program": "napari-nucleiseg",
        "versions": dict(_versions()),
        "config": config.model_dump(mode="json"),
        "model": {"name": model.name, "sha256": model.sha256},
        **used,
        "input": {
            "name": micrograph.name,
            "path": None if micrograph.path is None else str(micrograph.path),
            "series": micrograph.series or None,
            "shape": list(chosen.shape),
            "dtype": str(chosen.pixels.dtype),
            "channel": list(chosen.channel_names) or None,
            "channel_number": _number_of(micrograph, chosen),
            "pixel_size_um": micrograph.pixel_size_um,
        },
        "intensity_range": list(ends),
        "magnification": factor,
        "nuclei": count,
    }


def segment_now(micrograph: Micrograph, config: SegmentConfig | None = None) -> Segmented:
    """Find every nucleus of a micrograph and return the result; see `segment`."""
    *_, last = segment(micrograph, config or SegmentConfig())
    if not isinstance(last, Segmented):
        raise TypeError(f"segment ended with {type(last).__name__}")
    return last


def _number_of(micrograph: Micrograph, chosen: Micrograph) -> int | None:
    """Number of the channel that was looked at, from 1; None where there was no choice."""
    names = ("red", "green", "blue") if micrograph.is_colour else micrograph.channels
    if len(chosen.channel_names) != 1 or chosen.channel_names[0] not in names:
        return None
    return names.index(chosen.channel_names[0]) + 1


@cache
def _versions() -> dict[str, str]:
    found = {"napari-nucleiseg": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "scikit-image", "torch", "openvino"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
