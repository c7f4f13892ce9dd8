"""OME-Zarr 0.4 and 0.5, with plates, series and labels: Moore, J. et al. (2023), NGFF; OME."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import FileError, ShapeError
from ..micrograph import Micrograph
from ._decoding import check_size, damaged, decoding
from ._lazy import Stored, needed, order, to_dask
from ._ome import emission_nm, in_um
from ._series import choose_series, names_in_words

NAME = "OME-Zarr"
SUFFIXES = (".zarr",)
MAGIC = ()

_EXTRA = "zarr"
# counting the chunks of larger arrays would take longer than opening may
_MOST_COUNTED = 20_000
_LABEL_CHUNK = 1024
_UNITS = {
    "micrometer": "µm",
    "micrometre": "µm",
    "nanometer": "nm",
    "nanometre": "nm",
    "millimeter": "mm",
    "millimetre": "mm",
    "meter": "m",
    "centimeter": "cm",
    "angstrom": "Å",
    "picometer": "pm",
}


def series_names(path: Path) -> tuple[str, ...]:
    """Places of the pictures in a store: fields of a plate ("A/1/0"), series ("0"), or ("",)."""
    root = _group(path)
    attributes = _ome(root)
    if "plate" in attributes:
        fields = []
        for well in attributes["plate"].get("wells", ()):
            inner = _ome(_inside(root, str(well["path"]), path))
            images = inner.get("well", {}).get("images", ())
            fields += [f"{well['path']}/{image['path']}" for image in images]
        return tuple(fields)
    if "multiscales" in attributes:
        return ("",)
    if "OME" in root:
        listed = _ome(root["OME"]).get("series")
        if listed:
            return tuple(str(name) for name in listed)
    if "bioformats2raw.layout" in attributes or "OME" in root:
        numbers: list[str] = []
        while str(len(numbers)) in root:
            numbers.append(str(len(numbers)))
        return tuple(numbers)
    return ("",)


def read(path: Path, *, numbers: bool = False) -> Micrograph:
    """Read a picture into memory, or with ``numbers`` its label image; see `open_file`."""
    inside = _labels_in(path) if numbers else ()
    micrograph = open_file(path, inner=f"labels/{inside[0]}" if inside else "")
    if micrograph.is_stack:
        raise ShapeError(
            "The file is a stack, and one plane is expected",
            f"{path.name} has the axes {micrograph.axes}",
            "Choose the plane (--z, --t), or save it as its own file",
        )
    check_size(path, micrograph.pixels.nbytes)
    return micrograph.loaded()


def open_file(path: Path, *, series: str | int | None = None, inner: str = "") -> Micrograph:
    """Open a picture without reading its pixels.

    Parameters
    ----------
    path : Path
    series : str, int or None
        Place of the picture as `series_names` gives it, or its number from 1; None: the first.
    inner : str
        Place of an image below that, for example of labels.
    """
    names = series_names(path)
    if not names:
        raise damaged(path, NAME, "it lists no pictures")
    chosen = choose_series(path, names, series)
    place = "/".join(part for part in (chosen, inner) if part)
    group = _inside(_group(path), place, path) if place else _group(path)
    attributes = _ome(group)
    scales = attributes.get("multiscales") or []
    if not scales:
        raise FileError(
            "The Zarr store holds no OME-Zarr picture",
            f"{path.name}{'/' + place if place else ''}",
            "Choose the folder of the picture, or save it again as OME-Zarr",
        )
    scale = scales[0]
    with decoding(path, NAME):
        axes = _axes(scale, path)
        found = [str(dataset["path"]) for dataset in scale["datasets"]]
    if not found:
        raise damaged(path, NAME, "it lists no levels")
    levels = []
    for name in found:
        below = f"{place}/{name}" if place else name
        levels.append(_level(path, below, axes))
    pixels, wanted = levels[0]
    pixel_size, z_step = _sizes(scale, axes)
    channels = (attributes.get("omero") or {}).get("channels") or []
    labels = tuple(str(c.get("label", "")).strip() or str(i + 1) for i, c in enumerate(channels))
    count = pixels.shape[wanted.index("C")] if "C" in wanted else 0
    # of label images, chunks that hold background alone are never written
    is_label = bool(inner) or "image-label" in attributes
    notices = [] if is_label else list(_absent(path, f"{place}/{found[0]}" if place else found[0]))
    if len(names) > 1 and series is None and not inner:
        notices.append(
            f"The file holds {len(names)} pictures; the first ({chosen}) was read. "
            f"The others are {names_in_words(names[1:])}."
        )
    said = all(re.fullmatch(r"\d+", label) for label in labels)
    return Micrograph(
        pixels,
        wanted,
        pixel_size_um=pixel_size,
        channel_names=labels if len(labels) == count and not said else (),
        path=path,
        notices=tuple(notices),
        levels=tuple(level for level, _ in levels[1:]),
        z_step_um=z_step,
        emission_nm=_emissions(path, chosen, names, count),
        series=chosen,
    )


def _zarr(path: Path) -> Any:
    return needed("zarr", f"An OME-Zarr ({path.name})", _EXTRA)


def _group(path: Path) -> Any:
    zarr = _zarr(path)
    with decoding(path, NAME):
        return zarr.open_group(str(path), mode="r")


def _inside(group: Any, place: str, path: Path) -> Any:
    try:
        inner = group[place]
    except KeyError as error:
        raise damaged(path, NAME, f"{place} is listed and missing") from error
    if not hasattr(inner, "group_keys"):
        raise damaged(path, NAME, f"{place} is no group of levels")
    return inner


def _ome(group: Any) -> dict[str, Any]:
    """The metadata of a group: 0.5 has them below "ome", 0.4 at the top."""
    attributes = dict(group.attrs)
    below = attributes.get("ome")
    return dict(below) if isinstance(below, dict) else attributes


def _axes(scale: dict[str, Any], path: Path) -> str:
    listed = scale.get("axes") or ["t", "c", "z", "y", "x"]
    letters = "".join(str(a["name"] if isinstance(a, dict) else a)[:1].upper() for a in listed)
    if len(set(letters)) != len(letters) or not set("YX") <= set(letters) <= set("TCZYX"):
        raise ShapeError(
            "The axes of the picture are not known",
            f"{path.name} has {', '.join(str(a) for a in letters)}",
            "They can be t, c, z, y and x",
        )
    return letters


def open_array(path: str, place: str) -> Any:
    """One level of a picture, for `Stored`."""
    import zarr

    return zarr.open_array(os.path.join(path, place), mode="r")


def _level(path: Path, place: str, axes: str) -> tuple[Any, str]:
    with decoding(path, NAME):
        stored = Stored(open_array, (str(path), place), NAME)
    if stored.ndim != len(axes):
        raise damaged(path, NAME, f"{place} has {stored.ndim} axes, its metadata {len(axes)}")
    if stored.dtype.kind not in "biuf":
        raise FileError("The pixels are not plain numbers", f"{path.name} has {stored.dtype}")
    y, x = axes.index("Y"), axes.index("X")
    return order(to_dask(stored, y, x), axes)


def _sizes(scale: dict[str, Any], axes: str) -> tuple[tuple[float, float] | None, float | None]:
    """Pixel size and distance of planes in µm, from the scales of the first level."""
    factors = [1.0] * len(axes)
    first = scale["datasets"][0]
    for steps in (first, scale):
        for step in steps.get("coordinateTransformations") or ():
            numbers = step.get("scale") if step.get("type") == "scale" else None
            if isinstance(numbers, list) and len(numbers) == len(axes):
                factors = [f * float(n) for f, n in zip(factors, numbers, strict=True)]
    units = [a.get("unit", "") if isinstance(a, dict) else "" for a in scale.get("axes") or ()]
    units = units or [""] * len(axes)

    def size(axis: str) -> float | None:
        if axis not in axes:
            return None
        at = axes.index(axis)
        return in_um(factors[at], _UNITS.get(str(units[at]), str(units[at])))

    height, width = size("Y"), size("X")
    return ((height, width) if height and width else None), size("Z")


def _absent(path: Path, place: str) -> Iterator[str]:
    """Say how many chunks of an image are not there: they are read as the fill value.

    The format allows to leave out chunks that hold nothing else, so that it need not be damage.
    """
    import zarr

    array = zarr.open_array(os.path.join(path, place), mode="r")
    whole = getattr(array, "shards", None) or array.chunks
    expected = math.prod(-(-n // c) for n, c in zip(array.shape, whole, strict=True))
    if expected > _MOST_COUNTED:
        return
    marks = {"zarr.json", ".zarray", ".zattrs", ".zgroup"}
    found = sum(
        name not in marks and not name.startswith(".part")
        for _, _, files in os.walk(os.path.join(path, place))
        for name in files
    )
    if found < expected:
        yield (
            f"{expected - found} of {expected} chunks of {path.name}/{place} are missing; they "
            f"count as {array.fill_value}, as OME-Zarr has it. If the picture was copied, part of "
            "it may be lost."
        )


def _labels_in(path: Path, series: str | int | None = None) -> tuple[str, ...]:
    """Names of the label images inside a picture."""
    names = series_names(path)
    first = choose_series(path, names, series) if names else ""
    group = _inside(_group(path), first, path) if first else _group(path)
    if "labels" not in group:
        return ()
    inner = group["labels"]
    return tuple(_ome(inner).get("labels") or sorted(inner.group_keys()))


def labels_inside(
    path: Path, *, series: str | int | None = None
) -> tuple[tuple[str, Micrograph], ...]:
    """The label images inside a picture, by name."""
    return tuple(
        (name, open_file(path, series=series, inner=f"labels/{name}"))
        for name in _labels_in(path, series)
    )


def _emissions(
    path: Path, series: str, names: tuple[str, ...], count: int
) -> tuple[float | None, ...]:
    """Wavelengths from the OME-XML that bioformats2raw writes beside the series."""
    xml = path / "OME" / "METADATA.ome.xml"
    if not count or not xml.is_file():
        return ()
    try:
        images = ElementTree.parse(xml).getroot().findall("{*}Image")
    except ElementTree.ParseError:
        return ()
    if len(images) != len(names):
        return ()
    channels = images[names.index(series)].findall("{*}Pixels/{*}Channel")
    waves = tuple(emission_nm(channel) for channel in channels)
    return waves if len(waves) == count and any(waves) else ()


class LabelStore:
    """A label image that grows block by block: OME-Zarr 0.5, int32.

    Parameters
    ----------
    folder : Path
        Where it is; labels that are there stay.
    shape : (int, int)
        Height and width in pixels.
    pixel_size_um : (float, float) or None

    Attributes
    ----------
    levels : list of zarr arrays
        The full resolution and the coarser ones, each with every second pixel of the one before;
        chunks that were never written are background.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, int], pixel_size_um: tuple[float, float] | None
    ) -> None:
        zarr = needed("zarr", "A label image that is written block by block", _EXTRA)
        self.folder, self.pixel_size_um, self.shape = folder, pixel_size_um, shape
        self.group = zarr.open_group(str(folder), mode="a", zarr_format=3)
        shapes = [shape]
        while max(shapes[-1]) > _LABEL_CHUNK:
            shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
        self.levels = [self._level(number, size) for number, size in enumerate(shapes)]
        self._describe(len(shapes))

    def _level(self, number: int, shape: tuple[int, int]) -> Any:
        if str(number) in self.group:
            return self.group[str(number)]
        return self.group.create_array(
            str(number),
            shape=shape,
            chunks=tuple(min(_LABEL_CHUNK, n) for n in shape),
            dtype="int32",
            dimension_names=("y", "x"),
        )

    def read(self, place: tuple[slice, slice]) -> Any:
        """Labels of a place in full resolution, (h, w) int32."""
        return self.levels[0][place]

    def write(self, place: tuple[slice, slice], labels: Any) -> None:
        """Write the labels of a place into all levels."""
        for number, level in enumerate(self.levels):
            step = 2**number
            inner = [slice(-part.start % step, None, step) for part in place]
            outer = tuple(slice(-(-part.start // step), -(-part.stop // step)) for part in place)
            if all(part.start < part.stop for part in outer):
                level[outer] = labels[inner[0], inner[1]]

    def _describe(self, levels: int) -> None:
        """Write the metadata of the levels."""
        unit = {} if self.pixel_size_um is None else {"unit": "micrometer"}
        size = self.pixel_size_um or (1.0, 1.0)
        datasets = [
            {
                "path": str(n),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [size[0] * 2**n, size[1] * 2**n]}
                ],
            }
            for n in range(levels)
        ]
        axes = [{"name": axis, "type": "space", **unit} for axis in "yx"]
        name = self.folder.name.removesuffix(".zarr").removesuffix(".ome")
        self.group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [{"name": name, "axes": axes, "datasets": datasets}],
            "image-label": {"version": "0.5"},
        }
