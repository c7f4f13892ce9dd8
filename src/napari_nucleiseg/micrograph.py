"""A micrograph: pixels together with what they mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .errors import SettingError, ShapeError


@dataclass(frozen=True)
class Micrograph:
    """Pixels, axes, pixel size and where they came from.

    Attributes
    ----------
    pixels : ndarray
        In the order of ``axes``, in the file's own dtype.
    axes : str
        ``"YX"`` grey, ``"CYX"`` channels, ``"YXS"`` colour (S = red, green, blue).
    pixel_size_um : (float, float) or None
        Height and width of a pixel in µm; None where the file does not say.
    channel_names : tuple of str
        One for each channel where the file names them, else empty.
    name : str
        What to call it: the file's name without suffix, or the layer's name.
    path : Path or None
        The file it was read from.
    notices : tuple of str
        What was assumed or converted while reading, one sentence each, to be shown.
    """

    pixels: np.ndarray
    axes: str
    pixel_size_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    name: str = "micrograph"
    path: Path | None = None
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.axes not in ("YX", "CYX", "YXS"):
            raise ShapeError(
                "Axes of a micrograph must be YX, CYX or YXS", f"{self.name} has {self.axes!r}"
            )
        if self.pixels.dtype.kind not in "biuf":
            raise ShapeError(
                "Pixels of a micrograph are whole or real numbers",
                f"{self.name} has {self.pixels.dtype}",
            )
        if self.pixels.ndim != len(self.axes):
            raise ShapeError(
                "Pixels and axes differ",
                f"{self.name} has {self.pixels.ndim} dimensions, axes {self.axes!r}",
            )
        if self.axes == "YXS" and self.pixels.shape[2] != 3:
            raise ShapeError(
                "A colour micrograph has red, green and blue",
                f"{self.name} has {self.pixels.shape[2]} colour components",
            )
        if 0 in self.pixels.shape:
            raise ShapeError("The micrograph has no pixels", self.name)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        y = self.axes.index("Y")
        return int(self.pixels.shape[y]), int(self.pixels.shape[y + 1])

    @property
    def is_colour(self) -> bool:
        """Whether the pixels are red, green and blue rather than separate channels."""
        return self.axes == "YXS"

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, "1", "2", ... where the file has none; one for grey and colour."""
        if self.axes != "CYX":
            return ()
        count = self.pixels.shape[0]
        return self.channel_names or tuple(str(i + 1) for i in range(count))

    def channel(self, which: str | int) -> Micrograph:
        """One channel as a grey micrograph.

        Parameters
        ----------
        which : str or int
            Name of the channel (letter case does not matter) or its number, counted from 1. On a
            colour micrograph ``"red"``, ``"green"``, ``"blue"`` or 1 to 3. On a grey one only 1.

        Raises
        ------
        SettingError
            If there is no such channel; the message lists those there are.
        """
        if self.axes == "YX":
            names: tuple[str, ...] = ("1",)
        else:
            names = ("red", "green", "blue") if self.is_colour else self.channels
        wanted = str(which).strip().casefold()
        by_name = [i for i, n in enumerate(names) if n.casefold() == wanted]
        if by_name:
            index = by_name[0]
        elif wanted.isdecimal() and 1 <= int(wanted) <= len(names):
            index = int(wanted) - 1
        else:
            known = ", ".join(
                f"{i + 1}" if n == str(i + 1) else f"{i + 1} ({n})" for i, n in enumerate(names)
            )
            raise SettingError(f"{self.name} has no channel {which}", "", f"Channels: {known}")
        if self.axes == "YX":
            return self
        pixels = self.pixels[..., index] if self.is_colour else self.pixels[index]
        return replace(self, pixels=pixels, axes="YX", channel_names=(names[index],))
