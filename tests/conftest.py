"""Fixtures for all tests: small, named, real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import read_sample
from napari_nucleiseg.store import BUNDLED, find_model, load_weights, save_model

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


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models: "noisy", the bundled one made worse, and "torn", which is damaged."""
    import torch

    folder = tmp_path / "models"
    card = dict(find_model("nuclei").card)
    noise = torch.Generator().manual_seed(0)
    weights = {
        k: v + 0.4 * v.std() * torch.randn(v.shape, generator=noise) if v.ndim == 4 else v
        for k, v in load_weights(find_model("nuclei")).items()
    }
    for name in ("noisy", "torn"):
        about = {**card, "name": name, "title": f"{name.title()} nuclei", "scores": {}}
        save_model(folder / f"{name}.safetensors", weights, about)
    (folder / "torn.safetensors").write_bytes((BUNDLED / "nuclei.safetensors").read_bytes()[:-9])
    monkeypatch.setenv("NUCLEISEG_MODELS", str(folder))
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run window tests last.

    PyTorch's compiler and Mesa's software OpenGL bring a copy of LLVM each: where Mesa's is loaded
    first, importing the other ends the process. (In napari this cannot happen, since PyTorch stays
    in a process of its own.)
    """
    items.sort(key=lambda item: "gui" in item.path.parts)
