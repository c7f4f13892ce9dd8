"""Make the bundled replay set: small crops of all kinds of micrographs, for fine-tuning.

    python benchmarks/bundle_replay.py DATA

DATA is the 2018 Data Science Bowl with ``index.csv``; only its split ``train`` is looked at. The
crops go round the sizes of micrographs of each modality, so that rare kinds are in it too. A third
of each modality is held out: it scores what a fine-tuned model still knows, and never trains.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections import defaultdict
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

from napari_nucleiseg import read_labels, write_labels
from napari_nucleiseg.replay import FOLDER

CROP_PX = 192
LEAST_NUCLEI = 3
COUNTS = {"fluorescence": 60, "stained": 34, "brightfield": 12}
HELD_OUT_EVERY = 3


def candidates(data: Path, modality: str, rng: np.random.Generator) -> list[str]:
    """Names of training micrographs, taking turns between their sizes."""
    with (data / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == "train"]
    by_size: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["modality"] == modality:
            by_size[f"{row['height']}x{row['width']}"].append(row["image_id"])
    shuffled = [[str(n) for n in rng.permutation(names)] for _, names in sorted(by_size.items())]
    return [name for name in chain.from_iterable(zip_longest(*shuffled)) if name]


def crop(labels: np.ndarray, rng: np.random.Generator) -> tuple[slice, slice] | None:
    """A window with some nuclei, or None where chance finds none."""
    height, width = labels.shape
    for _ in range(20):
        y = int(rng.integers(max(1, height - CROP_PX + 1)))
        x = int(rng.integers(max(1, width - CROP_PX + 1)))
        place = (slice(y, y + CROP_PX), slice(x, x + CROP_PX))
        if len(np.unique(labels[place])) > LEAST_NUCLEI:
            return place
    return None


def main() -> None:
    """Cut, write, and tell the size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    for kind in ("images", "masks"):
        shutil.rmtree(arguments.out / kind, ignore_errors=True)
        (arguments.out / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for modality, count in COUNTS.items():
        made = 0
        for source in candidates(arguments.data, modality, rng):
            labels = read_labels(arguments.data / "masks" / f"{source}.png").image
            place = crop(labels, rng)
            if place is None:
                continue
            name = f"{modality}_{made:02d}"
            with Image.open(arguments.data / "images" / f"{source}.png") as picture:
                pixels = np.asarray(picture)[place]
            Image.fromarray(pixels).save(arguments.out / "images" / f"{name}.png", optimize=True)
            numbers, ranks = np.unique(labels[place], return_inverse=True)
            small = ranks.reshape(labels[place].shape) + int(numbers[0] > 0)
            write_labels(arguments.out / "masks" / f"{name}.png", small.astype(np.int32))
            split = "held-out" if made % HELD_OUT_EVERY == 1 else "train"
            rows.append((name, modality, split, source))
            made += 1
            if made == count:
                break
    with (arguments.out / "index.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image_id", "modality", "split", "source"), *rows])
    size = sum(p.stat().st_size for p in arguments.out.rglob("*.png"))
    print(f"{len(rows)} crops, {size / 1e6:.2f} MB in {arguments.out}")


if __name__ == "__main__":
    main()
