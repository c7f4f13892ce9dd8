"""What a format gives: a context in which a file is written, part by part."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from ..parts import Part

Add = Callable[[Part], None]
"""Writes the nuclei of a part."""

Writing = Callable[[Path, tuple[int, int], str], AbstractContextManager[Add]]
"""Called with the path to be, height and width of the label image, and the micrograph's file name;
when the context ends without an error, the file is complete and at its place."""
