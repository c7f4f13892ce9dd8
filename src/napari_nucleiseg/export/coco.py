"""COCO: every nucleus as an instance with its mask, Lin, T.-Y. et al. (2014), arXiv:1405.0312.

Masks are run lengths down the columns, as pycocotools reads them. The number of the nucleus is
``label`` of its annotation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..files import whole_file
from ..io import needed
from ..parts import Part
from ._writing import Add, Writing

TITLE = "COCO"
ENDING = "_coco.json"


def build() -> Writing:
    """Give the writer of ``NAME_coco.json``: one image, one annotation for each nucleus."""
    masks = needed("pycocotools.mask", "A COCO file", "export")

    @contextmanager
    def writing(path: Path, shape: tuple[int, int], image: str) -> Iterator[Add]:
        height, width = shape
        head = {
            "images": [{"id": 1, "file_name": image, "width": width, "height": height}],
            "categories": [{"id": 1, "name": "nucleus", "supercategory": "cell"}],
        }
        with whole_file(path) as file:
            file.write(_json(head)[:-1] + b',"annotations":[')
            count = 0

            def add(part: Part) -> None:
                nonlocal count
                for label, counts, area, box in _nuclei(part, shape):
                    [code] = masks.frPyObjects(
                        [{"counts": counts, "size": [height, width]}], height, width
                    )
                    annotation = {
                        "id": count + 1,
                        "image_id": 1,
                        "category_id": 1,
                        "label": label,
                        "segmentation": {
                            "size": [height, width],
                            "counts": code["counts"].decode("ascii"),
                        },
                        "area": area,
                        "bbox": box,
                        "iscrowd": 0,
                    }
                    file.write((b"," if count else b"") + _json(annotation))
                    count += 1

            yield add
            file.write(b"]}\n")

    return writing


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _nuclei(part: Part, shape: tuple[int, int]) -> Iterator[tuple[int, list[int], int, list[int]]]:
    """Number, run lengths in the whole image, area and box (x, y, width, height) of nuclei."""
    height, total = shape[0], shape[0] * shape[1]
    x, y = np.nonzero(part.labels.T > 0)
    numbers = part.labels[y, x]
    places = (x + part.left) * height + y + part.top
    # stable: places of a nucleus stay in their order
    order = np.argsort(numbers, kind="stable")
    numbers, places = numbers[order], places[order]
    changes = np.flatnonzero(np.diff(numbers)) + 1
    for own in np.split(places, changes) if len(places) else ():
        breaks = np.flatnonzero(np.diff(own) > 1) + 1
        starts, ends = own[[0, *breaks]], own[[*(breaks - 1), -1]] + 1
        # background and nucleus take turns, background first
        borders: Any = np.column_stack([starts, ends]).ravel()
        counts = np.diff(borders, prepend=0, append=total).tolist()
        x, y = own // height, own % height
        box = [x[0], y.min(), x[-1] - x[0] + 1, np.ptp(y) + 1]
        label = int(part.labels[y[0] - part.top, x[0] - part.left])
        yield label, counts, len(own), [int(side) for side in box]
