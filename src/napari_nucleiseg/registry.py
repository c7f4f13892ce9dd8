"""Names for things that live one to a file: adding one is adding one file."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import SettingError


@cache
def _from_outside(group: str) -> dict[str, EntryPoint]:
    """Entry points of other distributions; looking for them reads every installed package."""
    return {entry.name: entry for entry in entry_points(group=group)}


class Registry:
    """The modules of one folder, by name, imported only when asked for.

    Parameters
    ----------
    package : str
        Full name of the package whose modules are the entries; names that begin with ``_`` are
        shared parts and not listed. Other distributions add entries by an entry point in the
        group of the same name, whose value is a module.
    kind : str
        What an entry is, for error messages ("architecture").
    """

    def __init__(self, package: str, kind: str) -> None:
        self.package, self.kind = package, kind

    def _folder(self) -> list[str]:
        return [str(Path(__file__).parent.joinpath(*self.package.split(".")[1:]))]

    def names(self) -> list[str]:
        """All names, sorted, without importing any entry."""
        own = [m.name for m in pkgutil.iter_modules(self._folder()) if m.name[0] != "_"]
        return sorted({*own, *_from_outside(self.package)})

    def module(self, name: str) -> ModuleType:
        """Import the entry's module.

        Raises
        ------
        SettingError
            If there is no entry of this name; the message lists the known ones.
        """
        if name not in self.names():
            raise SettingError(
                f"Unknown {self.kind}", repr(name), f"Known: {', '.join(self.names())}"
            )
        if name in (outside := _from_outside(self.package)):
            loaded: ModuleType = outside[name].load()
            return loaded
        return importlib.import_module(f"{self.package}.{name}")

    def __getitem__(self, name: str) -> Callable[..., Any]:
        build: Callable[..., Any] = self.module(name).build
        return build

    def description(self, name: str) -> str:
        """First line of the entry's docstring, read without importing it where it is ours."""
        path = Path(self._folder()[0], f"{name}.py")
        text = (
            ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            if path.is_file()
            else self.module(name).__doc__
        )
        return (text or name).strip().splitlines()[0]
