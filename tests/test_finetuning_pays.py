"""What fine-tuning is for: the bundled model learns micrographs unlike those it knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_nucleiseg import read_labels, read_micrograph
from napari_nucleiseg.config import FinetuneConfig
from napari_nucleiseg.data.patches import TrainingImage
from napari_nucleiseg.events import Finetuned
from napari_nucleiseg.finetuning import finetune
from napari_nucleiseg.intensity import normalise
from napari_nucleiseg.proof import scores_of, tables_of
from napari_nucleiseg.samples import read_sample
from napari_nucleiseg.store import find_model, load_network

FOLDER = Path(__file__).parent / "micrographs"
CORRECTED = 20


def shifted(pixels, labels):
    """A micrograph as another microscope might take it: inverted, blurred, half as large."""
    small = ndimage.zoom(ndimage.gaussian_filter(255.0 - pixels, 2.0), 0.5, order=1)
    return small.astype(np.uint8), labels[::2, ::2].astype(np.int32)


def corrected(labels):
    """The nuclei nearest to the middle with 10 px around them; the rest is not reviewed."""
    numbers = np.unique(labels[labels > 0])
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers))
    away = np.hypot(*(centres - np.array(labels.shape) / 2).T)
    mine = np.isin(labels, numbers[np.argsort(away)[:CORRECTED]])
    seen = ndimage.distance_transform_edt(~mine) <= 10
    return np.where(mine | (seen & (labels == 0)), labels, -1).astype(np.int32)


def other_micrographs():
    """Micrographs of the same kind that neither model has learned from, shifted likewise."""
    card = find_model("nuclei")
    images = []
    for file in sorted(FOLDER.glob("*_labels.png")):
        micrograph = read_micrograph(file.with_name(file.name.replace("_labels", "")))
        pixels, labels = shifted(micrograph.pixels, read_labels(file).image)
        image = normalise(pixels, card.normalise)[:1].astype(np.float16)
        images.append(TrainingImage(image, labels, file.stem))
    return images


@pytest.mark.slow
def test_twenty_corrected_nuclei_make_a_better_model(tmp_path):
    micrograph, labels = read_sample("fluorescence")
    pixels, labels = shifted(micrograph.pixels, labels)
    data = tmp_path / "data"
    data.mkdir()
    tifffile.imwrite(data / "a.tif", pixels)
    tifffile.imwrite(data / "a_labels.tif", corrected(labels))
    others = other_micrographs()
    config = FinetuneConfig(steps=300, threads=1, device="cpu")
    *_, done = finetune(data, config, tmp_path / "run")
    assert isinstance(done, Finetuned)
    before, after = (
        scores_of(tables_of(load_network(find_model(name)), others, "cpu"))
        for name in ("nuclei", str(done.path))
    )
    assert len(others) == 6
    assert after["ap"] > before["ap"] + 0.01
    replay = done.comparisons[-1]
    assert replay.where == "replay set"
    assert replay.after["ap"] >= replay.before["ap"] - 0.01
