"""Trained models on this computer: the bundled ones, the user's own, and any model file.

A model is two files side by side: ``NAME.safetensors`` (weights) and ``NAME.yaml`` (its card:
what it is for, how to build it, what it was trained on and how well it does).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import platformdirs
import yaml
from pydantic import ConfigDict, Field

from .config import Config
from .detections import INSTANCES
from .errors import ModelError, SettingError, reason
from .files import file_hash as file_hash
from .intensity import NormaliseConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

BUNDLED = Path(__file__).parent / "weights"
FOLDER_VARIABLE = "NUCLEISEG_MODELS"


class _CardFields(Config):
    """What a card must say for its model to run; it may say more."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    name: str | None = Field(None, min_length=1)
    title: str | None = None
    architecture: str = Field(pattern=r"^\w+$", description="the name of an architecture")
    architecture_options: dict[str, Any] = Field(default_factory=dict)
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="the SHA-256 hash of the weights, 64 digits 0-9 and a-f",
    )
    normalise: NormaliseConfig
    maps: tuple[str, ...] = Field(min_length=1)
    multiple: int = Field(ge=1, le=1024)
    fixed_tile: int | None = Field(None, ge=16, le=4096)


@dataclass(frozen=True)
class ModelCard:
    """A trained model: where it lies and what its card says.

    Attributes
    ----------
    name : str
        What to choose it by.
    path : Path
        The weights, a ``.safetensors`` file.
    title : str
        One line for a menu.
    architecture : str
        Name of the architecture in ``models/``.
    architecture_options : mapping
        Its settings.
    sha256 : str
        Hash of the weights as the card states it.
    normalise : NormaliseConfig
        How the model wants intensities.
    map_names : tuple of str
        Names of the maps the network gives.
    multiple : int
        Sides of what the network gets are multiples of this (px).
    fixed_tile : int or None
        Side of what the network gets, where it takes one size alone (px).
    card : mapping
        The whole card.
    """

    name: str
    path: Path
    title: str
    architecture: str
    architecture_options: Mapping[str, Any]
    sha256: str
    normalise: NormaliseConfig
    map_names: tuple[str, ...]
    multiple: int
    fixed_tile: int | None
    card: Mapping[str, Any]

    @property
    def finds_instances(self) -> bool:
        """Whether the network gives detections, one for each nucleus, instead of maps."""
        return self.map_names == INSTANCES

    @property
    def mean_ap(self) -> float | None:
        """AP that the card states, mean over IoU 0.5 to 0.95, or None."""
        return _number(self.card, "scores", "all", "mean_ap")

    @property
    def speed(self) -> float | None:
        """Megapixels in a second on one CPU core, as the card states, or None."""
        return _number(self.card, "speed", "megapixels_per_second")

    @property
    def median_diameter_px(self) -> float | None:
        """Median diameter of the nuclei it has learned from (px), as the card states, or None."""
        value = _number(self.card, "data", "median_diameter_px")
        return value if value is not None and value > 0 else None

    @property
    def classes(self) -> int:
        """Kinds of nuclei that the network tells apart."""
        return int(self.architecture_options.get("classes", 1)) if self.finds_instances else 1


def _number(card: Any, *way: str) -> float | None:
    """A number somewhere in a card, or None where somebody wrote something else there."""
    for name in way:
        card = card.get(name) if isinstance(card, Mapping) else None
    is_number = isinstance(card, (int, float)) and not isinstance(card, bool)
    return float(card) if is_number else None


def user_folder() -> Path:
    """Folder of the user's own models; the environment variable NUCLEISEG_MODELS moves it."""
    moved = os.environ.get(FOLDER_VARIABLE)
    return Path(moved) if moved else platformdirs.user_data_path("napari-nucleiseg") / "models"


