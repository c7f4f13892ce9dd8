"""Settings: one class is the form, the flags, the JSON beside a result, and the validation."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from .errors import SettingError, reason

Device = Literal["auto", "cpu", "cuda", "mps"]
DIAMETER = (
    r"^\s*(auto|none|(?P<number>\d*[1-9]\d*(\.\d*)?|\d*\.\d*[1-9]\d*)\s*(?P<unit>px|um|µm|μm)?)\s*$"
)
"""A diameter as people write it; zero is none."""
AXES = r"^\s*[TCZtcz]{0,3}[Yy][Xx]\s*$"
"""Axes as people write them."""


def value_type(field: FieldInfo) -> Any:
    """Type of a field's value where it has one, without the None that stands for "unset"."""
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        inner = [a for a in get_args(kind) if a is not type(None)]
        kind = inner[0] if len(inner) == 1 else None
    return kind


def range_of(field: FieldInfo) -> str:
    """Range of a number in words, "0.05 to 0.95" or "at least 1"; empty where all will do."""
    limits = {
        word: getattr(bound, sign)
        for bound in field.metadata
        for sign, word in (("ge", "least"), ("gt", "above"), ("le", "most"), ("lt", "below"))
        if getattr(bound, sign, None) is not None
    }
    if set(limits) == {"least", "most"}:
        return f"{limits['least']:g} to {limits['most']:g}"
    names = {"least": "at least", "above": "above", "most": "at most", "below": "below"}
    return ", ".join(f"{names[word]} {value:g}" for word, value in limits.items())


def allowed(field: FieldInfo) -> str:
    """What a field takes, in words: "a number, 0.05 to 0.95"; empty where that is hard to say."""
    kind = value_type(field)
    if get_origin(kind) is Literal:
        return " or ".join(str(choice) for choice in get_args(kind))
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    name = "a table of settings" if get_origin(kind) is dict else names.get(kind)
    return ", ".join(filter(None, (name, range_of(field)))) if name else ""


class Config(BaseModel):
    """Frozen settings that refuse what they do not know, in one sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    if not TYPE_CHECKING:  # the fields are the signature

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise _in_words(error, type(self)) from None

        # settings inside settings are checked without it, so that errors tell the way to them
        __init__.__pydantic_base_init__ = True

    @classmethod
    def parse(
        cls,
        values: dict[str, Any],
        source: str = "",
        spelled: Callable[[str, Any], str] | None = None,
    ) -> Any:
        """Make one from plain values.

        Parameters
        ----------
        values : dict
        source : str
            The file they are from, for messages.
        spelled : callable, optional
            How name and value are written where they are from, for messages.

        Raises
        ------
        SettingError
            In one sentence: which setting, which value, what is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _in_words(error, cls, source, spelled) from None

    @classmethod
    def from_yaml(cls, path: Path) -> Any:
        """Read one from a YAML file; see `parse`."""
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise SettingError(
                "The settings file cannot be read",
                f"{path} ({reason(error)})",
                "Check the path and the YAML",
            ) from error
        if not isinstance(values, dict):
            raise SettingError("The settings file holds no settings", str(path))
        return cls.parse(values, source=str(path))


def _in_words(
    error: ValidationError,
    config: type[Config],
    source: str = "",
    spelled: Callable[[str, Any], str] | None = None,
) -> SettingError:
    """Say of the first thing that is wrong what it is and what is allowed."""
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    name, value = ".".join(place), first["input"]
    inside = f" in {source}" if source else ""
    owner: Any = config
    field: FieldInfo | None = None
    for part in place:
        field = owner.model_fields.get(part) if hasattr(owner, "model_fields") else None
        if field is None:
            break
        owner = value_type(field)
    if first["type"] == "extra_forbidden" and hasattr(owner, "model_fields"):
        return SettingError(
            f"Unknown setting{inside}", name, f"Known: {', '.join(owner.model_fields)}"
        )
    if first["type"] == "missing":
        return SettingError(f"A setting is missing{inside}", name)
    if first["type"] == "value_error":
        # of a rule that several settings have to keep together
        return SettingError(f"Settings do not go together{inside}", str(first["ctx"]["error"]))
    if not name or hasattr(owner, "model_fields"):
        return SettingError(
            f"Settings are written as name and value{inside}",
            f"{name} = {value!r}" if name else repr(value),
        )
    written = spelled(name, value) if spelled else f"{name} = {value!r}"
    known = allowed(field) if field else ""
    if field and first["type"] == "string_pattern_mismatch":
        known = field.description or known
    # the sentence of pydantic is better than none
    remedy = f"Allowed: {known}" if known else first["msg"]
    return SettingError(f"A setting has a value that is not allowed{inside}", written, remedy)


