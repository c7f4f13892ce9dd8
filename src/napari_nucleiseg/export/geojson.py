"""QuPath: every nucleus as a detection in GeoJSON, https://qupath.github.io.

Positions are pixels of the full image with the origin in its upper left corner, (x, y) along the
edges of pixels, as in QuPath; format: RFC 7946. The number of the nucleus is its name and a
measurement.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..files import write_whole
from ._outlines import Outline, outlines

TITLE = "QuPath"
ENDING = ".geojson"


def build() -> Callable[[Path, np.ndarray, str], None]:
    """Give the writer of ``NAME.geojson``: one feature for each nucleus."""

    def write(path: Path, labels: np.ndarray, _image: str) -> None:
        def fill(file: IO[bytes]) -> None:
            file.write(b'{"type": "FeatureCollection", "features": [')
            for number, outline in enumerate(outlines(labels)):
                text = json.dumps(_feature(outline), separators=(",", ":"))
                file.write(b",\n" if number else b"\n")
                file.write(text.encode())
            file.write(b"\n]}\n")

        write_whole(path, fill)

    return write


def _feature(outline: Outline) -> dict[str, Any]:
    # the last corner of a ring is the first one again
    polygons = [[[*ring, ring[0]] for ring in rings] for rings in outline.polygons]
    is_one = len(polygons) == 1
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon" if is_one else "MultiPolygon",
            "coordinates": polygons[0] if is_one else polygons,
        },
        "properties": {
            "objectType": "detection",
            "name": str(outline.label),
            "measurements": {"Label": outline.label},
        },
    }
