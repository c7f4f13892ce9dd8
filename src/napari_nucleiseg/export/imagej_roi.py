"""Fiji and ImageJ: every nucleus as a ROI in a zip for the ROI Manager, https://imagej.net.

A nucleus in one piece is a traced ROI, one with holes or several pieces a composite ROI. Corners
lie on the edges of pixels, so that a ROI filled in ImageJ has the pixels of its nucleus and no
others. The name of a ROI is the number of its nucleus.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from ..errors import ShapeError
from ..files import write_whole
from ..io import needed
from ._outlines import Outline, Ring, outlines

TITLE = "Fiji"
ENDING = "_rois.zip"
# positions have 16 bits, of which ImageJ reads the highest as negative numbers
_FURTHEST = 60535
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


def build() -> Callable[[Path, np.ndarray, str], None]:
    """Give the writer of ``NAME_rois.zip``: one ROI for each nucleus."""
    roifile = needed("roifile", "ROIs for ImageJ", "export")

    def write(path: Path, labels: np.ndarray, _image: str) -> None:
        if max(labels.shape) > _FURTHEST:
            raise ShapeError(
                f"ROIs of ImageJ reach up to pixel {_FURTHEST:,}",
                f"{path.name} would be of {labels.shape[0]}×{labels.shape[1]} pixels",
                "Export it as GeoJSON",
            )

        def fill(file: IO[bytes]) -> None:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as folder:
                for outline in outlines(labels):
                    roi = _roi(outline, roifile)
                    # without the time of writing, so that equal nuclei give equal files
                    about = zipfile.ZipInfo(f"{roi.name}.roi")
                    about.compress_type = zipfile.ZIP_DEFLATED
                    folder.writestr(about, roi.tobytes())

        write_whole(path, fill)

    return write


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
