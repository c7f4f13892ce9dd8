"""The card of a model as a biologist reads it, whatever somebody wrote into it."""

from __future__ import annotations

from dataclasses import replace
from html import escape

import pytest

from napari_nucleiseg.gui.model_card import as_html, tooltip
from napari_nucleiseg.store import find_model


@pytest.fixture
def model():
    return find_model("nuclei")


def test_what_it_is_for_and_how_well_it_does_come_before_the_file(model):
    html = as_html(model)
    parts = [
        model.card["description"],
        "How well it does",
        f"{model.card['scores']['all']['dice']:.2f}",
        model.card["scores"]["split"],
        "What it was trained on",
        "CC0-1.0",
        "The whole card",
        "sha256: ",
    ]
    places = [html.index(escape(part)) for part in parts]
    assert places == sorted(places)


def test_the_tooltip_says_what_the_score_was_measured_on(model):
    assert "mean over IoU 0.5 to 0.95" in tooltip(model)
    assert model.card["scores"]["split"] in tooltip(model)
    assert tooltip(replace(model, card={})) == model.title


@pytest.mark.parametrize("useless", [None, 3, "good", [], {}, {"all": 3}, {"all": {"dice": "?"}}])
@pytest.mark.parametrize("part", ["scores", "data", "description", "licence"])
def test_odd_cards_can_be_read(model, part, useless):
    odd = replace(model, card={**model.card, part: useless})
    assert "The whole card" in as_html(odd)
    assert tooltip(odd).startswith(model.title)


def test_what_a_card_says_is_text_and_no_markup(model):
    odd = replace(model, card={"description": "<b>a & b</b>", "scores": {"<i>": {"dice": 0.5}}})
    html = as_html(odd)
    assert "<b>" not in html
    assert "<i>" not in html
    assert "&lt;b&gt;a &amp; b" in html
