"""TIFF, ImageJ TIFF and OME-TIFF: TIFF revision 6.0, Adobe (1992); OME-TIFF 6.3, OME consortium."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import FileError, ShapeError
from ..files import write_whole
from ..micrograph import Micrograph
from ._colours import cmyk_to_rgb, is_lookup_table, look_up, palette_is_numbers, without_alpha
from ._decoding import check_size, damaged, decoding, listening
from ._ome import Ome, in_um, parse_ome
from ._planes import MOST_CHANNELS, TakenAsChannels, channels_first

NAME = "TIFF"
SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".svs", ".ndpi", ".scn")
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# values of TIFF tags, by their names in the specification
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _SEPARATED, _YCBCR = 0, 1, 2, 3, 4, 5, 6
_UNCOMPRESSED = 1
_LOSSY = {6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 34933, 50001, 22610}
# The most bytes that one compressed byte can stand for: LZW, deflate, PackBits.
_EXPANSION = {5: 4096, 8: 1100, 32946: 1100, 32773: 128}
_ALPHA = {1, 2}
_CENTIMETRE = 3
# Resolution tags hold the microscope's pixel size or the 72, 96, 300, 600 or 1200 dots per inch of
# a program for printing. A nucleus is 5 to 20 µm wide, so larger pixels are dots on paper.
_PLAUSIBLE_UM = (0.001, 20.0)
_MOST_PAGES = 1000
_PLACES = {"Z": "focal planes", "T": "time points", "C": "channels", "S": "colour components"}


class _Planes(NamedTuple):
    """Pixels as the file has them, and which axis is which."""

    pixels: np.ndarray
    axes: str
    notices: tuple[str, ...] = ()


def read(path: Path, *, numbers: bool = False) -> Micrograph:
    """Read a TIFF file; see `napari_nucleiseg.io.read_micrograph`.

    The full resolution of a pyramid is read. A pixel size is taken from OME or ImageJ metadata;
    from the plain resolution tags only if they are per centimetre and a pixel is at most 20 µm
    wide.
    """
    import tifffile

    with (
        decoding(path, NAME, tifffile.TiffFileError),
        listening("tifffile") as heard,
        tifffile.TiffFile(path, _multifile=False) as tif,
    ):
        page = tif.pages[0]
        if not hasattr(page.compression, "name") and int(page.compression) != _UNCOMPRESSED:
            raise FileError(
                "The pixels are compressed in a way that is not known",
                f"{path.name} has TIFF compression {int(page.compression)}",
                "Save it again without compression",
            )
        description = _text(page.description)
        is_ome = description.rstrip().endswith("OME>")
        ome = parse_ome(description) if is_ome else Ome()
        imagej = (tif.imagej_metadata or {}) if tif.is_imagej else None
        if numbers and int(page.compression) in _LOSSY:
            raise FileError(
                "A label image cannot be JPEG-compressed, since that changes the numbers",
                path.name,
                "Save the labels as TIFF without compression or with ZIP",
            )
        planes = _split_plane(tif, path, heard) if ome.split else _read_series(tif, path, heard)
        refuse_damage(path, heard)  # what was logged on the way
        has_lookup_table = imagej is not None or is_ome
        # tifffile marks boolean arrays as white-is-zero, and means the numbers it writes
        as_numbers = numbers and (page.dtype != bool or tif.is_shaped)
        micrograph = _interpret(
            _unfold(planes, path, imagej), page, path, imagej, has_lookup_table, as_numbers
        )
        size, notices = pixel_size(page, ome, imagej, description)
    if micrograph.pixels.dtype.kind not in "biuf":
        raise FileError(
            "The pixels are not plain numbers",
            f"{path.name} has {micrograph.pixels.dtype}",
            "Save the magnitude, or one of its parts, as 32-bit float",
        )
    names = ome.channel_names if imagej is None else slice_names(imagej)
    count = micrograph.pixels.shape[0] if micrograph.axes == "CYX" else 0
    return Micrograph(
        micrograph.pixels,
        micrograph.axes,
        pixel_size_um=size,
        channel_names=names if len(names) == count else micrograph.channel_names,
        emission_nm=ome.emission_nm if count and len(ome.emission_nm) == count else (),
        path=path,
        notices=(*micrograph.notices, *notices),
    )


def open_file(path: Path, *, series: str | int | None = None) -> Micrograph:
    """Open a TIFF file of any number of planes; see `napari_nucleiseg.io.open_micrograph`."""
    from . import _tiff_stack

    return _tiff_stack.open_file(path, series)


def series_names(path: Path) -> tuple[str, ...]:
    """Names of the pictures in a file; ("",) if there is one."""
    from . import _tiff_stack

    return _tiff_stack.series_names(path)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_series(tif: Any, path: Path, heard: list[str]) -> _Planes:
    """The first picture of the file, at full resolution, with all its axes named."""
    series = tif.series[0]
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    refuse_damage(path, heard)
    refuse_lies(series, tif.filehandle.size, path)
    pixels = series.asarray(level=0)
    notices: tuple[str, ...] = ()
    others = [s for s in tif.series[1:] if math.prod(s.shape) >= math.prod(series.shape)]
    if others:
        notices = (f"The file holds {len(others) + 1} pictures; the first was read.",)
    return _Planes(pixels.reshape(shape), axes, notices)


def _split_plane(tif: Any, path: Path, heard: list[str]) -> _Planes:
    """The one plane that this file of a set holds."""
    if len(tif.pages) != 1:
        raise ShapeError(
            "The file holds several planes of a picture that is split over a set of files",
            path.name,
            "Save the plane or the channels to segment as one OME-TIFF",
        )
    page = tif.pages[0]
    refuse_damage(path, heard)
    refuse_lies(page, tif.filehandle.size, path)
    notice = "The file is one of a set that makes up a picture; only its own plane was read."
    return _Planes(page.asarray(), page.axes, (notice,))


def refuse_damage(path: Path, heard: list[str]) -> None:
    """Take what tifffile only logs for what it is: parts of the file are missing."""
    for message in heard:
        private = re.search(r"TiffTag (\d+)", message)
        # tags above 32,767 are private; those of ImageJ (50838, 50839) say how pixels lie
        if private and int(private[1]) > 32767 and int(private[1]) not in (50838, 50839):
            continue
        if re.search(r"invalid|corrupt|truncated|not enough|raised|missing", message):
            raise damaged(path, NAME, "its header points to places that do not exist")


def refuse_lies(source: Any, size: int, path: Path, *, in_memory: bool = True) -> None:
    """Compare what the header claims with the bytes there are, before anything is allocated.

    Parameters
    ----------
    source : tifffile.TiffPageSeries or tifffile.TiffPage
    size : int
        Bytes in the file.
    path : Path
    in_memory : bool
        Whether the pixels are to be read as a whole, and so must fit.
    """
    expected = math.prod(source.shape) * source.dtype.itemsize
    start = getattr(source, "dataoffset", None)
    if start is not None:
        if start + expected > size:
            raise damaged(
                path, NAME, f"its pixels take {expected:,} bytes, it has {size - start:,}"
            )
        if in_memory:
            check_size(path, expected)
        return
    pages = getattr(source, "pages", None) or [source]
    # of long stacks some are enough: all of them would take longer than opening may
    for page in itertools.islice(pages, 0, None, max(1, len(pages) // _MOST_PAGES)):
        if page is None:
            raise damaged(path, NAME, "a plane is missing")
        key = page.keyframe
        offsets, counts = page.dataoffsets, page.databytecounts
        pieces = math.prod(key.chunked)
        there = [n for o, n in zip(offsets, counts, strict=False) if o and n]
        if len(there) < pieces:
            raise damaged(
                path, NAME, f"{pieces - len(there)} of {pieces} strips or tiles are missing"
            )
        if any(o + n > size for o, n in zip(offsets, counts, strict=True)):
            raise damaged(path, NAME, "it ends before its pixels do")
        bits = key.bitspersample if isinstance(key.bitspersample, int) else 8
        claimed = math.prod(key.shape) * bits // 8
        most = _EXPANSION.get(int(key.compression), 1 if int(key.compression) == 1 else None)
        if most is not None and claimed > sum(counts) * most:
            raise damaged(
                path, NAME, f"{claimed:,} bytes of pixels cannot come from {sum(counts):,}"
            )
    if in_memory:
        check_size(path, expected)


def _unfold(planes: _Planes, path: Path, imagej: dict[str, Any] | None) -> _Planes:
    """Drop axes of length 1 and refuse stacks: what is left is YX, CYX or YXS."""
    shape = planes.pixels.shape
    kept = [i for i, axis in enumerate(planes.axes) if axis in "YX" or shape[i] > 1]
    axes = "".join(planes.axes[i] for i in kept)
    pixels = planes.pixels.reshape([shape[i] for i in kept])
    if axes == "YX":
        return _Planes(pixels, axes, planes.notices)
    extra = axes.replace("Y", "").replace("X", "")
    if len(extra) == 1 and "Y" in axes and "X" in axes:
        position = axes.index(extra)
        if extra == "S":
            return _Planes(np.moveaxis(pixels, position, -1), "YXS", planes.notices)
        if extra == "C" or (extra == "I" and (imagej or {}).get("mode") == "composite"):
            return _Planes(np.moveaxis(pixels, position, 0), "CYX", planes.notices)
        # an axis that neither the file nor tifffile can name: Q or I
        unnamed = extra in "QI" and (imagej is None or "slices" not in imagej)
        if unnamed and min(pixels.shape[position], pixels.shape[2]) <= MOST_CHANNELS:
            pixels, notice = channels_first(np.moveaxis(pixels, position, 0))
            return _Planes(pixels, "CYX", (*planes.notices, notice))
    found = ", ".join(
        f"{n} {_PLACES.get(axis, 'planes')}"
        for axis, n in zip(axes, pixels.shape, strict=True)
        if axis not in "YXS"
    )
    raise ShapeError(
        "The file is a stack, and one plane is expected",
        f"{path.name} has {found}",
        "Choose the plane (--z, --t), or save it as its own file (in ImageJ: Image > Duplicate)",
    )


def _interpret(
    planes: _Planes,
    page: Any,
    path: Path,
    imagej: dict[str, Any] | None,
    has_lookup_table: bool,
    numbers: bool,
) -> Micrograph:
    """Turn stored samples into intensities or colours."""
    pixels, notices = planes.pixels, list(planes.notices)
    photometric = int(page.photometric)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if planes.axes == "YXS":
        composite = (imagej or {}).get("mode") == "composite"
        return _samples(pixels, page, path, composite, notices)
    if photometric in (_RGB, _SEPARATED, _YCBCR) and planes.axes == "YX":
        photometric = _BLACK_IS_ZERO  # one component of a colour picture
    if photometric == _PALETTE and planes.axes == "YX" and page.colormap is not None:
        table = np.asarray(page.colormap).T
        palette = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
        as_numbers = numbers and (imagej is not None or palette_is_numbers(palette))
        if not as_numbers and not (has_lookup_table and is_lookup_table(palette)):
            pixels = look_up(pixels, palette)
            return Micrograph(
                pixels, "YXS" if pixels.ndim == 3 else "YX", path=path, notices=tuple(notices)
            )
    elif photometric == _WHITE_IS_ZERO:
        if pixels.dtype.kind == "b":
            pixels = pixels if numbers else ~pixels
        elif pixels.dtype.kind == "u" and not numbers:
            bits = page.bitspersample if isinstance(page.bitspersample, int) else None
            brightest = 2 ** (bits or pixels.dtype.itemsize * 8) - 1
            pixels = pixels.dtype.type(brightest) - pixels
            notices.append("White is stored as 0; the intensities were inverted, as displayed.")
    elif photometric not in (_BLACK_IS_ZERO, _PALETTE, _MASK):
        raise _unknown_colours(page, path)
    return Micrograph(pixels, planes.axes, path=path, notices=tuple(notices))


def _unknown_colours(page: Any, path: Path) -> FileError:
    name = getattr(page.photometric, "name", str(page.photometric))
    return FileError(
        "The colours of the picture cannot be converted",
        f"{path.name} has the colour space {name}",
        "Save it again as RGB",
    )


def _samples(
    pixels: np.ndarray, page: Any, path: Path, composite: bool, notices: list[str]
) -> Micrograph:
    """Several values per pixel: colours, channels, or one of them with transparency."""
    photometric, compression = int(page.photometric), int(page.compression)
    extra = [int(e) for e in page.extrasamples]
    is_colour = photometric == _RGB or (photometric == _YCBCR and compression in _LOSSY)
    if photometric == _SEPARATED and pixels.shape[-1] == 4 and pixels.dtype == np.uint8:
        notices.append("CMYK printing colours were converted to red, green and blue.")
        return Micrograph(cmyk_to_rgb(pixels), "YXS", path=path, notices=tuple(notices))
    if not is_colour and photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE, _MASK):
        raise _unknown_colours(page, path)
    colours = 3 if is_colour else 1
    has_alpha = len(extra) == 1 and extra[0] in _ALPHA and pixels.shape[-1] == colours + 1
    eight_bit_colour = is_colour and pixels.dtype == np.uint8 and not composite
    if has_alpha:
        kept, said = without_alpha(pixels)
        # at more than 8 bits a fourth value that varies is a channel: so tifffile writes four
        if eight_bit_colour or not is_colour or not said:
            pixels, notices = kept, [*notices, *said]
    if pixels.ndim == 2:
        return Micrograph(pixels, "YX", path=path, notices=tuple(notices))
    if eight_bit_colour and pixels.shape[-1] == 3:
        return Micrograph(np.ascontiguousarray(pixels), "YXS", path=path, notices=tuple(notices))
    if is_colour:
        bits = pixels.dtype.itemsize * 8
        what = f"{pixels.shape[-1]} {bits}-bit components"
        notices.append(TakenAsChannels(f"{what} were taken as channels, not as colours."))
    pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    return Micrograph(pixels, "CYX", path=path, notices=tuple(notices))


def slice_names(imagej: dict[str, Any]) -> tuple[str, ...]:
    """ImageJ's slice labels, less the position that it puts before them ("c:1/3 - DAPI")."""
    labels: Sequence[object] | str = imagej.get("Labels") or ()
    if isinstance(labels, str):
        labels = (labels,)
    names = [re.sub(r"^(?:[czt]:\d+/\d+\s*)+(?:-\s*)?", "", str(label)).strip() for label in labels]
    return tuple(n or str(i + 1) for i, n in enumerate(names)) if any(names) else ()


