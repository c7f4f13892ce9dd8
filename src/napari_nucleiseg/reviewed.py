"""Reviewed areas: inside them everything counts, nuclei and background; outside nothing does."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from pydantic import Field
from scipy import ndimage
from skimage.draw import polygon
from skimage.measure import approximate_polygon, find_contours
from skimage.morphology import disk

from .config import Config
from .errors import ShapeError

IGNORED = -1
MARGIN_PX = 8
TOLERANCE_PX = 0.4


class Area(Config):
    """A polygon in which a person has looked at everything."""

    vertices: tuple[tuple[float, float], ...] = Field(
        min_length=3, description="corners as (y, x) in pixels; a pixel's centre is a whole number"
    )
    plane: tuple[int, ...] = Field((), description="position on the leading axes of a stack")


def whole_image(shape: tuple[int, int], plane: tuple[int, ...] = ()) -> Area:
    """Give the area that covers a plane of this height and width."""
    return rectangle((-0.5, -0.5), (shape[0] - 0.5, shape[1] - 0.5), shape, plane)


def rectangle(
    corner: tuple[float, float],
    opposite: tuple[float, float],
    shape: tuple[int, int],
    plane: tuple[int, ...] = (),
) -> Area:
    """Give the part of a plane between two corners, such as what a window shows.

    Parameters
    ----------
    corner, opposite : (float, float)
        (y, x) in pixels; may lie beside the plane.
    shape : (int, int)
        Height and width of the plane.
    plane : tuple of int
        Position on the leading axes of a stack.

    Raises
    ------
    ShapeError
        If nothing of the plane lies between them.
    """
    both = np.array([corner, opposite], float)
    low = np.clip(both.min(axis=0), -0.5, np.array(shape) - 0.5)
    high = np.clip(both.max(axis=0), -0.5, np.array(shape) - 0.5)
    if (high <= low).any():
        raise ShapeError("The area lies beside the image", f"{corner} to {opposite}")
    (top, left), (bottom, right) = low.tolist(), high.tolist()
    return Area(
        vertices=((top, left), (top, right), (bottom, right), (bottom, left)), plane=tuple(plane)
    )


def around_nuclei(
    labels: np.ndarray,
    numbers: Collection[int],
    margin_px: int = MARGIN_PX,
    plane: tuple[int, ...] = (),
) -> list[Area]:
    """Surroundings of nuclei, such as the confirmed ones, without the other nuclei in them.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    numbers : collection of int
        Nuclei that were looked at.
    margin_px : int
        How far around them everything was looked at.
    plane : tuple of int
        Position on the leading axes of a stack.

    Returns
    -------
    list of Area
        At least one for each nucleus.
    """
    areas: list[Area] = []
    wanted = set(numbers)
    for number, box in enumerate(ndimage.find_objects(np.maximum(labels, 0)), start=1):
        if box is None or number not in wanted:
            continue
        part = tuple(slice(max(0, s.start - margin_px), s.stop + margin_px) for s in box)
        near = labels[part]
        ball = ndimage.binary_dilation(near == number, disk(margin_px))
        others = (near > 0) & ~np.isin(near, list(wanted))
        # two pixels of background around: one for the contour, one for the corner of a diagonal
        seen = np.pad(ball & ~others, 2)
        for contour in find_contours(seen.astype(float), 0.5, positive_orientation="high"):
            # those that turn the other way go around holes
            if _turn(contour) >= 0:
                continue
            corners = approximate_polygon(contour, TOLERANCE_PX)[:-1]
            if len(corners) >= 3:
                offset = np.array([s.start for s in part]) - 2
                vertices = tuple((float(y), float(x)) for y, x in corners + offset)
                areas.append(Area(vertices=vertices, plane=tuple(plane)))
    return areas


def _turn(contour: np.ndarray) -> float:
    """Signed area of a closed line; its sign tells which way it turns."""
    y, x = contour[:, 0], contour[:, 1]
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())


def reviewed_mask(areas: Iterable[Area], shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels lie in a reviewed area.

    Parameters
    ----------
    areas : iterable of Area
    shape : tuple of int
        Of the label image, leading axes of a stack first.

    Returns
    -------
    bool ndarray of this shape

    Raises
    ------
    ShapeError
        If an area lies in a plane that is not there.
    """
    mask = np.zeros(shape, bool)
    for area in areas:
        if len(area.plane) != len(shape) - 2 or any(
            not 0 <= p < n for p, n in zip(area.plane, shape, strict=False)
        ):
            raise ShapeError(
                "A reviewed area lies in a plane that is not there", f"{area.plane} of {shape}"
            )
        y, x = np.array(area.vertices).T
        rows, columns = polygon(y, x, shape[-2:])
        mask[area.plane][rows, columns] = True
    return mask


def apply_reviewed(labels: np.ndarray, areas: Iterable[Area]) -> np.ndarray:
    """Ignore what was not reviewed.

    A nucleus is never cut in two by an outline, since a network would learn the cut: one that lies
    for the most part inside counts as a whole, any other is ignored as a whole.

    Parameters
    ----------
    labels : integer ndarray
    areas : iterable of Area

    Returns
    -------
    int32 ndarray
        -1 where nothing counts.
    """
    inside = reviewed_mask(areas, labels.shape)
    nuclei = np.maximum(labels, 0)
    size = int(nuclei.max(initial=0)) + 1
    counts = 2 * np.bincount(nuclei[inside], minlength=size) > np.bincount(
        nuclei.ravel(), minlength=size
    )
    keeps = np.where(nuclei > 0, counts[nuclei], inside)
    result: np.ndarray = np.where(keeps, labels, IGNORED).astype(np.int32)
    return result


def as_records(areas: Iterable[Area]) -> list[dict[str, Any]]:
    """Areas as plain values for JSON."""
    return [area.model_dump(mode="json") for area in areas]


def from_records(records: Iterable[dict[str, Any]], source: str) -> list[Area]:
    """Areas from plain values; ``source`` names the file if they are none."""
    return [Area.parse(record, source=source) for record in records]


def within_reviewed(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What counts of a label image where only parts of the truth are reviewed.

    A nucleus that lies by more than half on ignored pixels may well be right, and what peeps out
    of them is no false nucleus.

    Parameters
    ----------
    truth : (H, W) integer ndarray
        Label image, -1 where nobody has looked.
    found : (H, W) integer ndarray
        Label image of what was found, 0 background.

    Returns
    -------
    (H, W) integer ndarray
        0 where nothing counts; the same array where all of the truth is reviewed.
    """
    ignored = truth < 0
    if not ignored.any():
        return found
    numbers, places, area = np.unique(found, return_inverse=True, return_counts=True)
    places = places.reshape(found.shape)
    outside = np.bincount(places[ignored], minlength=len(numbers))
    kept: np.ndarray = np.where(ignored | (2 * outside > area)[places], 0, found)
    return kept
