"""Keys of a dock: bound to its viewer while it is open, and given back when it closes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

# as people read them
_SIGNS = {"Shift": "⇧"}


def shown(key: str) -> str:
    """A key as it is written beside an action: ``Shift-N`` is ``⇧N``."""
    *held, last = key.split("-")
    return "".join(_SIGNS.get(name, f"{name}+") for name in held) + last


class Keys:
    """Keys that work wherever the mouse is in napari's window.

    Parameters
    ----------
    viewer : Viewer
    actions : mapping of str to str
        Name of the action of each key.
    act : method
        Called with the name of the action; the keys do not keep its owner alive.
    """

    def __init__(self, viewer: Any, actions: Mapping[str, str], act: Callable[[str], None]) -> None:
        self._viewer = viewer
        self._before: dict[str, Any] = {}
        self._own: dict[str, Callable[[Any], None]] = {}
        method = weakref.WeakMethod(act)
        for key, name in actions.items():
            self._own[key] = _pressed(method, name)
            self._before[key] = viewer.bind_key(key, self._own[key], overwrite=True)

    def close(self) -> None:
        """Give them back."""
        for key, before in self._before.items():
            give_back(self._viewer, key, self._own[key], before)
        self._before = {}


def give_back(
    owner: Any, key: str, own: Callable[[Any], Any], before: Callable[[Any], Any] | None
) -> None:
    """Let a key do what it did before, unless somebody else has taken it meanwhile."""
    bound = owner.bind_key(key, None, overwrite=True)
    owner.bind_key(key, before if bound is own else bound, overwrite=True)


def _pressed(method: weakref.WeakMethod, name: str) -> Callable[[Any], None]:
    def press(_viewer: Any) -> None:
        act = method()
        if act is not None:
            act(name)

    return press
