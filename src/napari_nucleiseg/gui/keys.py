"""Keys of docks, several of which may want the same one.

Of those that are open, the one that is seen has the key; of several that are seen, or of several
that are not, the one opened last. What the key did before any was opened, it does after the last is
closed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import isgenerator
from typing import Any

from qtpy.QtWidgets import QWidget

# as people read them
_SIGNS = {"Shift": "⇧"}


def shown(key: str) -> str:
    """A key as it is written beside an action: ``Shift-N`` is ``⇧N``."""
    *held, last = key.split("-")
    return "".join(_SIGNS.get(name, f"{name}+") for name in held) + last


@dataclass(eq=False)
class _Owner:
    """A widget, what the key does in it, and whether there is anything to do."""

    widget: weakref.ref[QWidget]
    act: weakref.WeakMethod
    args: tuple[Any, ...]
    ready: weakref.WeakMethod | None

    def is_ready(self) -> bool:
        if self.widget() is None or self.act() is None:
            return False
        ready = None if self.ready is None else self.ready()
        return self.ready is None or (ready is not None and bool(ready()))

    def is_seen(self) -> bool:
        widget = self.widget()
        return widget is not None and widget.isVisible()


class _Key:
    """One key of one viewer."""

    def __init__(self) -> None:
        self.before: Any = None
        # the one opened last is the last
        self.owners: list[_Owner] = []

        def press(viewer: Any) -> None:
            self._press(viewer)

        # napari wants a function
        self.bound = press

    def _press(self, viewer: Any) -> None:
        ready = [owner for owner in self.owners if owner.is_ready()]
        for owner in [o for o in ready if o.is_seen()][-1:] or ready[-1:]:
            owner.act()(*owner.args)
            return
        if callable(self.before):
            held = self.before(viewer)
            if isgenerator(held):
                next(held, None)


_KEYS: weakref.WeakKeyDictionary[Any, dict[str, _Key]] = weakref.WeakKeyDictionary()


def take_key(
    viewer: Any,
    widget: QWidget,
    key: str,
    act: Callable[..., Any],
    *args: Any,
    ready: Callable[[], bool] | None = None,
) -> None:
    """Let a key do something wherever the mouse is in napari's window, until Qt deletes a widget.

    Parameters
    ----------
    viewer : Viewer
        The real one, not a proxy.
    widget : QWidget
    key : str
        In napari's words: "N", "Shift-N".
    act : method
        What it does; does not keep its object alive.
    *args
        What it is called with.
    ready : method, optional
        Whether there is anything to do now; else the key is another's.
    """
    taken = _KEYS.setdefault(viewer, {}).setdefault(key, _Key())
    bound = viewer.bind_key(key, taken.bound, overwrite=True)
    if bound is not taken.bound:
        taken.before = bound
    asks = None if ready is None else weakref.WeakMethod(ready)
    owner = _Owner(weakref.ref(widget), weakref.WeakMethod(act), args, asks)
    taken.owners.append(owner)
    widget.destroyed.connect(partial(_leave, weakref.ref(viewer), key, owner))


def _leave(alive: weakref.ref[Any], key: str, owner: _Owner, *_: Any) -> None:
    """Leave a key to the others; after the last one it does again what it did before."""
    viewer = alive()
    if viewer is None:
        return
    taken = _KEYS[viewer][key]
    taken.owners.remove(owner)
    if not taken.owners:
        bound = viewer.bind_key(key, None, overwrite=True)
        # somebody else may have taken it meanwhile
        viewer.bind_key(key, taken.before if bound is taken.bound else bound, overwrite=True)
        del _KEYS[viewer][key]


def give_back(
    owner: Any, key: str, own: Callable[[Any], Any], before: Callable[[Any], Any] | None
) -> None:
    """Let a key do what it did before, unless somebody else has taken it meanwhile."""
    bound = owner.bind_key(key, None, overwrite=True)
    owner.bind_key(key, before if bound is own else bound, overwrite=True)
