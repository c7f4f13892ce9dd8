"""Keys that several docks want, in all orders of opening and closing."""

from __future__ import annotations

from itertools import permutations

import pytest
from napari.components import ViewerModel
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtWidgets import QTabWidget, QWidget

from napari_nucleiseg.gui.keys import shown, take_key

KEY = "Shift-N"


class Dock(QWidget):
    """A dock that remembers what its key did."""

    def __init__(self, viewer, pressed, name, *, has_work=True):
        super().__init__()
        self.name, self.has_work, self._pressed = name, has_work, pressed
        take_key(viewer, self, KEY, self.act, name, ready=self.is_ready)

    def act(self, name):
        self._pressed.append(name)

    def is_ready(self):
        return self.has_work


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


def press(viewer, pressed):
    """Who hears the key now; None where nobody does."""
    bound = viewer.keymap.get(coerce_keybinding(KEY))
    if bound is not None:
        bound(viewer)
    return pressed.pop() if pressed else None


def close(dock, qtbot):
    gone = []
    dock.destroyed.connect(lambda *_: gone.append(True))
    dock.deleteLater()
    qtbot.waitUntil(lambda: bool(gone))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("is_taken_before", [True, False])
def test_in_any_order_of_closing_the_latest_that_is_open_has_the_key(
    viewer, qtbot, count, is_taken_before
):
    pressed = []
    if is_taken_before:
        viewer.bind_key(KEY, lambda _: pressed.append("before"))
    nobody = "before" if is_taken_before else None
    for order in permutations(range(count)):
        docks = [Dock(viewer, pressed, number) for number in range(count)]
        assert press(viewer, pressed) == count - 1
        there = list(range(count))
        for number in order:
            close(docks[number], qtbot)
            there.remove(number)
            assert press(viewer, pressed) == (max(there) if there else nobody)
    assert (coerce_keybinding(KEY) in viewer.keymap) == is_taken_before


def test_opened_again_in_between_it_is_the_latest(viewer, qtbot):
    pressed = []
    first, second = (Dock(viewer, pressed, name) for name in "ab")
    close(first, qtbot)
    third = Dock(viewer, pressed, "c")
    close(second, qtbot)
    assert press(viewer, pressed) == "c"
    close(third, qtbot)
    assert press(viewer, pressed) is None


def test_the_one_that_is_seen_has_the_key_and_after_it_the_latest(viewer, qtbot):
    pressed = []
    tabs = QTabWidget()
    qtbot.addWidget(tabs)
    for name in "abc":
        tabs.addTab(Dock(viewer, pressed, name), name)
    # nobody sees any of them
    assert press(viewer, pressed) == "c"
    tabs.show()
    for at, name in enumerate("abc"):
        tabs.setCurrentIndex(at)
        assert press(viewer, pressed) == name


def test_one_that_has_nothing_to_do_leaves_the_key_to_others(viewer, qtbot):
    pressed = []
    viewer.bind_key(KEY, lambda _: pressed.append("before"))
    first, second = Dock(viewer, pressed, "a"), Dock(viewer, pressed, "b", has_work=False)
    assert press(viewer, pressed) == "a"
    second.show()
    assert press(viewer, pressed) == "a"
    second.has_work = True
    assert press(viewer, pressed) == "b"
    first.has_work = second.has_work = False
    assert press(viewer, pressed) == "before"
    for dock in (first, second):
        close(dock, qtbot)


def test_a_key_that_somebody_else_has_taken_meanwhile_stays_theirs(viewer, qtbot):
    pressed = []
    first = Dock(viewer, pressed, "a")
    viewer.bind_key(KEY, lambda _: pressed.append("theirs"), overwrite=True)
    close(first, qtbot)
    assert press(viewer, pressed) == "theirs"
    second = Dock(viewer, pressed, "b")
    assert press(viewer, pressed) == "b"
    close(second, qtbot)
    assert press(viewer, pressed) == "theirs"


def test_viewers_have_keys_of_their_own(viewer, qtbot):
    pressed, other = [], ViewerModel()
    first, second = Dock(viewer, pressed, "a"), Dock(other, pressed, "b")
    assert press(viewer, pressed) == "a"
    assert press(other, pressed) == "b"
    close(second, qtbot)
    assert press(other, pressed) is None
    assert press(viewer, pressed) == "a"
    close(first, qtbot)


def test_keys_are_written_as_people_read_them():
    assert [shown(key) for key in ("N", "Shift-N", "Ctrl-Z")] == ["N", "⇧N", "Ctrl+Z"]
