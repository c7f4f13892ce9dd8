from __future__ import annotations

import pytest
from pydantic import ValidationError

from napari_nucleiseg.config import AugmentConfig, SegmentConfig, TrainConfig
from napari_nucleiseg.errors import SettingError


@pytest.mark.parametrize("config", [SegmentConfig, TrainConfig, AugmentConfig])
def test_every_setting_has_a_description_and_survives_json(config):
    assert all(field.description for field in config.model_fields.values())
    assert config.model_validate_json(config().model_dump_json()) == config()


def test_a_channel_may_be_a_number():
    assert SegmentConfig(channel=3).channel == "3"


def test_is_frozen():
    with pytest.raises(ValidationError):
        SegmentConfig().probability = 0.9


def test_unknown_setting_lists_the_known_ones():
    with pytest.raises(SettingError, match=r"'?probabilty.*Known: .*probability"):
        SegmentConfig.parse({"probabilty": 0.5})


def test_value_out_of_range_names_setting_and_value():
    with pytest.raises(SettingError, match="probability = 7"):
        SegmentConfig.parse({"probability": 7})


def test_reads_yaml(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("epochs: 3\naugment: {invert: 0.5}\n", encoding="utf-8")
    config = TrainConfig.from_yaml(path)
    assert (config.epochs, config.augment.invert) == (3, 0.5)


@pytest.mark.parametrize("text", ["", "just words", "epochs: [", "epochs: many"])
def test_useless_yaml_names_the_file(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match=r"recipe\.yaml"):
        TrainConfig.from_yaml(path)


def test_missing_yaml_names_the_file(tmp_path):
    with pytest.raises(SettingError, match=r"absent\.yaml"):
        TrainConfig.from_yaml(tmp_path / "absent.yaml")
