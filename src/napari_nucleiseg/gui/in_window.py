"""Learning on a thread of a process that has a window."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ..events import Event
from ..learning import Here


class InWindow(Here):
    """The window's own process; PyTorch is loaded into it without its compiler."""

    def run(self, function: Callable[..., Iterator[Event]], *args: Any) -> Iterator[Event]:
        """Run a generator."""
        load_torch()
        yield from super().run(function, *args)


def load_torch() -> None:
    """Load PyTorch without Triton, which training does not need.

    Triton and Mesa's software OpenGL bring a copy of LLVM each; where the window has loaded Mesa's,
    loading Triton ends the whole program.
    """
    if "triton" in sys.modules or "torch._dynamo" in sys.modules:
        return
    sys.modules["triton"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("torch._dynamo")
    finally:
        del sys.modules["triton"]