_LOWER = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class JoinConfig(Config):
    """How nuclei of successive planes are joined."""

    stack: Annotated[Literal["none", "z", "t"], _LOWER] = Field(
        "none",
        description="take all files for focal planes (z) or time points (t) of one stack; if no "
        "plane is chosen, their nuclei are joined",
    )
    join: Annotated[Literal["none", "z", "t"], _LOWER] = Field(
        "none",
        description="segment all focal planes (z) or time points (t) and join their nuclei, to 3-D "
        "labels or to tracks",
    )
    join_overlap: float = Field(
        0.25,
        gt=0,
        le=1,
        title="Overlap of planes",
        description="least IoU of a nucleus in two planes to be the same",
    )
    join_length: int = Field(
        2,
        ge=1,
        le=10_000,
        title="Fewest planes",
        description="planes that a nucleus must be seen in; others are removed",
    )
    join_gap: int = Field(
        1,
        ge=0,
        le=100,
        title="Longest gap",
        description="planes in a row that a nucleus may be missed in",
    )


class SegmentConfig(Config):
    """How to segment a micrograph; GUI, library and shell share its defaults."""

    model: str = Field(
        "nuclei", description="name of an installed model, or path of a .safetensors file"
    )
    channel: str | None = Field(
        None,
        coerce_numbers_to_str=True,
        description="channel with the nuclei, by name or number from 1; unset: proposed",
    )
    colour: Literal["auto", "colour", "channels"] = Field(
        "auto", description="whether three components are one colour picture or three channels"
    )
    merge: Literal["none", "max", "mean"] = Field(
        "none", description="put channels together: all, or those that channel names with commas"
    )
    series: str | None = Field(
        None,
        coerce_numbers_to_str=True,
        description="which picture of a file with several, by name or number from 1",
    )
    axes: str | None = Field(
        None,
        pattern=AXES,
        description="axes of a file that does not name them all: ZYX (focal planes), TYX (time "
        "points), CYX (channels), or more, as TCYX",
    )
    pixel_size_um: float | None = Field(
        None,
        gt=0,
        le=1000,
        title="Pixel size",
        description="height and width of a pixel where the file does not tell (µm)",
    )
    z: str | None = Field(
        None,
        coerce_numbers_to_str=True,
        description="focal plane of a stack: number from 1, middle, or max or mean of all",
    )
    t: str | None = Field(
        None,
        coerce_numbers_to_str=True,
        description="time point of a series: number from 1, middle, or max or mean of all",
    )
    device: Device = Field("auto", description="where the network runs")
    engine: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="what runs the network on the CPU"
    )
    nucleus_diameter: str = Field(
        "auto",
        pattern=DIAMETER,
        coerce_numbers_to_str=True,
        title="Nucleus size",
        description="typical diameter as auto, none (never resample), 21 px or 6.8 um; the image "
        "is resampled for the network where nuclei are far smaller or larger than it knows",
    )
    probability: float = Field(
        0.5, ge=0.05, le=0.95, description="how sure a pixel must be to count as nucleus"
    )
    seed_sensitivity: float = Field(
        0.5, ge=0.0, le=1.0, description="higher splits touching nuclei more readily"
    )
    min_area_px: int = Field(
        20, ge=0, title="Smallest nucleus", description="pieces of a smaller area are removed (px²)"
    )
    tile_px: int = Field(1024, ge=256, le=8192, description="side of a tile (px)")
    overlap_px: int = Field(160, ge=64, le=1024, description="pixels shared by neighbouring tiles")
    batch_size: int = Field(
        1, ge=1, le=64, description="tiles that go through the network together"
    )


