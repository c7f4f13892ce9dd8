"""Settings classes as flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from napari_nucleiseg.config import Config, SegmentConfig, TrainConfig
from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.flags import (
    apply_assignments,
    flag_fields,
    flag_name,
    parse_flags,
    read_recipe,
    recipe_names,
    with_settings,
)


class Both(Config):
    """A switch, a choice of nothing, and a table."""

    fast: bool = Field(True, description="whether to hurry")
    share: float | None = Field(None, gt=0, lt=1, description="share of all")
    table: dict[str, Any] = Field(default_factory=dict, description="more")


def settings_of(config: type[Config], *words: str) -> dict[str, Any]:
    """Run a command with these flags and give the settings it gets."""
    app, seen = typer.Typer(), []

    @app.command()
    @with_settings(config)
    def command(name: str, settings: dict[str, Any]) -> None:
        seen.append((name, parse_flags(config, settings).model_dump(exclude_unset=True)))

    result = CliRunner().invoke(app, ["x", *words])
    assert result.exit_code == 0, result.output
    [(name, settings)] = seen
    assert name == "x"
    return settings


def test_only_what_the_user_sets_is_passed_on():
    assert settings_of(SegmentConfig) == {}
    assert settings_of(SegmentConfig, "--tile-px", "512", "--device", "cpu") == {
        "tile_px": 512,
        "device": "cpu",
    }


def test_a_value_equal_to_the_default_counts_as_set():
    assert settings_of(SegmentConfig, "--probability", "0.5") == {"probability": 0.5}


@pytest.mark.parametrize("config", [SegmentConfig, TrainConfig])
def test_every_default_can_be_given_as_a_flag(config):
    for name, field in flag_fields(config).items():
        if field.default is None:
            continue
        value = field.default
        words = [flag_name(name), str(value)]
        if isinstance(value, bool):
            words = [flag_name(name) if value else f"--no-{flag_name(name)[2:]}"]
        assert settings_of(config, *words) == {name: value}


def test_switches_have_an_off_side():
    assert settings_of(Both, "--no-fast") == {"fast": False}
    assert settings_of(Both, "--share", "0.25") == {"share": 0.25}


def test_tables_are_no_flags():
    assert list(flag_fields(Both)) == ["fast", "share"]
    assert set(TrainConfig.model_fields) - set(flag_fields(TrainConfig)) == {
        "architecture_options",
        "loss_options",
        "optimizer_options",
        "schedule_options",
        "augment",
    }


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_come_with_the_package_are_valid(name):
    TrainConfig.parse(read_recipe(name))


def test_a_recipe_can_be_a_file(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 3\naugment:\n  blur: 0\n")
    assert read_recipe(str(path)) == {"epochs": 3, "augment": {"blur": 0}}


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(SettingError, match=r"'nucleus'.*nuclei"):
        read_recipe("nucleus")


@pytest.mark.parametrize("text", ["- a list", "a: [", "just words"])
def test_a_file_that_is_no_recipe_is_named(tmp_path: Path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SettingError, match=r"bad\.yaml"):
        read_recipe(str(path))


def test_assignments_reach_into_tables_and_leave_the_recipe_alone():
    recipe = {"epochs": 3, "augment": {"blur": 0.5, "noise": 0.1}}
    values = apply_assignments(
        TrainConfig,
        recipe,
        ["augment.blur=0.2", "learning-rate=1e-4", "architecture_options.width=24", "minutes=null"],
    )
    assert values == {
        "epochs": 3,
        "augment": {"blur": 0.2, "noise": 0.1},
        "learning_rate": 1e-4,
        "architecture_options": {"width": 24},
        "minutes": None,
    }
    assert recipe == {"epochs": 3, "augment": {"blur": 0.5, "noise": 0.1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augment.blur", "name=value"),
        ("=3", "name=value"),
        ("epochs.inner=3", "inner settings"),
        ("epoch=3", "epoch.*Known: .*epochs"),
        ("augment.blur=[", "cannot be read"),
    ],
)
def test_assignments_that_make_no_sense_are_refused(text, message):
    with pytest.raises(SettingError, match=message):
        apply_assignments(TrainConfig, {"epochs": 2}, [text])
