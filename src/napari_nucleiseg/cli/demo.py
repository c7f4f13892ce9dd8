"""``nucleiseg demo``: try it on a sample."""

from __future__ import annotations

import sys
from pathlib import Path

from .. import wording
from ..config import SegmentConfig
from .console import Out, in_words, say


@in_words
def demo(
    out: Out = Path("nucleiseg-demo"),
) -> None:
    """Segment a sample that comes with the program, and compare with its true nuclei."""
    from ..batch import FileDone, prepare_folder, segment_file
    from ..events import DeviceChosen, Notice
    from ..io import read_labels
    from ..metrics import METRICS
    from ..result_names import Item
    from ..samples import SAMPLES

    sample = SAMPLES["fluorescence"]
    prepare_folder(out)
    item = Item(sample.micrograph, sample.micrograph.stem)
    for event in segment_file(item, out, SegmentConfig(), overlay=True):
        if isinstance(event, (Notice, DeviceChosen)):
            say(event.text)
        elif isinstance(event, FileDone):
            truth = read_labels(sample.labels).image
            dice = METRICS["dice"]()(truth, read_labels(event.labels).image)
            say(f"{sample.title}: {wording.result(event.segmented, None)}", sys.stdout)
            say(f"True nuclei: {len(set(truth[truth > 0].tolist()))}; Dice {dice:.2f}", sys.stdout)
            say(f"Label image: {event.labels}\nOutlines:    {event.overlay}", sys.stdout)