class AugmentConfig(Config):
    """How training patches are varied; 0 switches a variation off."""

    scale_low: float = Field(0.6, gt=0, le=1, description="smallest magnification")
    scale_high: float = Field(1.6, ge=1, description="largest magnification")
    stretch: float = Field(0.1, ge=0, lt=1, description="difference in magnification of y and x")
    rotate: float = Field(0.3, ge=0, le=1, description="share of patches turned by a free angle")
    gamma: float = Field(0.35, ge=0, description="deviation of the logarithm of gamma")
    gain: float = Field(0.25, ge=0, description="deviation of the logarithm of the contrast")
    offset: float = Field(0.08, ge=0, description="deviation of the brightness")
    invert: float = Field(0.1, ge=0, le=1, description="share of patches with inverted intensities")
    colour: float = Field(0.15, ge=0, description="strength of stain and colour changes")
    to_grey: float = Field(0.15, ge=0, le=1, description="share of colour patches made grey")
    tint: float = Field(0.05, ge=0, le=1, description="share of grey patches given a colour")
    blur: float = Field(0.15, ge=0, le=1, description="share of blurred patches")
    noise: float = Field(0.25, ge=0, le=1, description="share of patches with added noise")
    illumination: float = Field(0.15, ge=0, le=1, description="share with uneven illumination")
    dim: float = Field(0, ge=0, le=1, description="share of patches with some nuclei made dim")
    empty: float = Field(0.02, ge=0, le=1, description="share of patches that hold noise only")

    def weakened(self, strength: float) -> AugmentConfig:
        """Scale every variation of nuclei by a factor, 0 (none) to 1 (all of it)."""
        if strength == 1:
            return self
        scales = {
            "scale_low": self.scale_low**strength,
            "scale_high": self.scale_high**strength,
            "empty": self.empty,
        }
        others = {k: v * strength for k, v in self.model_dump().items() if k not in scales}
        return AugmentConfig(**scales, **others)


