"""What the chosen model sees in an image: computed once for each plane and model, then kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image, Labels

from ..events import Event
from ..model_maps import MapsRead
from ..session import Session
from .bridge import fingerprint
from .layers import RESULT, kind_of, plane_of, read_layer
from .widgets import listen

# maps of this many planes stay in memory
MOST_KEPT = 4
# larger pictures, and those in files, are not looked through to tell whether they changed
MOST_PIXELS = 1 << 24
_Asked = tuple[tuple[Any, ...], "weakref.ref[Image]", list[Callable[[MapsRead], None]]]


class ModelView:
    """Maps of images, by what they were made of.

    Parameters
    ----------
    session : Session
    owner : QObject
        While it lives, answers are heard.
    """

    def __init__(self, session: Session, owner: Any) -> None:
        self._session = session
        self._kept: dict[tuple[Any, ...], MapsRead] = {}
        self._asked: _Asked | None = None
        self._turns: weakref.WeakKeyDictionary[Image, _Turn] = weakref.WeakKeyDictionary()
        listen(owner, [(session.event, self._on_event), (session.failed, self._on_failed)])

    @property
    def is_asked(self) -> bool:
        """Whether an answer is on its way."""
        return self._asked is not None

    def ask(
        self,
        image: Image,
        labels: Labels,
        point: tuple[int, ...],
        then: Callable[[MapsRead], None],
    ) -> bool:
        """Call ``then`` with the maps, at once where they are known.

        Parameters
        ----------
        image : Image
        labels : Labels
            Its nuclei: what they were made with tells channel and colours.
        point : tuple of int
            Position of the viewer's sliders.
        then : callable
            Called with `MapsRead`.

        Returns
        -------
        bool
            False where they have to be computed first.

        Raises
        ------
        NucleisegError
            If the image cannot be looked at.
        """
        kind = kind_of(image)
        plane = plane_of(image, point) if kind == "stack" else ()
        made = labels.metadata.get(RESULT, {}).get("config", {})
        chosen = {name: made[name] for name in ("channel", "colour") if name in made}
        config = self._session.config.model_copy(update=chosen)
        # a number of an image that is gone may be given to the next one, a reference never is
        pixels = self._turn(image), _pixels_of(image)
        key = (weakref.ref(image), *pixels, plane, config.model, *chosen.values())
        if key in self._kept:
            then(self._kept[key])
            return True
        if self._asked is not None and self._asked[0] == key:
            self._asked[2].append(then)
            return False
        self._asked = key, weakref.ref(image), [then]
        self._session.read_maps(read_layer(image, kind, plane), config)
        return self._asked is None

    def _turn(self, image: Image) -> int:
        if image not in self._turns:
            self._turns[image] = _Turn(image)
        return self._turns[image].number

    def _on_event(self, event: Event) -> None:
        if isinstance(event, MapsRead) and self._asked is not None:
            (key, image, waiting), self._asked = self._asked, None
            if image() is None:
                return
            while len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = event
            for then in waiting:
                then(event)

    def _on_failed(self, _: Exception) -> None:
        self._asked = None


class _Turn:
    """Counts how often an image got other data."""

    def __init__(self, image: Image) -> None:
        self.number = 0
        image.events.data.connect(self._on_data)

    def _on_data(self, _event: Any = None) -> None:
        self.number += 1


def _pixels_of(image: Image) -> int:
    """What tells other pixels in the same array from those looked at; of a lazy one, nothing."""
    data = image.data
    is_here = isinstance(data, np.ndarray) and data.size <= MOST_PIXELS
    return fingerprint(data) if is_here else 0
