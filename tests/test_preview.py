"""The preview of a training batch is what the training learns from."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
import torch

from napari_nucleiseg import training
from napari_nucleiseg.config import FinetuneConfig
from napari_nucleiseg.errors import TrainingError
from napari_nucleiseg.finetuning import finetune, task
from napari_nucleiseg.overlay import OUTLINE_RGB
from napari_nucleiseg.preview import GAP_GREY, GAP_PX, BatchDrawn, draw_batch, draw_grid
from napari_nucleiseg.preview import draw_patch as draw
from napari_nucleiseg.replay import read_replay
from napari_nucleiseg.samples import SAMPLES, read_sample


@pytest.fixture
def corrections(tmp_path):
    """The fluorescence sample, of which the left half alone was reviewed."""
    micrograph, labels = read_sample("fluorescence")
    labels = labels.astype(np.int32)
    labels[:, 200:] = -1
    folder = tmp_path / "corrections"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", micrograph.pixels)
    tifffile.imwrite(folder / "a_labels.tif", labels)
    return folder


def settings(**changes):
    values = {"steps": 2, "batch_size": 3, "patch_px": 64, "threads": 1, "device": "cpu", "seed": 7}
    return FinetuneConfig(**{**values, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("may_forget", ["nothing", "anything"])
def test_it_is_what_the_training_learns_from(corrections, tmp_path, monkeypatch, may_forget):
    def few(normalise, splits):
        return read_replay(normalise, splits)[::12]

    monkeypatch.setattr(task, "read_replay", few)
    config = settings(may_forget=may_forget)
    seen = []
    fit = training.fit_batch

    def watched(fitted, optimizer, batches, *rest):
        seen.extend((images.clone(), labels.clone()) for images, labels in batches)
        return fit(fitted, optimizer, batches, *rest)

    monkeypatch.setattr(training, "fit_batch", watched)
    for _ in finetune(corrections, config, tmp_path / "out"):
        if len(seen) == 2:
            break
    assert len(seen) == 2
    for step, (images, labels) in enumerate(seen):
        (drawn,) = draw_batch(corrections, config, step)
        assert isinstance(drawn, BatchDrawn)
        assert torch.equal(torch.from_numpy(drawn.images), images)
        assert torch.equal(torch.from_numpy(drawn.labels), labels)
        assert drawn.replay == (0.5 if may_forget == "nothing" else 0)
    assert not np.array_equal(seen[0][0], seen[1][0])


def test_it_writes_nothing_and_names_what_is_left_out(corrections, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(SAMPLES["stained"].micrograph, corrections / "b.png")
    (corrections / "b_labels.png").write_bytes(b"no picture")
    before = sorted(tmp_path.rglob("*"))
    (drawn,) = draw_batch(corrections, settings(may_forget="anything"))
    assert drawn.images.shape == (3, 3, 64, 64)
    assert drawn.micrographs == 1
    assert (drawn.labels == -1).any()
    assert any("b_labels.png" in told for told in drawn.left_out)
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_nucleus_it_says_what_the_training_would(corrections):
    tifffile.imwrite(corrections / "a_labels.tif", np.zeros((360, 360), np.int32))
    with pytest.raises(TrainingError, match="Correct some nuclei first"):
        list(draw_batch(corrections, settings()))


def test_a_patch_is_drawn_with_outlines_and_what_was_not_reviewed_dark():
    image = np.full((3, 6, 8), 0.8, np.float32)
    image[:, 0, 0] = 1.4
    labels = np.zeros((6, 8), np.int32)
    labels[1:4, 1:4] = 5
    labels[:, 6:] = -1
    picture = draw(image, labels)
    assert picture.shape == (6, 8, 3)
    assert tuple(picture[1, 1]) == OUTLINE_RGB
    assert tuple(picture[2, 2]) == (204, 204, 204)
    assert tuple(picture[0, 0]) == (255, 255, 255)
    assert tuple(picture[5, 7]) == (71, 71, 71)


def test_a_grid_holds_all_patches_in_their_order():
    images = np.stack([np.full((3, 4, 4), n / 4, np.float32) for n in range(3)])
    grid = draw_grid(images, np.zeros((3, 4, 4), np.int32))
    step = 4 + GAP_PX
    assert grid.shape == (step + 4, step + 4, 3)
    corners = [grid[0, 0, 0], grid[0, step, 0], grid[step, 0, 0], grid[step, step, 0]]
    assert corners == [0, 64, 128, GAP_GREY]
    alone = draw_grid(images[:1], np.zeros((1, 4, 4), np.int32))
    assert alone.shape == (4, 4, 3)