class TrainConfig(Config):
    """How to train or fine-tune one model."""

    architecture: str = Field("nuclei_unet", description="network, a name in models/")
    architecture_options: dict[str, Any] = Field(
        default_factory=dict, description="settings of the network"
    )
    start: str | None = Field(
        None, description="model whose weights to begin with, a name or a .safetensors file"
    )
    optimizer: str = Field("adamw", description="optimizer, a name in optimizers/")
    optimizer_options: dict[str, Any] = Field(
        default_factory=dict, description="settings of the optimizer"
    )
    loss: str | None = Field(
        None, description="loss of a semantic network, a name in losses/; unset: the network's own"
    )
    loss_options: dict[str, Any] = Field(default_factory=dict, description="settings of the loss")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="step size of the optimizer at its peak; unset: what its source advises",
    )
    weight_decay: float | None = Field(
        None,
        ge=0,
        description="pull of the weights towards zero; unset: what its source advises",
    )
    schedule: str = Field(
        "cosine", description="how the learning rate changes, a name in schedules/"
    )
    schedule_options: dict[str, Any] = Field(
        default_factory=dict, description="settings of the schedule"
    )
    warmup: float = Field(0.02, ge=0, lt=1, description="share of the training that warms up")
    epochs: int = Field(20, ge=1, le=100_000, description="passes of steps_per_epoch batches")
    minutes: float | None = Field(
        None, gt=0, description="stop after this time instead of a number of epochs"
    )
    steps_per_epoch: int = Field(100, ge=1, description="batches in an epoch")
    batch_size: int = Field(4, ge=1, le=256, description="patches in a batch")
    accumulate: int = Field(1, ge=1, le=1024, description="batches that make one step together")
    patch_px: int = Field(256, ge=32, le=2048, description="side of a training patch (px)")
    skip_empty: bool = Field(False, description="draw patches without a nucleus again")
    gradient_norm: float = Field(5.0, gt=0, description="longer gradients are shortened to this")
    average: Literal["ema", "swa"] = Field(
        "ema", description="weights to keep: moving average, or mean over the last epochs"
    )
    ema_decay: float = Field(0.999, ge=0, lt=1, description="memory of the moving average")
    swa_from: float = Field(
        0.75, ge=0, lt=1, description="share of the training after which swa averages"
    )
    held_out: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of the training micrographs kept to choose the best epoch",
    )
    validate_every: int = Field(5, ge=1, description="epochs between two scores on held-out data")
    explain: bool = Field(False, description="record each epoch what every layer has learned")
    augment: AugmentConfig = Field(AugmentConfig(), description="variation of the patches")
    calm: float = Field(
        0.0, ge=0, le=1, description="share of the training, at its end, in which variation fades"
    )
    calm_to: float = Field(
        0.25, ge=0, le=1, description="what is left of the variation at the very end"
    )
    frozen: float = Field(
        0.0, ge=0, lt=1, description="share of the layers, from the first on, that learn nothing"
    )
    keep_norms: bool = Field(
        False, description="leave the running means of batch normalisations as they are"
    )
    seed: int = Field(0, ge=0, description="same seed, same data, same machine: same weights")
    device: Device = Field("auto", description="where the network trains")
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves the choice to PyTorch")
    amp: bool = Field(True, description="mixed precision where the hardware has it")


# how long a fine-tuning takes on a laptop's CPU, comparing included
MINUTES = {"quick": 1.0, "normal": 5.0, "thorough": 20.0}


class FinetuneConfig(Config):
    """How to make a model better on corrected micrographs."""

    model: str = Field(
        "nuclei", description="model to begin with, a name or the path of a .safetensors file"
    )
    name: str | None = Field(
        None,
        pattern=r"^[\w][\w .+-]*$",
        description="name of the new model; unset: the old one's with -tuned",
    )
    length: Literal["quick", "normal", "thorough"] = Field(
        "quick", description="about 1, 5 or 20 minutes on a laptop's CPU"
    )
    minutes: float | None = Field(None, gt=0, description="time for all of it instead of length")
    may_forget: Literal["nothing", "a little", "anything"] = Field(
        "nothing", description="how much of what the old model can do the new one may unlearn"
    )
    steps: int | None = Field(
        None, ge=1, le=1_000_000, description="batches to learn from, instead of a time"
    )
    optimizer: str = Field("adamw", description="optimizer, a name in optimizers/")
    optimizer_options: dict[str, Any] = Field(
        default_factory=dict, description="settings of the optimizer"
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="step size at its peak; unset: found by a short test where there is time for "
        "it, else a share of what the optimizer's source advises",
    )
    schedule: str | None = Field(
        None,
        description="how the learning rate changes, a name in schedules/; unset: one that fits",
    )
    loss: str | None = Field(
        None, description="loss of a semantic network, a name in losses/; unset: the network's own"
    )
    frozen: float = Field(
        0.0, ge=0, lt=1, description="share of the layers, from the first on, that learn nothing"
    )
    augment: AugmentConfig = Field(
        AugmentConfig(scale_low=0.8, scale_high=1.25, invert=0.0, empty=0.0, tint=0.0),
        description="variation of the patches",
    )
    batch_size: int = Field(4, ge=1, le=256, description="patches in a batch")
    patch_px: int | None = Field(
        None, ge=32, le=2048, description="side of a patch (px); unset: what the model takes"
    )
    seed: int = Field(0, ge=0, description="same seed, same data, same machine: same weights")
    device: Device = Field("auto", description="where the network learns")
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves the choice to PyTorch")
