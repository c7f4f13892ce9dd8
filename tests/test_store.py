from __future__ import annotations

import shutil

import pytest
import torch
import yaml

from napari_nucleiseg import SegmentConfig, segment_now
from napari_nucleiseg.errors import ModelError
from napari_nucleiseg.metrics.dice import dice
from napari_nucleiseg.store import (
    BUNDLED,
    check_hash,
    file_hash,
    find_model,
    list_models,
    load_network,
    model_problems,
    read_card,
    save_model,
    user_folder,
)


@pytest.fixture
def copied(tmp_path):
    """A copy of the bundled model that may be damaged."""
    for suffix in (".safetensors", ".yaml"):
        shutil.copy(BUNDLED / f"nuclei{suffix}", tmp_path / f"copy{suffix}")
    return tmp_path / "copy.safetensors"


def test_the_bundled_model_is_small_half_precision_and_as_its_card_says():
    model = find_model("nuclei")
    assert model.path.stat().st_size <= 6_000_000
    assert file_hash(model.path) == model.sha256
    network = load_network(model)
    assert not network.training
    assert sum(p.numel() for p in network.parameters()) == model.card["parameters"]


def test_the_bundled_card_names_data_licence_split_command_and_scores():
    card = find_model("nuclei").card
    assert card["data"]["licence"].startswith("CC0")
    assert "train" in card["data"]["split"]
    assert "nucleiseg train --recipe nuclei" in card["command"]
    assert {"all", "fluorescence", "stained", "brightfield"} <= card["scores"].keys()
    assert card["training"]["minutes"] > 0
    assert card["training"]["versions"]["torch"]


def test_bundled_models_are_the_study_and_mask_rcnn_best_first_and_small_together():
    models = list_models()
    assert {m.name for m in models} == {
        "nuclei",
        "mask-rcnn",
        *(f"{n}-{o}{s}" for n in ("unet", "unetr") for o in ("sgd", "adam") for s in ("", "-poly")),
    }
    scores = [m.mean_ap for m in models]
    assert scores == sorted(scores, reverse=True)
    assert all(m.speed > 0 and m.card["data"]["licence"].startswith("CC0") for m in models)
    assert sum(m.path.stat().st_size for m in models) <= 60_000_000


@pytest.mark.parametrize("name", [p.stem for p in sorted(BUNDLED.glob("*.yaml"))])
def test_each_bundled_model_finds_most_nuclei_of_a_sample(name, fluorescence):
    micrograph, truth = fluorescence
    found = segment_now(micrograph, SegmentConfig(model=name, device="cpu", engine="torch")).labels
    assert dice(truth, found) > 0.8


def test_own_models_are_listed_after_the_bundled_one(copied, monkeypatch):
    card = yaml.safe_load(copied.with_suffix(".yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump({**card, "name": "mine"})
    copied.with_suffix(".yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("NUCLEISEG_MODELS", str(copied.parent))
    assert next(iter(list_models())).name == "nuclei"
    assert find_model("mine").path == copied


def test_an_unknown_model_lists_the_known_ones_and_says_where_to_put_the_file():
    with pytest.raises(ModelError) as error:
        find_model("h_and_e")
    assert "nuclei" in str(error.value)
    assert "h_and_e.safetensors" in str(error.value)
    assert str(user_folder()) in str(error.value)


def test_damaged_weights_are_noticed(copied):
    content = bytearray(copied.read_bytes())
    content[-100] ^= 255
    copied.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load_network(find_model(copied))


@pytest.mark.parametrize("missing", [".safetensors", ".yaml"])
def test_half_a_model_is_named(copied, missing):
    copied.with_suffix(missing).unlink()
    with pytest.raises(ModelError, match=f"copy{missing}"):
        find_model(copied)


@pytest.mark.parametrize("text", ["", "just words", "{", "name: x\n"])
def test_a_useless_card_is_named(copied, text):
    copied.with_suffix(".yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"copy\.yaml"):
        find_model(copied)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("multiple", "many"),
        ("multiple", 0),
        ("maps", 3),
        ("maps", []),
        ("architecture", "os.path"),
        ("sha256", "../../evil"),
        ("normalise", {"low": 99}),
        ("normalise", None),
        ("name", ""),
    ],
)
def test_a_wrong_card_names_the_field_and_leaves_the_other_models_alone(
    copied, monkeypatch, field, value
):
    card = yaml.safe_load(copied.with_suffix(".yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump({**card, field: value})
    copied.with_suffix(".yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=field):
        find_model(copied)
    monkeypatch.setenv("NUCLEISEG_MODELS", str(copied.parent))
    assert sorted(m.name for m in list_models()) == sorted(p.stem for p in BUNDLED.glob("*.yaml"))
    (problem,) = model_problems()
    assert "copy.yaml" in problem
    with pytest.raises(ModelError, match=field):
        find_model("copy")


def test_a_name_that_is_taken_is_said(copied, monkeypatch):
    monkeypatch.setenv("NUCLEISEG_MODELS", str(copied.parent))
    (problem,) = model_problems()
    assert "copy.safetensors is not listed" in problem
    assert find_model("nuclei").path.parent == BUNDLED


def test_weights_of_another_size_do_not_load(copied):
    card = yaml.safe_load(copied.with_suffix(".yaml").read_text(encoding="utf-8"))
    card["architecture_options"] = {"widths": [16, 16]}
    copied.with_suffix(".yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    with pytest.raises(ModelError, match=r"does not fit.*multiple is 32"):
        load_network(find_model(copied))


def test_saved_weights_are_half_precision_where_that_is_safe(tmp_path):
    weights = {"w": torch.rand(3, 4, dtype=torch.float32), "variance": torch.tensor([1e6])}
    card = {"architecture": "nuclei_unet", "normalise": {}, "maps": ["x"], "multiple": 1}
    model = save_model(tmp_path / "m.safetensors", weights, card)
    from safetensors.torch import load_file

    kept = load_file(model.path)
    assert kept["w"].dtype == torch.float16
    assert kept["variance"].item() == 1e6
    check_hash(model)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.tif", r"This is not a model: 'x\.tif'\. Choose a \.safetensors file .* one of: nuclei"),
        ("", "This is not a model: ''"),
        ("folder/x", "This is not a model"),
        ("run/last.pt", r"checkpoint .* is not a model: run/last\.pt\. Choose the \.safetensors"),
    ],
)
def test_what_cannot_be_the_name_of_a_model_is_not_taken_for_one(name, words):
    with pytest.raises(ModelError, match=words) as caught:
        find_model(name)
    assert ".tif.safetensors" not in str(caught.value)


def test_a_card_that_is_no_yaml_is_told_by_its_line(copied):
    copied.with_suffix(".yaml").write_text("a: 1\nb: [c\nd: :")
    with pytest.raises(ModelError, match=r"cannot be read: .*\(its line 3 is not understood\)"):
        read_card(copied)
