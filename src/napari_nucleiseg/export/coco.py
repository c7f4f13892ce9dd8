"""COCO: every nucleus as an instance with its mask, Lin, T.-Y. et al. (2014), arXiv:1405.0312.

Masks are run lengths down the columns, as pycocotools reads them. The number of the nucleus is
``label`` of its annotation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_text
from ..io import needed

TITLE = "COCO"
ENDING = "_coco.json"


def build() -> Callable[[Path, np.ndarray, str], None]:
    """Give the writer of ``NAME_coco.json``: one image, one annotation for each nucleus."""
    masks = needed("pycocotools.mask", "A COCO file", "export")

    def write(path: Path, labels: np.ndarray, image: str) -> None:
        height, width = labels.shape
        annotations = []
        for number, (label, counts, area, box) in enumerate(_nuclei(labels), 1):
            [code] = masks.frPyObjects([{"counts": counts, "size": [height, width]}], height, width)
            annotations.append(
                {
                    "id": number,
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
            )
        document = {
            "images": [{"id": 1, "file_name": image, "width": width, "height": height}],
            "categories": [{"id": 1, "name": "nucleus", "supercategory": "cell"}],
            "annotations": annotations,
        }
        write_text(path, json.dumps(document, separators=(",", ":")) + "\n")

    return write


def _nuclei(labels: np.ndarray) -> Iterator[tuple[int, list[int], int, list[int]]]:
    """Number, run lengths, area and box (x, y, width, height) of each nucleus."""
    height = labels.shape[0]
    columns = labels.ravel(order="F")
    places = np.flatnonzero(columns > 0)
    # stable: places of a nucleus stay in their order
    places = places[np.argsort(columns[places], kind="stable")]
    changes = np.flatnonzero(np.diff(columns[places])) + 1
    for own in np.split(places, changes) if len(places) else ():
        breaks = np.flatnonzero(np.diff(own) > 1) + 1
        starts, ends = own[[0, *breaks]], own[[*(breaks - 1), -1]] + 1
        # background and nucleus take turns, background first
        borders: Any = np.column_stack([starts, ends]).ravel()
        counts = np.diff(borders, prepend=0, append=labels.size).tolist()
        x, y = own // height, own % height
        box = [x[0], y.min(), x[-1] - x[0] + 1, np.ptp(y) + 1]
        yield int(columns[own[0]]), counts, len(own), [int(side) for side in box]
