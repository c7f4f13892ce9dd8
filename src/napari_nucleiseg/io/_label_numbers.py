"""From stored numbers or colours to a label image: one number per nucleus."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..errors import FileError, ShapeError
from ..micrograph import Micrograph

_TOUCHING = np.ones((3, 3), bool)  # corners count: a thin diagonal nucleus is one piece
_MOST = int(np.iinfo(np.int32).max)


def whole_numbers(pixels: np.ndarray, name: str) -> np.ndarray:
    """Numbers as int32, without changing any but negative ones, which become -1 (ignored).

    Parameters
    ----------
    pixels : (H, W) ndarray
        Of any plain dtype.
    name : str
        Name of the file, for messages.

    Raises
    ------
    FileError
        If a number is not whole or too large.
    """
    if pixels.dtype.kind == "f" and not (pixels == np.trunc(pixels)).all():
        raise FileError(
            "Label numbers must be whole",
            f"{name} has values like {_first_broken(pixels):g}",
            "It looks like a micrograph or a probability map; save the label image instead",
        )
    if pixels.size and pixels.max() > _MOST:
        raise FileError(
            "A label number is too large",
            f"{name} has {pixels.max():,.0f}, the largest allowed is {_MOST:,}",
            "Renumber the labels from 1",
        )
    if pixels.dtype.kind in "if":
        pixels = np.maximum(pixels, -1)
    return pixels.astype(np.int32)


def _first_broken(pixels: np.ndarray) -> float:
    broken = pixels[~(pixels == np.trunc(pixels))]
    return float(broken.flat[0])


class BinaryMask(str):
    """A notice that a black-and-white mask was split into its pieces."""

    __slots__ = ()


class ColourMask(str):
    """A notice that a picture was split into the pieces of its colours."""

    __slots__ = ()


def _split_binary(image: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the pieces of a black-and-white mask; anything else is returned as it is."""
    inside = image > 0
    if not inside.any():
        return image, ()
    value = int(image[inside][0])
    if (image[inside] != value).any():
        return image, ()
    pieces, count = ndimage.label(inside, _TOUCHING)
    if count == 1:  # one nucleus, whatever its number
        return image, ()
    pieces = pieces.astype(np.int32)
    pieces[image < 0] = -1
    said = (
        f"The file is a black-and-white mask: its {count} connected pieces became {count} nuclei."
    )
    return pieces, (BinaryMask(said),)


def _split_colours(pixels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the connected pieces of each colour; black is background."""
    codes = (pixels.astype(np.int32) << (16, 8, 0)).sum(axis=2)
    labels = np.zeros(codes.shape, np.int32)
    total = 0
    colours, index = np.unique(codes, return_inverse=True)
    index = index.reshape(codes.shape) + 1
    for number, box in enumerate(ndimage.find_objects(index), start=1):
        if colours[number - 1] == 0 or box is None:
            continue
        pieces, count = ndimage.label(index[box] == number, _TOUCHING)
        view = labels[box]
        view[pieces > 0] = pieces[pieces > 0] + total
        total += count
    shown = len(colours) - int(colours[0] == 0)
    said = (
        f"The file is coloured: the connected pieces of its {shown} colours became {total} nuclei."
    )
    return labels, (ColourMask(said),)


class LooksLikeMicrograph(str):
    """A notice that numbers lie in a picture as grey values do, not as labels."""

    __slots__ = ()


def _looks_like_intensities(image: np.ndarray) -> bool:
    """Whether most numbers are strewn over the picture, as grey values are and labels are not."""
    present = np.unique(image)
    present = present[present > 0]
    if len(present) < 8:
        return False
    same_right = image[:, 1:] == image[:, :-1]
    inside = image[:, 1:] > 0
    return bool(inside.any() and same_right[inside].mean() < 0.5)


def to_labels(picture: Micrograph, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """A label image from what a file holds.

    Parameters
    ----------
    picture : Micrograph
        As the format's ``read(path, numbers=True)`` returns it.
    name : str
        Name of the file, for messages.

    Returns
    -------
    (H, W) int32 ndarray
        0 background, -1 ignored.
    tuple of str
        What was converted, one sentence each.

    Raises
    ------
    ShapeError
        If the file holds several channels.
    FileError
        If its numbers cannot be labels.
    """
    pixels = picture.pixels
    if picture.axes == "CYX":
        raise ShapeError(
            "A label image has one plane",
            f"{name} has {pixels.shape[0]} channels",
            "Save the channel with the labels as its own file",
        )
    if picture.is_colour and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    if pixels.ndim == 3:
        return _split_colours(pixels)
    numbers = whole_numbers(pixels, name)
    image, notices = _split_binary(numbers)
    if not notices and _looks_like_intensities(image):
        said = f"The numbers of {name} are strewn like grey values; it may be a micrograph instead."
        notices = (LooksLikeMicrograph(said),)
    return image, notices
