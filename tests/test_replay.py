from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from napari_nucleiseg.data.pairs import find_pairs
from napari_nucleiseg.intensity import NormaliseConfig
from napari_nucleiseg.replay import FOLDER, read_replay


def test_it_is_small_and_of_all_kinds():
    size = sum(p.stat().st_size for p in FOLDER.rglob("*") if p.suffix in (".png", ".csv"))
    assert size < 3_000_000
    pairs, notices = find_pairs(FOLDER)
    assert notices == ()
    kinds = Counter((p.name.split("_")[0], p.split) for p in pairs)
    assert all(
        kinds[kind, split] >= 4
        for kind in ("fluorescence", "stained", "brightfield")
        for split in ("train", "held-out")
    )


@pytest.mark.parametrize("split", ["train", "held-out"])
def test_crops_have_nuclei_and_are_marked(split):
    images = read_replay(NormaliseConfig(), [split])
    assert all(i.is_replay for i in images)
    assert all(len(np.unique(i.labels)) > 3 for i in images)
    assert {i.image.shape[0] for i in images} == {1, 3}


def test_no_crop_both_trains_and_judges():
    sources = [line.split(",") for line in (FOLDER / "index.csv").read_text().splitlines()[1:]]
    assert len({row[3] for row in sources}) == len(sources)
