"""What a study compares: networks x optimizers x schedules x seeds, and what they share."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from ..assembly import resolve_settings
from ..config import Config, TrainConfig
from ..errors import SettingError

STUDIES = Path(__file__).parent / "studies"
AXES = ("network", "optimizer", "schedule")

Settings = dict[str, Any]


class Adjustment(Config):
    """Settings of some runs only, with the reason why they differ."""

    network: str | None = Field(None, description="only runs of this network")
    optimizer: str | None = Field(None, description="only runs with this optimizer")
    schedule: str | None = Field(None, description="only runs with this schedule")
    settings: Settings = Field(description="settings of these runs")
    why: str = Field(min_length=1, description="reason, which stands below the tables")

    def is_for(self, variant: dict[str, str]) -> bool:
        """Whether a run of these names is meant."""
        return all(getattr(self, axis) in (None, variant[axis]) for axis in AXES)


class Reference(Config):
    """A result that others published, to stand beside a study's own."""

    network: str
    optimizer: str
    schedule: str
    dice: float = Field(ge=0, le=1)
    iou: float = Field(ge=0, le=1)


class StudyConfig(Config):
    """What a study compares and how; a YAML file holds one."""

    title: str = Field(description="one line for tables and figures")
    base: Settings = Field(default_factory=dict, description="settings of train that all share")
    networks: dict[str, Settings] = Field(min_length=1, description="by name, settings of train")
    optimizers: dict[str, Settings] = Field(min_length=1, description="by name, settings of train")
    schedules: dict[str, Settings] = Field(min_length=1, description="by name, settings of train")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="each run once per seed")
    adjustments: tuple[Adjustment, ...] = Field((), description="settings of some runs only")
    test_split: Annotated[str, StringConstraints(to_lower=True)] = Field(
        "val", description="split of index.csv that tests the models"
    )
    train_sample: int = Field(
        40, ge=0, description="training micrographs scored, too, for the generalisation gap"
    )
    panels: int = Field(4, ge=0, le=20, description="micrographs shown with all results")
    source: str | None = Field(None, description="where the reference results were published")
    references: tuple[Reference, ...] = Field((), description="published results")

    @model_validator(mode="after")
    def _names_are_file_names(self) -> StudyConfig:
        for axis in AXES:
            for name in getattr(self, f"{axis}s"):
                if not name.replace("-", "").replace("_", "").isalnum():
                    raise ValueError(f"the name {name!r} must be letters, digits, - and _")
        return self

    @model_validator(mode="after")
    def _tests_on_others(self) -> StudyConfig:
        if self.test_split == "train":
            raise ValueError("the split train trains the models; test_split must be another one")
        return self


@dataclass(frozen=True)
class Run:
    """One training of a study.

    Attributes
    ----------
    name : str
        Its folder below the study's.
    network, optimizer, schedule : str
        Names in the study.
    seed : int
    config : TrainConfig
    test_split : str
    train_sample : int
    """

    name: str
    network: str
    optimizer: str
    schedule: str
    seed: int
    config: TrainConfig
    test_split: str
    train_sample: int

    @property
    def variant(self) -> str:
        """What is compared: the run but for its seed."""
        return f"{self.network}-{self.optimizer}-{self.schedule}"

    def labels(self) -> dict[str, Any]:
        """Columns by which every table tells runs apart."""
        return {
            "run": self.name,
            "network": self.network,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "seed": self.seed,
        }


def study_names() -> list[str]:
    """Names of the studies that come with the package."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def read_study(name: str) -> StudyConfig:
    """Read a study: one that comes with the package, or a YAML file.

    Raises
    ------
    SettingError
        If there is none, or if it holds something unknown.
    """
    path = STUDIES / f"{name}.yaml" if name in study_names() else Path(os.path.expanduser(name))
    if not path.is_file():
        raise SettingError(
            "There is no such study",
            repr(name),
            f"Known: {', '.join(study_names())}; or give the path of a YAML file",
        )
    study: StudyConfig = StudyConfig.from_yaml(path)
    return study


def plan(study: StudyConfig) -> list[Run]:
    """All runs of a study, checked before the first of them begins.

    Raises
    ------
    SettingError
        If the settings of a run cannot work; the message names the run.
    """
    runs = []
    # an unfinished study has compared all variants before it repeats one
    for seed, network, optimizer, schedule in itertools.product(
        study.seeds, study.networks, study.optimizers, study.schedules
    ):
        chosen = {"network": network, "optimizer": optimizer, "schedule": schedule}
        layers = [
            study.base,
            study.networks[network],
            study.optimizers[optimizer],
            study.schedules[schedule],
            *(a.settings for a in study.adjustments if a.is_for(chosen)),
            {"seed": seed},
        ]
        name = f"{network}-{optimizer}-{schedule}-{seed}"
        try:
            merged: Settings = {}
            for layer in layers:
                merged = _merged(merged, layer)
            config = resolve_settings(TrainConfig.parse(merged))
        except SettingError as error:
            raise SettingError(f"The run {name} cannot begin", str(error)) from error
        if config.minutes is not None:
            raise SettingError(
                f"The run {name} would end by the clock, which differs from computer to computer",
                f"minutes = {config.minutes:g}",
                "Give epochs instead",
            )
        if not config.held_out:
            raise SettingError(
                f"The run {name} would hold out nothing to choose its best epoch by",
                "held_out = 0",
                "Hold some out, for example 0.05",
            )
        runs.append(
            Run(
                name, network, optimizer, schedule, seed, config, study.test_split,
                study.train_sample,
            )
        )  # fmt: skip
    names = [run.name for run in runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingError(
            "Two runs of the study have one name",
            twice[0],
            "Give each network, optimizer and schedule a name of its own, and each seed once",
        )
    return runs


def _merged(one: Settings, other: Settings) -> Settings:
    """The other's settings win, inside tables one by one."""
    both = dict(one)
    for name, value in other.items():
        below = both.get(name)
        is_table = isinstance(below, dict) and isinstance(value, dict)
        both[name] = _merged(below, value) if is_table else value  # type: ignore[arg-type]
    return both
