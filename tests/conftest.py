"""Fixtures for all tests: small, named, real."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import read_sample
from napari_nucleiseg.store import BUNDLED, find_model, load_weights, save_model
from napari_nucleiseg.study.plan import StudyConfig

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


@pytest.fixture(scope="session")
def mosaic() -> Micrograph:
    """Nuclei side by side, cut by the borders of the pieces, and an empty part."""
    micrograph, _ = read_sample("fluorescence")
    pixels = micrograph.pixels
    field = np.full((440, 760), int(np.percentile(pixels, 2)), pixels.dtype)
    field[:390, :390] = np.tile(pixels[:200, :200], (2, 2))[:390, :390]
    field[-100:, -180:] = pixels[:100, :180]
    return replace(micrograph, pixels=field, name="mosaic", path=None)


TINY = {
    "title": "tiny study",
    "base": {
        "architecture_options": {"channels": [4, 8], "residual_units": 0},
        "epochs": 3,
        "steps_per_epoch": 3,
        "batch_size": 2,
        "patch_px": 64,
        "held_out": 0.1,
        "validate_every": 1,
        "explain": True,
        "ema_decay": 0,
        "learning_rate": 0.02,
        "device": "cpu",
        "threads": 1,
    },
    "networks": {"unet": {"architecture": "unet"}},
    "optimizers": {"adam": {"optimizer": "adam"}, "sgd": {"optimizer": "sgd"}},
    "schedules": {"constant": {"schedule": "constant"}},
    "train_sample": 2,
    "panels": 2,
}


@pytest.fixture(scope="session")
def split_data(tmp_path_factory) -> Path:
    """Twelve crops that train and three that test, of the fluorescence sample."""
    folder = tmp_path_factory.mktemp("split")
    micrograph, labels = read_sample("fluorescence")
    rows = []
    for number in range(15):
        y, x = 60 * (number // 5), 60 * (number % 5)
        place = np.s_[y : y + 96, x : x + 96]
        name = f"{number:03d}"
        for kind, array in (("images", micrograph.pixels), ("masks", labels.astype(np.int32))):
            (folder / kind).mkdir(exist_ok=True)
            tifffile.imwrite(folder / kind / f"{name}.tif", array[place])
        rows.append({"image_id": name, "split": "train" if number < 12 else "val"})
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["image_id", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def tiny() -> StudyConfig:
    """Two runs of nine steps."""
    return StudyConfig(**TINY)


@pytest.fixture
def study_file(tmp_path) -> Path:
    """The tiny study as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished(split_data, tmp_path_factory) -> Path:
    """The folder of the tiny study, all runs of which are finished."""
    from napari_nucleiseg.study.conduct import conduct
    from napari_nucleiseg.study.report import remember

    out = tmp_path_factory.mktemp("study")
    study = StudyConfig(**TINY)
    remember(study, split_data, out)
    for _ in conduct(split_data, study, out):
        pass
    return out


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models: "noisy", the bundled one made worse, and "torn", which is damaged.

    Of the bundled ones "nuclei" alone is there.
    """
    import torch

    bundled = tmp_path / "bundled"
    bundled.mkdir()
    for file in BUNDLED.glob("nuclei.*"):
        shutil.copy(file, bundled)
    monkeypatch.setattr("napari_nucleiseg.store.BUNDLED", bundled)
    folder = tmp_path / "models"
    card = dict(find_model("nuclei").card)
    noise = torch.Generator().manual_seed(0)
    weights = {
        k: v + 0.4 * v.std() * torch.randn(v.shape, generator=noise) if v.ndim == 4 else v
        for k, v in load_weights(find_model("nuclei")).items()
    }
    for name in ("noisy", "torn"):
        about = {**card, "name": name, "title": f"{name.title()} nuclei", "scores": {}, "speed": {}}
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