def read_card(path: Path) -> ModelCard:
    """Read the card beside a weights file.

    Raises
    ------
    ModelError
        If weights or card are missing or the card does not say how to build the network.
    """
    beside = path.with_suffix(".yaml")
    if not path.is_file():
        raise ModelError("There is no such model file", str(path), "Check the path")
    if not beside.is_file():
        raise ModelError(
            "The model's card is missing", str(beside), f"Put it in the same folder as {path.name}"
        )
    try:
        card = _parse(beside, beside.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(
            "The model's card cannot be read", f"{beside} ({reason(error)})"
        ) from error
    try:
        fields: _CardFields = _CardFields.parse(card, source=str(beside))
    except SettingError as error:
        raise ModelError("The model's card is incomplete or wrong", str(error)) from error
    name = fields.name or path.stem
    return ModelCard(
        name=name,
        path=path,
        title=fields.title or name,
        architecture=fields.architecture,
        architecture_options=fields.architecture_options,
        sha256=fields.sha256,
        normalise=fields.normalise,
        map_names=fields.maps,
        multiple=fields.multiple,
        fixed_tile=fields.fixed_tile,
        card=card,
    )


@lru_cache(maxsize=64)
def _parse(path: Path, _changed: int) -> Any:
    """Content of a YAML file; a batch asks for the same card again and again."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _scan() -> tuple[list[ModelCard], list[str]]:
    """Models of all folders, and a sentence for each file that is none.

    Bundled ones come first, the best of them before the others, then the user's own.
    """
    found: dict[str, ModelCard] = {}
    problems: list[str] = []
    for folder in (BUNDLED, user_folder()):
        for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
            try:
                model = read_card(path)
            except ModelError as error:
                problems.append(str(error))
                continue
            first = found.setdefault(model.name, model)
            if first is not model:
                problems.append(
                    f"{path} is not listed: its card calls it {model.name}, as {first.path} is "
                    "called. Change the name in its card, or choose it by its path"
                )

    def place(model: ModelCard) -> tuple[bool, float]:
        is_own = model.path.parent != BUNDLED
        return is_own, 0.0 if is_own else -(model.mean_ap or 0.0)

    return sorted(found.values(), key=place), problems


def list_models() -> list[ModelCard]:
    """All models that can be chosen by name: bundled ones, best first, then the user's own."""
    return _scan()[0]


def model_problems() -> list[str]:
    """Say, in one sentence each, which model files cannot be chosen by name, and why."""
    return _scan()[1]


def find_model(name: str | Path) -> ModelCard:
    """Find a model by its name or by the path of its weights.

    Raises
    ------
    ModelError
        If there is none; the message lists the known ones and says where to put a file.
    """
    text = str(name)
    if text.endswith(".safetensors"):
        return read_card(Path(os.path.expanduser(text)))
    models, problems = _scan()
    for model in models:
        if model.name == text:
            return model
    for problem in problems:
        if f"{text}.safetensors" in problem or f"{text}.yaml" in problem:
            raise ModelError("The model cannot be used", text, problem)
    known = ", ".join(m.name for m in models) or "none"
    path = Path(os.path.expanduser(text))
    if path.suffix == ".pt":
        raise ModelError(
            "A checkpoint of a training is not a model",
            text,
            "Choose the .safetensors file that the training wrote beside it",
        )
    if not text.strip() or path.suffix or path.name != text or path.exists():
        raise ModelError(
            "This is not a model",
            repr(text),
            f"Choose a .safetensors file with its card (.yaml) beside it, or one of: {known}",
        )
    raise ModelError(
        "There is no such model",
        repr(text),
        f"Known: {known}. To add one, put {text}.safetensors and {text}.yaml into {user_folder()}",
    )


def check_hash(model: ModelCard) -> None:
    """Compare the weights with the hash in the card.

    Raises
    ------
    ModelError
        If they differ: the file is damaged or not the one the card describes.
    """
    if file_hash(model.path) != model.sha256:
        raise ModelError(
            "The weights are damaged or belong to another card",
            str(model.path),
            "Copy the model again, both the .safetensors and the .yaml file",
        )


def load_network(model: ModelCard) -> nn.Module:
    """Build a model's network with its weights, in float32, ready to predict.

    Raises
    ------
    ModelError
        If the weights are damaged or do not fit the architecture.
    """
    from .models import MODELS

    module = MODELS.module(model.architecture)
    options = module.Options.parse(dict(model.architecture_options), source=f"card of {model.name}")
    network: nn.Module = module.build(options)
    for name, stated in (
        ("maps", model.map_names),
        ("multiple", model.multiple),
        ("fixed_tile", model.fixed_tile),
    ):
        built = getattr(network, "map_names" if name == "maps" else name, None)
        if built != stated:
            raise ModelError(
                f"The card of {model.name} does not fit its network",
                f"{model.path.with_suffix('.yaml')}: {name} is {stated}, the network's is {built}",
                "Use the card that came with the weights",
            )
    weights = load_weights(model)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise _misfit(model, error) from error
    return network.eval()


def load_weights(model: ModelCard) -> dict[str, Tensor]:
    """Read a model's weights, in float32.

    Raises
    ------
    ModelError
        If they are damaged or not those the card describes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_hash(model)
    try:
        return _as_float(load_file(model.path))
    except (SafetensorError, OSError) as error:
        raise _misfit(model, error) from error


def _misfit(model: ModelCard, error: Exception) -> ModelError:
    return ModelError(
        "The weights do not fit the architecture",
        f"{model.path} ({' '.join(str(error).split())[:300]})",
        "Use the card that came with them",
    )


def _write(data: bytes, file: IO[bytes]) -> None:
    file.write(data)


def _as_float(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}


def save_model(path: Path, weights: Mapping[str, Tensor], card: Mapping[str, Any]) -> ModelCard:
    """Write weights as float16 safetensors and the card beside them, each as a whole.

    One-dimensional parameters (normalisation, biases) keep float32: they are small, and variances
    can leave the range of float16.

    Parameters
    ----------
    path : Path
        Ends in ``.safetensors``.
    weights : mapping of Tensor
    card : mapping
        Its hash is filled in.
    """
    import torch
    from safetensors.torch import save

    from .files import write_whole

    packed = {
        k: (v.half() if v.dtype == torch.float32 and v.ndim > 1 else v).contiguous().cpu()
        for k, v in weights.items()
    }
    content = save(packed)
    complete = {**card, "sha256": hashlib.sha256(content).hexdigest()}
    text = yaml.safe_dump(complete, sort_keys=False, allow_unicode=True, width=96)
    for place, data in ((path, content), (path.with_suffix(".yaml"), text.encode())):
        write_whole(place, partial(_write, data))
    return read_card(path)
