"""Proof that a fine-tuned model is better: both models on corrections and crops held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from .data.patches import TrainingImage
from .events import Comparison
from .metrics import METRICS
from .metrics._matching import Overlaps
from .metrics.average_precision import ap_at
from .reviewed import within_reviewed
from .statistics import paired_bootstrap
from .validation import segment_normalised

# of fewer images an interval says nothing
ENOUGH_TO_COMPARE = 8


def tables_of(network: nn.Module, images: Sequence[TrainingImage], device: str) -> list[Overlaps]:
    """Segment images and compare with what is reviewed of their truth, one table for each."""
    tables = []
    for image in images:
        pixels = np.repeat(image.image, 3 // image.image.shape[0], 0).astype(np.float32)
        found = within_reviewed(image.labels, segment_normalised(network, pixels, device))
        tables.append(Overlaps.between(np.maximum(image.labels, 0), found))
    return tables


def scores_of(tables: Sequence[Overlaps]) -> dict[str, float]:
    """Scores of the nuclei of all tables taken together."""
    pooled = Overlaps.joined(tables)
    # pixels in no nucleus count in none of these, so that an empty table scores 1
    return {
        "dice": float(METRICS.module("dice").score(pooled)),
        "iou": float(METRICS.module("iou").score(pooled)),
        "ap50": float(ap_at(pooled, (0.5,))[0]),
        "ap": float(METRICS.module("average_precision").score(pooled)),
        "pq": float(METRICS.module("panoptic").score(pooled)),
    }


def compare(where: str, before: Sequence[Overlaps], after: Sequence[Overlaps]) -> Comparison:
    """Compare two models image by image.

    Parameters
    ----------
    where : str
        Which images, in words.
    before, after : sequence of Overlaps
        Of the same images in the same order.
    """
    words = ""
    if len(before) >= ENOUGH_TO_COMPARE:
        old, new = ([float(ap_at(t).mean()) for t in tables] for tables in (before, after))
        words = paired_bootstrap(new, old).words("the new model", "the old one")
    nuclei = sum(len(t.true_areas) for t in before)
    return Comparison(where, len(before), nuclei, scores_of(before), scores_of(after), words)


def interpolated(
    old: Mapping[str, Tensor], new: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Weights between those of two models.

    A point on the way often knows the new as well as the new model and the old as well as the old
    one.

    Parameters
    ----------
    old, new : mapping of Tensor
    share : float
        0 is the old model, 1 the new one.

    References
    ----------
    Wortsman M et al. (2022). Robust fine-tuning of zero-shot models.
    doi:10.1109/CVPR52688.2022.00780; weight-space ensembles, section 3.
    """
    return {k: old[k].lerp(v, share) if v.is_floating_point() else v for k, v in new.items()}
