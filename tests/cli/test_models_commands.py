"""``nucleiseg models``."""

from __future__ import annotations

import re

from running import run

from napari_nucleiseg import store


def test_list():
    assert re.search(r"^nuclei +\S.*nuclei_unet", run("models", "list").stdout, re.MULTILINE)


def test_what_cannot_be_chosen_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path))
    (tmp_path / "mine.safetensors").write_bytes(b"no weights")
    (tmp_path / "mine.yaml").write_text("architecture: none\n")
    result = run("models", "list")
    assert result.stdout.startswith("nuclei ")
    assert "mine" not in result.stdout
    assert "mine.yaml" in result.stderr


def test_show():
    text = run("models", "show", "nuclei").stdout
    assert store.find_model("nuclei").sha256 in text
    assert "architecture: nuclei_unet" in text


def test_an_unknown_one_is_one_sentence():
    result = run("models", "show", "none", code=2)
    assert "Known: nuclei" in result.stderr
    assert len(result.stderr.splitlines()) == 1
