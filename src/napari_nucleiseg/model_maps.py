"""What a model says of every pixel of a micrograph, before nuclei are made of it.

Adding a nucleus by a click grows it in these maps, and the least certain nuclei are told by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .channels import choose_pixels
from .config import SegmentConfig
from .detections import INSTANCES
from .engine import build_engine
from .events import DeviceChosen, Event
from .finding import decode_config, run_tiles
from .gathering import Maps
from .intensity import intensity_range
from .micrograph import Micrograph
from .store import find_model


@dataclass(frozen=True)
class MapsRead(Event):
    """The maps of a whole micrograph.

    Attributes
    ----------
    names : tuple of str
        What the maps are; none for a model that finds instances by itself.
    maps : (K, H, W) float32 ndarray
    pixels : (H, W) or (H, W, 3) ndarray
        What the model looks at: the chosen channel, or the colours.
    model : str
        Its name.
    """

    names: tuple[str, ...]
    maps: np.ndarray
    pixels: np.ndarray
    model: str

    @property
    def probability(self) -> np.ndarray | None:
        """How likely each pixel lies in a nucleus, (H, W), where the model tells."""
        at = self.names.index("probability") if "probability" in self.names else -1
        return self.maps[at] if at >= 0 else None


def read_maps(micrograph: Micrograph, config: SegmentConfig) -> Iterator[Event]:
    """Let a model look at a micrograph, without making nuclei of what it sees.

    Parameters
    ----------
    micrograph : Micrograph
    config : SegmentConfig

    Yields
    ------
    Event
        `DeviceChosen`, `TileDone` after each tile, what `segment` says of memory, and last
        `MapsRead`.

    Raises
    ------
    NucleisegError
        If model, channel or device are not there, or memory does not suffice.
    """
    model = find_model(config.model)
    chosen, _ = choose_pixels(micrograph, config.channel, config.colour)
    pixels = chosen.pixels
    if tuple(model.map_names) == INSTANCES:
        yield MapsRead((), np.zeros((0, *chosen.shape), np.float32), pixels, model.name)
        return
    gathered = Maps(model.map_names, chosen.shape, decode_config(config))
    low, high = intensity_range(pixels, model.normalise)
    if high > low:
        engine = build_engine(model, config)
        yield DeviceChosen(engine.device, engine.name, engine.reason)
        yield from run_tiles(gathered, pixels, (low, high), model, config, engine)
    yield MapsRead(tuple(model.map_names), gathered.maps, pixels, model.name)
