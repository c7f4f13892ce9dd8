"""A micrograph: pixels together with what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import SettingError, ShapeError

_AXES = re.compile("T?(CZ?YX|Z?YXS?)")
_PLACES = {"Z": "focal plane", "T": "time point"}
_COUNTED = {"T": "time points", "C": "channels", "Z": "focal planes"}


class Assumed(str):
    """A notice of what an axis that no file names was taken for; void where somebody says it.

    Attributes
    ----------
    letter : str
        What it was taken for.
    """

    __slots__ = ()
    letter = "Z"


@dataclass(frozen=True)
class Micrograph:
    """Pixels, axes, pixel size and where they came from.

    Attributes
    ----------
    pixels : ndarray or dask array
        In the order of ``axes``, in the file's own dtype. Large files are dask arrays, of which
        only what is looked at is read.
    axes : str
        ``"YX"`` grey, ``"CYX"`` channels, ``"YXS"`` colour (S = red, green, blue); with Z for
        focal planes and T for time points in the order TCZYX where there are any.
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
    levels : tuple of dask arrays
        The coarser levels of a pyramid, finest first, without ``pixels`` itself.
    z_step_um : float or None
        Distance of two focal planes in µm.
    emission_nm : tuple of float or None
        Wavelength of each channel where the file tells, else empty.
    series : str
        Which picture of a file with several it is.
    """

    pixels: Any
    axes: str
    pixel_size_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    name: str = "micrograph"
    path: Path | None = None
    notices: tuple[str, ...] = ()
    levels: tuple[Any, ...] = ()
    z_step_um: float | None = None
    emission_nm: tuple[float | None, ...] = ()
    series: str = ""

    def __post_init__(self) -> None:
        if not _AXES.fullmatch(self.axes):
            raise ShapeError(
                "Axes of a micrograph must be YX, CYX or YXS, and Z and T where there are planes",
                f"{self.name} has {self.axes!r}, the order is TCZYX or TZYXS",
            )
        if self.pixels.dtype.kind not in "biuf":
            raise ShapeError(
                "Pixels of a micrograph are whole or real numbers",
                f"{self.path.name if self.path else self.name} has {self.pixels.dtype}",
            )
        if self.pixels.ndim != len(self.axes):
            raise ShapeError(
                "Pixels and axes differ",
                f"{self.name} has {self.pixels.ndim} dimensions, axes {self.axes!r}",
            )
        if self.is_colour and self.pixels.shape[-1] != 3:
            raise ShapeError(
                "A colour micrograph has red, green and blue",
                f"{self.name} has {self.pixels.shape[-1]} colour components",
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
        return self.axes.endswith("S")

    @property
    def is_stack(self) -> bool:
        """Whether there are focal planes or time points."""
        return "Z" in self.axes or "T" in self.axes

    @property
    def unnamed(self) -> str:
        """Letter that an axis was given which the file does not name; empty if it names all."""
        return next((n.letter for n in self.notices if isinstance(n, Assumed)), "")

    @property
    def is_lazy(self) -> bool:
        """Whether the pixels are still in the file."""
        return not isinstance(self.pixels, np.ndarray)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, "1", "2", ... where the file has none; one for grey and colour."""
        if "C" not in self.axes:
            return ()
        count = self.pixels.shape[self.axes.index("C")]
        return self.channel_names or tuple(str(i + 1) for i in range(count))

    def with_axes(self, axes: str) -> Micrograph:
        """Name the axis that the file does not name.

        Parameters
        ----------
        axes : str
            All axes, for example ``"ZYX"`` for focal planes, ``"TYX"`` for time points or ``"CYX"``
            for channels; letter case does not matter.

        Raises
        ------
        SettingError
            If the file names its axes otherwise, or has other ones.
        """
        wanted = axes.strip().upper()
        mine = self.axes.removesuffix("S")
        if wanted == mine:
            return replace(self, notices=self._without_assumption())
        left = [a for a in wanted if a not in mine.replace(self.unnamed or "?", "")]
        if not self.unnamed or len(wanted) != len(mine) or len(left) != 1 or left[0] not in "TCZ":
            said = "can be named otherwise" if self.unnamed else "are named in the file"
            raise SettingError(
                f"The axes of this micrograph are not {wanted}",
                f"{self.name} has {self.axes}, of which {self.unnamed or 'all'} {said}",
                "Leave out --axes, or name as many axes as there are",
            )
        named = self.axes.replace(self.unnamed, left[0])
        order = [named.index(a) for a in "TCZYXS" if a in named]
        is_channels = "C" in (self.unnamed, left[0])
        return replace(
            self,
            pixels=self.pixels.transpose(order),
            axes="".join(named[i] for i in order),
            levels=tuple(level.transpose(order) for level in self.levels),
            channel_names=() if is_channels else self.channel_names,
            emission_nm=() if is_channels else self.emission_nm,
            notices=self._without_assumption(),
        )

    def with_pixel_size(self, size_um: float) -> Micrograph:
        """State the size of a pixel, height and width, where the file does not.

        What the file states counts; a notice says so where that is another size.
        """
        if self.pixel_size_um is None:
            return replace(self, pixel_size_um=(size_um, size_um))
        height, width = self.pixel_size_um
        if max(abs(height - size_um), abs(width - size_um)) <= 0.01 * size_um:
            return self
        said = (
            f"The file states a pixel of {width:.4g} µm, which counts; the size given, "
            f"{size_um:.4g} µm, does not."
        )
        return replace(self, notices=(*self.notices, said))

    def _without_assumption(self) -> tuple[str, ...]:
        return tuple(n for n in self.notices if not isinstance(n, Assumed))

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
        if "C" not in self.axes and not self.is_colour:
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
        if "C" not in self.axes and not self.is_colour:
            return self
        axis = "S" if self.is_colour else "C"
        chosen = self._at(axis, index)
        emission = self.emission_nm[index : index + 1]
        return replace(chosen, channel_names=(names[index],), emission_nm=emission)

    def plane(self, *, z: str | int | None = None, t: str | int | None = None) -> Micrograph:
        """One focal plane or time point, or all focal planes seen from above.

        Parameters
        ----------
        z, t : str, int or None
            Number from 1, ``"middle"``, or ``"max"`` or ``"mean"`` of all; None keeps the axis.

        Returns
        -------
        Micrograph
            Without the axes that were chosen from.

        Raises
        ------
        SettingError
            If there is no such plane.
        """
        chosen = self
        for axis, which in (("Z", z), ("T", t)):
            if which is not None:
                chosen = chosen._one(axis, str(which).strip().casefold())
        return chosen

    def one_plane(self, z: str | int | None = None, t: str | int | None = None) -> Micrograph:
        """Choose from a stack as `plane` does, and see that one plane is left.

        Raises
        ------
        ShapeError
            If one has to be chosen and was not.
        SettingError
            If there is no such plane.
        """
        chosen = self.plane(z=z, t=t)
        if chosen.is_stack:
            counts = zip(self.axes, self.pixels.shape, strict=True)
            found = ", ".join(f"{n} {_COUNTED[a]}" for a, n in counts if a in _COUNTED)
            flags = " and ".join(f"--{a.lower()}" for a in chosen.axes if a in "ZT")
            raise ShapeError(
                "The file is a stack, and one plane is expected",
                f"{self.path.name if self.path else self.name} has {found}",
                f"Choose by {flags}: a number from 1, middle, or max or mean of all",
            )
        return chosen

    def _one(self, axis: str, which: str) -> Micrograph:
        count = self.pixels.shape[self.axes.index(axis)] if axis in self.axes else 1
        if which in ("max", "mean"):
            return self if axis not in self.axes else self._over(axis, which)
        number = count // 2 + 1 if which == "middle" else int(which) if which.isdecimal() else 0
        if not 1 <= number <= count:
            raise SettingError(
                f"{self.name} has no {_PLACES[axis]} {which}",
                "",
                f"Choose a number from 1 to {count}, or middle, max or mean",
            )
        return self if axis not in self.axes else self._at(axis, number - 1)

    def _at(self, axis: str, index: int) -> Micrograph:
        """One index of an axis, in all levels."""
        position = self.axes.index(axis)
        place = (slice(None),) * position + (index,)
        return replace(
            self,
            pixels=self.pixels[place],
            axes=self.axes.replace(axis, ""),
            levels=tuple(level[place] for level in self.levels),
        )

    def _over(self, axis: str, how: str) -> Micrograph:
        """Maximum or mean along an axis, in all levels."""
        position = self.axes.index(axis)

        def reduced(pixels: Any) -> Any:
            if how == "max":
                return pixels.max(axis=position)
            return pixels.mean(axis=position, dtype=np.float32)

        return replace(
            self,
            pixels=reduced(self.pixels),
            axes=self.axes.replace(axis, ""),
            levels=tuple(reduced(level) for level in self.levels),
        )

    def merged(self, how: str, which: tuple[str, ...] = ()) -> Micrograph:
        """Channels put together into one.

        Parameters
        ----------
        how : {"max", "mean"}
        which : tuple of str
            Names or numbers of the channels; empty: all.

        Returns
        -------
        Micrograph
            Grey, with the same planes.

        Raises
        ------
        SettingError
            If there is no such channel.
        """
        axis = "S" if self.is_colour else "C"
        if axis not in self.axes:
            return self.channel(which[0]) if which else self
        known = ("red", "green", "blue") if self.is_colour else self.channels
        named = [self.channel(w).channel_names[0] for w in which] or known
        names = tuple(dict.fromkeys(named))
        indices = [known.index(name) for name in names]
        position = self.axes.index(axis)
        place = (slice(None),) * position + (indices,)

        def reduced(pixels: Any) -> Any:
            some = pixels[place]
            if how == "max":
                return some.max(axis=position)
            return some.mean(axis=position, dtype=np.float32)

        return replace(
            self,
            pixels=reduced(self.pixels),
            axes=self.axes.replace(axis, ""),
            levels=tuple(reduced(level) for level in self.levels),
            channel_names=(" + ".join(names),),
            emission_nm=(),
        )

    def loaded(self) -> Micrograph:
        """The same with its pixels in memory.

        Raises
        ------
        FileError
            If a part of the file is damaged.
        """
        if not self.is_lazy:
            return self
        return replace(self, pixels=np.ascontiguousarray(self.pixels), levels=())


Load = Callable[[], Micrograph]
"""Reads a micrograph when its pixels are needed."""
