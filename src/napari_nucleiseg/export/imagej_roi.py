"""Fiji and ImageJ: every nucleus as a ROI in a zip for the ROI Manager, https://imagej.net.

A nucleus in one piece is a traced ROI, one with holes or several pieces a composite ROI. Corners
lie on the edges of pixels, so that a ROI filled in ImageJ has the pixels of its nucleus and no
others. The name of a ROI is the number of its nucleus.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..files import whole_file
from ..io import needed
from ..parts import Part
from ._outlines import Outline, Ring, outlines
from ._writing import Add, Writing

TITLE = "Fiji"
ENDING = "_rois.zip"
# positions have 16 bits, of which ImageJ reads the highest as negative numbers
_FURTHEST = 60535
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


def build() -> Writing:
    """Give the writer of ``NAME_rois.zip``: one ROI for each nucleus."""
    roifile = needed("roifile", "ROIs for ImageJ", "export")

    @contextmanager
    def writing(path: Path, shape: tuple[int, int], _image: str) -> Iterator[Add]:
        if max(shape) > _FURTHEST:
            raise ShapeError(
                f"ROIs of ImageJ reach up to pixel {_FURTHEST:,}",
                f"{path.name} would be of {shape[0]}×{shape[1]} pixels",
                "Export it as GeoJSON",
            )
        with (
            whole_file(path) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as folder,
        ):

            def add(part: Part) -> None:
                for outline in outlines(part):
                    roi = _roi(outline, roifile)
                    # without the time of writing, so that equal nuclei give equal files
                    about = zipfile.ZipInfo(f"{roi.name}.roi")
                    about.compress_type = zipfile.ZIP_DEFLATED
                    folder.writestr(about, roi.tobytes())

            yield add

    return writing


def _roi(outline: Outline, roifile: ModuleType) -> Any:
    rings = [ring for polygon in outline.polygons for ring in polygon]
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    roi = roifile.ImagejRoi(name=str(outline.label), left=left, top=top, right=right, bottom=bottom)
    if len(rings) == 1:
        roi.roitype = roifile.ROI_TYPE.TRACED
        roi.n_coordinates = len(corners)
        roi.integer_coordinates = corners - (left, top)
    else:
        path = np.array([value for ring in rings for value in _path(ring)], np.float32)
        roi.roitype = roifile.ROI_TYPE.RECT
        roi.shape_roi_size, roi.multi_coordinates = len(path), path
    return roi


def _path(ring: Ring) -> list[float]:
    """A ring as ImageJ's way of a pen."""
    steps = [(_LINE if number else _MOVE, x, y) for number, (x, y) in enumerate(ring)]
    return [*(value for step in steps for value in step), _CLOSE]
