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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"probability": 3}, r"probability = 3\. Allowed: a number, 0\.05 to 0\.95\."),
        ({"probability": "high"}, r"probability = 'high'\. Allowed: a number"),
        ({"probability": float("nan")}, "probability = nan"),
        ({"min_area_px": 2.5}, r"min_area_px = 2\.5\. Allowed: a whole number, at least 0\."),
        ({"device": "gpu"}, r"device = 'gpu'\. Allowed: auto or cpu or cuda or mps\."),
        ({"model": None}, r"model = None\. Allowed: a text\."),
        ({"probabilty": 0.5}, "Unknown setting: probabilty. Known: model, "),
    ],
)
def test_settings_that_are_made_in_python_are_refused_in_the_same_words(values, message):
    with pytest.raises(SettingError, match=message) as caught:
        SegmentConfig(**values)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augment": {"blurr": 1}}, r"Unknown setting: augment\.blurr\. Known: scale_low, "),
        ({"augment": {"blur": 7}}, r"augment\.blur = 7\. Allowed: a number, 0 to 1\."),
        ({"augment": 3}, "augment = 3"),
        ({"optimizer_options": 3}, r"optimizer_options = 3\. Allowed: a table of settings"),
        ({"explain": "perhaps"}, r"explain = 'perhaps'\. Allowed: true or false"),
    ],
)
def test_settings_inside_settings_are_named_with_the_way_to_them(values, message):
    for make in (TrainConfig.parse, lambda v: TrainConfig(**v)):
        with pytest.raises(SettingError, match=message):
            make(values)


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
