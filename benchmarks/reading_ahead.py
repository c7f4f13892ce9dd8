"""What reading the next file while the network works gains: files a second with and without.

A folder of 2048 x 2048 px TIFFs of 16 bits, compressed with zlib, is segmented in turn with and
without reading ahead, each several times; the labels must be the same.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import tifffile

from napari_nucleiseg import batch_reading
from napari_nucleiseg.batch import read_file
from napari_nucleiseg.batch_config import BatchConfig
from napari_nucleiseg.batch_events import BatchEnded
from napari_nucleiseg.batch_plan import BatchPlanned, plan_batch
from napari_nucleiseg.batch_run import run_batch
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.samples import read_sample

SIDE = 2048


def write_folder(folder: Path, count: int) -> None:
    """Fields of the fluorescence sample side by side, with noise, so that they compress badly."""
    pixels = read_sample("fluorescence")[0].pixels.astype(np.float32)
    times = -(-SIDE // min(pixels.shape))
    rng = np.random.default_rng(0)
    for number in range(count):
        field = np.roll(np.tile(pixels, (times, times)), number * 50, axis=1)[:SIDE, :SIDE] * 200
        noisy = np.clip(field + rng.normal(0, 200, field.shape), 0, 65535).astype(np.uint16)
        tifffile.imwrite(folder / f"{number:02d}.tif", noisy, compression="zlib")


def run(folder: Path, out: Path, settings: SegmentConfig, ahead: bool) -> float:
    """Seconds of a whole run."""
    config = BatchConfig(folder=folder, out=out, resume=False, summary=False)
    [plan] = plan_batch(config, settings)
    assert isinstance(plan, BatchPlanned)
    fits = mock.Mock(return_value=ahead)
    with mock.patch.object(batch_reading, "_fits", fits):
        *_, ended = run_batch(plan.files, config, settings)
    assert isinstance(ended, BatchEnded)
    assert ended.segmented == len(plan.files)
    return ended.seconds


def labels_of(out: Path) -> str:
    """Give a fingerprint of all label images."""
    digest = hashlib.sha256()
    for path in sorted(out.glob("*_labels.tif")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    settings = SegmentConfig(device=chosen.device, nucleus_diameter="none")
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place, "in"), Path(place, "out")
        folder.mkdir()
        write_folder(folder, chosen.files)
        [plan] = plan_batch(BatchConfig(folder=folder, out=out), settings)
        assert isinstance(plan, BatchPlanned)
        started = time.monotonic()
        for file in plan.files:
            read_file(file.item, settings)
        print(f"reading alone: {(time.monotonic() - started) / chosen.files:.3f} s a file")
        run(folder, out, settings, True)
        seconds: dict[bool, list[float]] = {True: [], False: []}
        made = set()
        for _ in range(chosen.repeats):
            for ahead in (False, True):
                seconds[ahead].append(run(folder, out, settings, ahead))
                made.add(labels_of(out))
        assert len(made) == 1, "labels differ"
        for ahead, title in ((False, "without"), (True, "with")):
            each = ", ".join(f"{chosen.files / s:.3f}" for s in seconds[ahead])
            rate = chosen.files / median(seconds[ahead])
            print(f"{title} reading ahead: {rate:.3f} files/s ({each})")


if __name__ == "__main__":
    main()
