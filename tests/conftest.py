"""Fixtures for all tests: small, named, real."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import read_sample

Sample = tuple[Micrograph, np.ndarray]


@pytest.fixture
def fluorescence() -> Sample:
    """360 x 360, grey, 22 nuclei, six pairs of which touch."""
    return read_sample("fluorescence")


@pytest.fixture
def stained() -> Sample:
    """256 x 320, colour, 34 nuclei."""
    return read_sample("stained")


@pytest.fixture
def brightfield() -> Sample:
    """512 x 512, grey, dark nuclei on a bright field, 20 nuclei."""
    return read_sample("brightfield")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run window tests last.

    PyTorch's compiler and Mesa's software OpenGL bring a copy of LLVM each: where Mesa's is loaded
    first, importing the other ends the process. (In napari this cannot happen, since PyTorch stays
    in a process of its own.)
    """
    items.sort(key=lambda item: "gui" in item.path.parts)