def _resolution(page: Any, axis: str) -> float:
    """Pixels per unit from a resolution tag, 0 where it says nothing."""
    tag = page.tags.get(f"{axis}Resolution")
    try:
        above, below = tag.value
        value = float(above) / float(below)
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return value if math.isfinite(value) else 0.0


def pixel_size(
    page: Any, ome: Ome, imagej: dict[str, Any] | None, description: str
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Height and width of a pixel in µm, and a notice where that is not beyond doubt."""
    if ome.pixel_size_um:
        return ome.pixel_size_um, ()
    # Aperio and those who write like it
    if stated := re.search(r"\|\s*MPP\s*=\s*([0-9.]+)", description):
        size = in_um(float(stated[1]), "µm")
        return ((size, size), ()) if size else (None, ())
    per_unit = _resolution(page, "Y"), _resolution(page, "X")
    if not all(per_unit):
        return None, ()
    unit = str((imagej or {}).get("unit", ""))
    if unit.strip():
        unit = unit if unit.strip() != "inch" else "in"
        height, width = (in_um(1 / n, unit) for n in per_unit)
        return ((height, width), ()) if height and width else (None, ())
    tag = page.tags.get("ResolutionUnit")
    if tag is None or int(tag.value) != _CENTIMETRE:
        return None, ()
    height, width = (1e4 / n for n in per_unit)
    low, high = _PLAUSIBLE_UM
    if not (low <= height <= high and low <= width <= high):
        return None, ()
    return (height, width), (
        f"The pixel size of {width:.4g} µm is from the file's resolution per centimetre.",
    )


def write(path: Path, labels: np.ndarray, pixel_size_um: tuple[float, float] | None = None) -> None:
    """Write a label image, compressed; see `napari_nucleiseg.io.write_labels`.

    The pixel size is written the way ImageJ does: the unit in the description, and its pixels per
    unit in the resolution tags. So are the axes of a stack.
    """
    import tifffile

    options: dict[str, Any] = {
        "photometric": "minisblack",
        "compression": "zlib",
        "metadata": None,
        "software": "napari-nucleiseg",
    }
    leading = labels.shape[:-2]
    described = f"ImageJ=1.11a\nimages={int(np.prod(leading))}\n"
    for name, size in zip(("frames", "slices")[2 - len(leading) :], leading, strict=True):
        described += f"{name}={size}\n"
    if leading:
        options["description"] = described
    if pixel_size_um is not None:
        height, width = pixel_size_um
        options["description"] = f"{described}unit=micron\n"
        options["resolution"] = (1 / width, 1 / height)
        options["resolutionunit"] = "NONE"
    write_whole(path, lambda file: tifffile.imwrite(file, labels, **options))
