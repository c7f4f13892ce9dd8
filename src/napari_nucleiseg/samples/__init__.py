"""A few small real micrographs with label images (CC0; see README.md in this folder)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import SettingError
from ..io import read_labels, read_micrograph
from ..micrograph import Micrograph

_FOLDER = Path(__file__).parent


class Sample(NamedTuple):
    """One sample: what it shows and its two files.

    Attributes
    ----------
    title : str
        For menus.
    micrograph, labels : Path
        PNG files.
    """

    title: str
    micrograph: Path
    labels: Path


def _sample(name: str, title: str) -> Sample:
    return Sample(title, _FOLDER / f"{name}.png", _FOLDER / f"{name}_labels.png")


SAMPLES = {
    "fluorescence": _sample("fluorescence", "Fluorescent nuclei"),
    "stained": _sample("stained", "Tissue, haematoxylin and eosin"),
    "brightfield": _sample("brightfield", "Squamous cells, brightfield"),
}


def read_sample(name: str) -> tuple[Micrograph, np.ndarray]:
    """Read one of the micrographs that come with the package.

    Parameters
    ----------
    name : str
        A key of `SAMPLES`.

    Returns
    -------
    Micrograph
    (H, W) int32 ndarray
        Its label image: 0 background, 1..N one nucleus each.

    Raises
    ------
    SettingError
        If there is no such sample; the message lists those there are.
    """
    if name not in SAMPLES:
        raise SettingError("Unknown sample", repr(name), f"Known: {', '.join(SAMPLES)}")
    sample = SAMPLES[name]
    return read_micrograph(sample.micrograph), read_labels(sample.labels).image
