"""Correcting nuclei of a label image: each operation returns what it would change.

An operation never changes the label image it is given; it returns a `Change`, which a Labels layer
applies as one step of its undo history, `layer.data_setitem(change.places(), change.after)`, and
which the journal of a project keeps. Operations look at one plane; `Change.in_stack` puts their
result into a stack.
"""

from .adding import nucleus_from_maps, nucleus_from_pixels
from .change import Change
from .emptied import Emptying, as_runs, from_runs, in_plane, nowhere
from .operations import (
    delete,
    fill_holes,
    grow,
    merge,
    next_number,
    renumber,
    shrink,
    smooth,
    split_at_waist,
    split_by_line,
    split_into_pieces,
    waist_depth,
)
from .order import ORDERS, order
from .states import State, keep_states, merge_prediction, state_image

__all__ = [
    "ORDERS",
    "Change",
    "Emptying",
    "State",
    "as_runs",
    "delete",
    "fill_holes",
    "from_runs",
    "grow",
    "in_plane",
    "keep_states",
    "merge",
    "merge_prediction",
    "next_number",
    "nowhere",
    "nucleus_from_maps",
    "nucleus_from_pixels",
    "order",
    "renumber",
    "shrink",
    "smooth",
    "split_at_waist",
    "split_by_line",
    "split_into_pieces",
    "state_image",
    "waist_depth",
]
