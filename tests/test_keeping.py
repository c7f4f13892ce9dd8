"""Label images kept for later."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np

from napari_nucleiseg.keeping import KeptLabels


def label_image(number: int) -> np.ndarray:
    return np.full((10, 10), number, np.int32)


def test_old_ones_go_to_a_folder_and_come_back(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = KeptLabels(most_bytes=2 * label_image(0).nbytes)
    for i in range(5):
        kept.keep(("model", i), label_image(i))
    assert (len(kept), kept.in_memory) == (5, 2)
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    for i in range(5):
        assert ("model", i) in kept
        assert np.array_equal(kept["model", i], label_image(i))
    assert ("model", 5) not in kept
    del kept
    gc.collect()
    assert list(Path(tmp_path).iterdir()) == []


def test_what_is_given_is_a_copy():
    kept = KeptLabels()
    kept.keep("a", label_image(1))
    kept["a"][:] = 7
    assert kept["a"].max() == 1
