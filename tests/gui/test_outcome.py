"""What a dock says about its work."""

from __future__ import annotations

import pytest
from napari.utils.theme import get_theme
from qtpy.QtGui import QGuiApplication

from napari_nucleiseg.errors import NucleisegError
from napari_nucleiseg.gui.outcome import STATES, Outcome


@pytest.fixture
def outcome(qtbot):
    widget = Outcome()
    qtbot.addWidget(widget)
    return widget


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_each_state_says_its_name_and_no_two_are_alike_but_running_and_done(outcome, theme):
    outcome.paint(get_theme(theme))
    looks = set()
    for state, name in STATES.items():
        outcome.say_state(state, "more")
        assert outcome.state.text() == f"{name} · more"
        looks.add((name, outcome.state.styleSheet()))
    assert len(looks) == len(STATES)
    assert len({style for _, style in looks}) == len(STATES) - 1


def test_lines_that_say_nothing_are_not_there(outcome):
    lines = (outcome.result, outcome.scores, outcome.notices, outcome.failure)
    assert all(line.isHidden() for line in lines)
    outcome.say_result("312 nuclei")
    outcome.say_scores("Dice 0.90")
    outcome.say("One.")
    outcome.say("One.")
    outcome.say("Two.")
    assert outcome.notices.text() == "One.\nTwo."
    assert [line.isHidden() for line in lines] == [False, False, False, True]
    outcome.say_scores("")
    assert outcome.scores.isHidden()
    outcome.fail(NucleisegError("Too dark"))
    assert not outcome.failure.isHidden()
    outcome.clear()
    assert all(line.isHidden() for line in lines)


def test_an_error_can_be_copied(outcome):
    outcome.fail(NucleisegError("Too dark", "a.png"))
    outcome.copy_error_button.click()
    assert QGuiApplication.clipboard().text().startswith("Too dark: a.png.\n\n")
