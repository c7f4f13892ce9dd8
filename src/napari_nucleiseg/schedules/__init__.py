"""Schedules, one to a file; ``SCHEDULES.names()`` lists them.

A file has ``Options``, its settings, and ``build(options)``, which gives a `Schedule`. A linear
warm-up may go before any of them; training does that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..registry import Registry

Schedule = Callable[[float, Sequence[float]], float]
"""Factor of the learning rate, from the share of the training done, 0..1, and the scores on
held-out micrographs so far. One that looks at the scores is in a file with ``SCORES = True``."""

SCHEDULES = Registry(__name__, "schedule")
