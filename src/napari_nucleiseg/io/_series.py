"""Files that hold several pictures: which one is meant."""

from __future__ import annotations

from pathlib import Path

from ..errors import SettingError


def choose_series(path: Path, names: tuple[str, ...], series: str | int | None) -> str:
    """The picture meant by a name or a number from 1; the first where none is named.

    Parameters
    ----------
    path : Path
        The file, for messages.
    names : tuple of str
        Of all its pictures.
    series : str, int or None

    Raises
    ------
    SettingError
        If there is no such picture; the message lists those there are.
    """
    if series is None:
        return names[0]
    wanted = str(series).strip().casefold().strip("/")
    for name in names:
        if name.casefold() == wanted:
            return name
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return names[int(wanted) - 1]
    raise SettingError(
        f"{path.name} has no picture {series}",
        "",
        f"Choose one of {names_in_words(names)}, or a number from 1 to {len(names)}",
    )


def names_in_words(names: tuple[str, ...], most: int = 8) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(name or "the only one" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
