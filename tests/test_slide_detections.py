"""Detections joined block by block are those joined at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nucleiseg import streaming
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.detections import Detection, join
from napari_nucleiseg.events import Notice, TileDone
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.slide_detections import (
    groups_of,
    join_own,
    load_detections,
    save_detections,
)
from napari_nucleiseg.streaming import stream
from napari_nucleiseg.windows import Window, blocks_of

SHAPE = (90, 120)


def some_detections(seed: int) -> list[Detection]:
    """Squares that overlap by chance, some cut, some the same twice."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(60):
        height, width = rng.integers(3, 14, 2)
        origin = int(rng.integers(0, 90 - height)), int(rng.integers(0, 120 - width))
        mask = rng.random((height, width)) < 0.9
        mask[0, 0] = True
        found.append(
            Detection(
                origin, mask, float(rng.random()), int(rng.integers(1, 4)), bool(rng.random() < 0.3)
            )
        )
    return found + [replace(d, score=d.score / 2) for d in found[:9]]


def test_detections_come_back_from_the_disk(tmp_path):
    for number, detections in enumerate((some_detections(0), [])):
        path = tmp_path / f"{number}.npz"
        save_detections(path, detections)
        found = load_detections(path)
        assert len(found) == len(detections)
        for one, other in zip(found, detections, strict=True):
            # whether it is cut depends on the place of the tile
            assert (one.origin, one.score, one.class_id) == (
                other.origin,
                other.score,
                other.class_id,
            )
            np.testing.assert_array_equal(one.mask, other.mask)


def test_a_group_shares_pixels_step_by_step():
    bar = np.ones((1, 4), bool)
    at = [(0, 0), (5, 5), (0, 3), (0, 6), (1, 0)]
    groups = groups_of([Detection(place, bar, 0.5) for place in at])
    assert groups[0] == groups[2] == groups[3]
    assert len(set(groups.tolist())) == 3


@pytest.mark.parametrize("seed", range(5))
def test_groups_joined_by_themselves_are_those_joined_at_once(seed):
    detections = some_detections(seed)
    whole, kinds = join(detections, SHAPE, 5)
    everything = Window(slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    for block in blocks_of(SHAPE, 37):
        labels, classes, around, is_cut = join_own(detections, block, everything, SHAPE, 5)
        assert not is_cut
        core = block.within(around)
        ours, theirs = labels[core], whole[block]
        np.testing.assert_array_equal(ours > 0, theirs > 0)
        pairs = np.unique(np.stack([ours[ours > 0], theirs[theirs > 0]]), axis=1).T
        assert len(pairs) == len(np.unique(ours[ours > 0])) == len(np.unique(theirs[theirs > 0]))
        assert all(classes[one - 1] == kinds[other - 1] for one, other in pairs)


def test_a_group_that_reaches_out_of_what_is_known_is_told():
    bar = Detection((3, 2), np.ones((2, 30), bool), 0.9)
    block = Window(slice(0, 10), slice(0, 10))
    *_, is_cut = join_own([bar], block, block.grown(5, SHAPE), SHAPE, 0)
    assert is_cut
    *_, is_cut = join_own([bar], block, block.grown(25, SHAPE), SHAPE, 0)
    assert not is_cut


@pytest.mark.slow
@pytest.mark.parametrize("diameter", ["none", "80 px"])
def test_blocks_give_what_the_whole_gives(fluorescence, tmp_path, monkeypatch, diameter):
    monkeypatch.setattr(streaming, "MARGIN_PX", 16)
    monkeypatch.setattr(streaming, "_SMALLEST_PX", 130)
    pixels = fluorescence[0].pixels
    # as large to the network, which sees it in four tiles
    pixels = np.tile(pixels[::2, ::2] if diameter == "none" else pixels, (2, 2))
    if diameter != "none":
        pixels = np.tile(pixels, (2, 2))[:1000, :1100]
    slide = Micrograph(pixels, "YX", name="slide")
    config = SegmentConfig(
        model="mask-rcnn", device="cpu", tile_px=256, overlap_px=64, nucleus_diameter=diameter
    )
    whole = segment_now(slide, config)
    assert whole.count > 5
    *events, last = stream(slide, config, tmp_path / "a.ome.zarr", block_px=130)
    assert sum(isinstance(e, TileDone) for e in events) >= 4
    found = read_labels(last.path).image
    np.testing.assert_array_equal(found > 0, whole.labels > 0)
    pairs = np.unique(np.stack([found[found > 0], whole.labels[found > 0]]), axis=1)
    assert pairs.shape[1] == whole.count == last.count == found.max()
    assert last.manifest["magnification"] == whole.manifest["magnification"]
    assert not [e for e in events if isinstance(e, Notice) and "hang together" in e.text]
