"""Planes that nothing names: when they can be channels."""

from __future__ import annotations

import numpy as np

from ..micrograph import Assumed

MOST_CHANNELS = 6
"""More unnamed planes than this are a stack, not channels."""


class TakenAsChannels(str):
    """A notice that components were taken as channels; void where they are said to be colours."""

    __slots__ = ()


class ChannelsAssumed(TakenAsChannels, Assumed):
    """A notice that planes which nothing names were taken as channels."""

    __slots__ = ()
    letter = "C"


def planes_assumed(count: int) -> Assumed:
    """Say that planes which nothing names were taken as focal planes."""
    return Assumed(
        f"The file does not say what its {count} planes are; they were taken as focal planes."
    )


def channels_first(pixels: np.ndarray) -> tuple[np.ndarray, ChannelsAssumed]:
    """Take the shorter of the first and the last axis as channels.

    Parameters
    ----------
    pixels : (C, H, W) or (H, W, C) ndarray

    Returns
    -------
    (C, H, W) ndarray
    ChannelsAssumed
        What was assumed, in one sentence.
    """
    if pixels.shape[2] < pixels.shape[0]:
        pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    count = pixels.shape[0]
    return pixels, ChannelsAssumed(
        f"The file does not say what its {count} planes are; they were taken as channels."
    )
