"""QuPath: every nucleus as a detection in GeoJSON, https://qupath.github.io.

Positions are pixels of the full image with the origin in its upper left corner, (x, y) along the
edges of pixels, as in QuPath; format: RFC 7946. The number of the nucleus is its name and a
measurement.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files import whole_file
from ..parts import Part
from ._outlines import Outline, outlines
from ._writing import Add, Writing

TITLE = "QuPath"
ENDING = ".geojson"


def build() -> Writing:
    """Give the writer of ``NAME.geojson``: one feature for each nucleus."""
    return _writing


@contextmanager
def _writing(path: Path, _shape: tuple[int, int], _image: str) -> Iterator[Add]:
    with whole_file(path) as file:
        file.write(b'{"type": "FeatureCollection", "features": [')
        between = b"\n"

        def add(part: Part) -> None:
            nonlocal between
            for outline in outlines(part):
                text = json.dumps(_feature(outline), separators=(",", ":"))
                file.write(between + text.encode())
                between = b",\n"

        yield add
        file.write(b"\n]}\n")


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
