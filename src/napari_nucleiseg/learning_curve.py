"""The curves of one training, step by step, from its events."""

from __future__ import annotations

from .events import BatchDone, EpochDone, Event

# share of the running mean that a new batch is
_NEW = 0.15


class LearningCurve:
    """Hears the events of one training.

    Attributes
    ----------
    steps : list of int
        Steps that were learned.
    losses : list of float
        Running mean of the loss at each.
    epochs : list of (int, dict)
        After how many steps held-out nuclei were looked at, and the scores on them.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.epochs: list[tuple[int, dict[str, float]]] = []

    def hear(self, event: Event) -> None:
        """Take an event into account."""
        if isinstance(event, BatchDone):
            if self.steps and event.step <= self.steps[-1]:
                # another training, of the cross-validation
                self.steps, self.losses, self.epochs = [], [], []
            before = self.losses[-1] if self.losses else event.loss
            self.steps.append(event.step)
            self.losses.append(before + _NEW * (event.loss - before))
        elif isinstance(event, EpochDone) and event.scores and self.steps:
            self.epochs.append((self.steps[-1], dict(event.scores)))

    @property
    def best_step(self) -> int | None:
        """After how many steps the score on held-out nuclei was highest."""
        if not self.epochs:
            return None
        # of equal ones the last, as in the training
        return max(self.epochs, key=lambda e: (e[1]["ap"], e[0]))[0]
