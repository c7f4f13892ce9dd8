"""Mask AP as the COCO challenge defines it, for models that give detections with scores.

Unlike the AP of `napari_nucleiseg.metrics.average_precision` it ranks the nuclei of all images by
their score and takes the area below the curve of precision over recall.

References
----------
T.-Y. Lin et al., Microsoft COCO: common objects in context, ECCV 2014,
doi:10.1007/978-3-319-10602-1_48; https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from .detections import Detection
from .errors import DependencyError, ShapeError

MOST_PER_IMAGE = 100
"""As many detections of an image count in COCO: those with the highest scores."""


def mask_ap(
    truths: Sequence[np.ndarray],
    predictions: Sequence[Sequence[Detection]],
    most_per_image: int = MOST_PER_IMAGE,
) -> dict[str, float]:
    """Average precision of detections, pooled over images, by pycocotools.

    Parameters
    ----------
    truths : sequence of (H, W) integer ndarray
        Label images; 0 is background. Where one is below 0, detections neither help nor harm.
    predictions : sequence of sequences of Detection
        For each image; of one class.
    most_per_image : int
        Only so many of an image count. Fields of view often hold more nuclei than 100: then give
        a larger number and say so.

    Returns
    -------
    dict of float
        ``ap`` is the mean over IoU 0.50, 0.55 ... 0.95, ``ap50`` and ``ap75`` are at one; not a
        number where there is no true nucleus.

    Raises
    ------
    DependencyError
        If pycocotools is not installed.
    ShapeError
        If there are not as many images of both.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise DependencyError(
            "Mask AP needs pycocotools, which is not installed",
            "",
            'Install it: pip install "napari-nucleiseg[coco]"',
        ) from error
    if len(truths) != len(predictions):
        raise ShapeError(
            "Each image has a true label image and detections",
            f"{len(truths)} and {len(predictions)} are given",
        )
    true: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, (labels, detections) in enumerate(zip(truths, predictions, strict=True), 1):
        ids = np.unique(labels[labels != 0])
        # what is ignored is a crowd, in COCO's words
        ignored = ids[ids < 0]
        true += [_annotation(labels == i, number) for i in ids[ids > 0]]
        true += [_annotation(np.isin(labels, ignored), number, is_crowd=True)] * bool(len(ignored))
        for detection in detections:
            mask = np.zeros(labels.shape, bool)
            mask[detection.window] = detection.mask
            found.append({**_annotation(mask, number), "score": float(detection.score)})
    # it prints what it does
    with contextlib.redirect_stdout(io.StringIO()):
        tables = []
        for annotations in (true, found):
            table = COCO()
            table.dataset = {
                "images": [
                    {"id": i, "height": labels.shape[0], "width": labels.shape[1]}
                    for i, labels in enumerate(truths, 1)
                ],
                "categories": [{"id": 1, "name": "nucleus"}],
                "annotations": [{"id": i, **a} for i, a in enumerate(annotations, 1)],
            }
            table.createIndex()
            tables.append(table)
        evaluation = COCOeval(*tables, "segm")
        evaluation.params.maxDets = [most_per_image]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, 0, 0, 0]
    at = np.where((precision < 0).any(axis=1), np.nan, precision.mean(axis=1))
    return {"ap": float(at.mean()), "ap50": float(at[0]), "ap75": float(at[5])}


def as_detections(labels: np.ndarray, scores: dict[int, float] | None = None) -> list[Detection]:
    """Nuclei of a label image as detections, for a COCO score of what has no scores.

    Parameters
    ----------
    labels : (H, W) integer ndarray
    scores : dict of float, optional
        By the nucleus' number; 1 where it has none.
    """
    from scipy import ndimage

    numbers = np.maximum(labels, 0).astype(np.int64)
    return [
        Detection(
            (window[0].start, window[1].start), numbers[window] == i, (scores or {}).get(i, 1.0)
        )
        for i, window in enumerate(ndimage.find_objects(numbers), 1)
        if window is not None
    ]


def _annotation(mask: np.ndarray, image: int, *, is_crowd: bool = False) -> dict[str, Any]:
    from pycocotools import mask as masks

    return {
        "image_id": image,
        "category_id": 1,
        "segmentation": masks.encode(np.asfortranarray(mask, np.uint8)),
        "area": int(mask.sum()),
        "iscrowd": int(is_crowd),
    }
