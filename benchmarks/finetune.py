"""Does fine-tuning pay? The bundled model before and after, on micrographs it has not learned from.

    python benchmarks/finetune.py DATA --out results.json

DATA is the 2018 Data Science Bowl with ``index.csv``; all micrographs are of its split ``val``,
which the bundled model has never seen. Corrections are simulated from the truth: 5 nuclei, 20
nuclei, one whole image; all else of that image is not reviewed. Judged are other micrographs of the
same kind, and micrographs of all other kinds as they are ("old skill").
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import tifffile
import torch
from scipy import ndimage

from napari_nucleiseg import read_labels, read_micrograph
from napari_nucleiseg.config import FinetuneConfig
from napari_nucleiseg.data.patches import TrainingImage
from napari_nucleiseg.events import EpochDone, Finetuned, Notice
from napari_nucleiseg.finetuning import finetune
from napari_nucleiseg.intensity import normalise
from napari_nucleiseg.proof import scores_of, tables_of
from napari_nucleiseg.store import find_model, load_network

SURROUNDINGS_PX = 10
JUDGES = 12
OLD = 16
# what one free CPU core learns from in a minute, comparing left out; a number makes runs comparable
STEPS = 300
# with so few nuclei two more networks learn, for the cross-validation
FEW = 12
Pair = tuple[np.ndarray, np.ndarray]


def val_rows(data: Path) -> list[dict[str, str]]:
    """Rows of the index that are of the split val."""
    with (data / "index.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "val"]


def as_it_is(pixels: np.ndarray, labels: np.ndarray) -> Pair:
    """A micrograph as it was taken."""
    return pixels, labels


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """Grey values of a micrograph."""
    return pixels if pixels.ndim == 2 else pixels.mean(-1)


def inverted(pixels: np.ndarray, labels: np.ndarray) -> Pair:
    """Dark nuclei on a bright ground."""
    return (255.0 - grey_of(pixels)).astype(np.uint8), labels


def blurred(pixels: np.ndarray, labels: np.ndarray) -> Pair:
    """Out of focus."""
    return ndimage.gaussian_filter(grey_of(pixels).astype(float), 4.0).astype(np.uint8), labels


def halved(pixels: np.ndarray, labels: np.ndarray) -> Pair:
    """Half as large."""
    small = ndimage.zoom(grey_of(pixels).astype(float), 0.5, order=1)
    return small.astype(np.uint8), labels[::2, ::2][: small.shape[0], : small.shape[1]]


def shifted(pixels: np.ndarray, labels: np.ndarray) -> Pair:
    """A micrograph as another microscope might take it: inverted, blurred, half as large."""
    grey = grey_of(pixels)
    small = ndimage.zoom(ndimage.gaussian_filter(255.0 - grey, 2.0), 0.5, order=1)
    return small.astype(np.uint8), labels[::2, ::2][: small.shape[0], : small.shape[1]]


DOMAINS: dict[str, tuple[str, tuple[int, int] | None, Callable[[np.ndarray, np.ndarray], Pair]]] = {
    "shifted": ("fluorescence", (360, 360), shifted),
    "shifted, many nuclei": ("fluorescence", (520, 696), shifted),
    "shifted, small nuclei": ("fluorescence", (256, 256), shifted),
    "inverted": ("fluorescence", (360, 360), inverted),
    "blurred": ("fluorescence", (360, 360), blurred),
    "half as large": ("fluorescence", (360, 360), halved),
    "stained": ("stained", (256, 320), as_it_is),
}


def pair(data: Path, name: str, change: Callable[[np.ndarray, np.ndarray], Pair]) -> Pair:
    """Pixels and labels of one micrograph."""
    pixels = read_micrograph(data / "images" / f"{name}.png").pixels
    return change(pixels, read_labels(data / "masks" / f"{name}.png").image)


def corrected(labels: np.ndarray, count: int | None) -> np.ndarray:
    """Labels of some neighbouring nuclei and their surroundings; -1 elsewhere."""
    if count is None:
        return labels.astype(np.int32)
    numbers = np.unique(labels[labels > 0])
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers))
    # a person begins somewhere and goes on with the neighbours
    start = centres[np.argsort(((centres - np.array(labels.shape) / 2) ** 2).sum(1))[0]]
    near = numbers[np.argsort(((centres - start) ** 2).sum(1))[:count]]
    mine = np.isin(labels, near)
    seen = ndimage.distance_transform_edt(~mine) <= SURROUNDINGS_PX
    return np.where(mine | (seen & (labels == 0)), labels, -1).astype(np.int32)


def images_of(pairs: list[Pair], model: str) -> list[TrainingImage]:
    """Pairs as a model sees them."""
    card = find_model(model)
    made = []
    for pixels, labels in pairs:
        image = normalise(pixels, card.normalise)
        image = image if pixels.ndim == 3 else image[:1]
        made.append(TrainingImage(image.astype(np.float16), labels, ""))
    return made


def scores(model: str, images: list[TrainingImage]) -> dict[str, float]:
    """Scores of a model on micrographs, their nuclei taken together."""
    return scores_of(tables_of(load_network(find_model(model)), images, "cpu"))


def old_skill(data: Path, kind: str) -> list[Pair]:
    """Some micrographs of all kinds but one."""
    rows = [r for r in val_rows(data) if r["modality"] != kind]
    rows = rows[:: max(1, len(rows) // OLD)]
    return [pair(data, r["image_id"], as_it_is) for r in rows]


def main() -> None:
    """Fine-tune and compare, one run after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("finetune.json"))
    parser.add_argument("--domains", nargs="+", default=list(DOMAINS), choices=list(DOMAINS))
    parser.add_argument("--counts", nargs="+", type=int, default=[5, 20, 0], help="0: whole image")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON of settings")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for domain in arguments.domains:
        modality, size, change = DOMAINS[domain]
        rows = [r for r in val_rows(arguments.data) if r["modality"] == modality]
        of_size = [r for r in rows if (int(r["height"]), int(r["width"])) == size]
        rich = sorted(of_size, key=lambda r: -int(r["nuclei"]))
        source, judges = rich[len(rich) // 4], of_size
        judges = [r for r in judges if r is not source][:JUDGES]
        others = images_of([pair(arguments.data, r["image_id"], change) for r in judges], "nuclei")
        old = images_of(old_skill(arguments.data, modality if change is as_it_is else ""), "nuclei")
        before = scores("nuclei", others), scores("nuclei", old)
        pixels, labels = pair(arguments.data, source["image_id"], change)
        for count, seed in product(arguments.counts, arguments.seeds):
            steps = STEPS // 3 if 0 < count < FEW else STEPS
            values = {"threads": 1, "device": "cpu", "steps": steps, "seed": seed}
            values |= arguments.settings
            config = FinetuneConfig(**values)
            with tempfile.TemporaryDirectory() as folder:
                data = Path(folder) / "data"
                data.mkdir()
                tifffile.imwrite(data / "a.tif", pixels)
                tifffile.imwrite(data / "a_labels.tif", corrected(labels, count or None))
                started, cpu = time.monotonic(), time.process_time()
                for event in finetune(data, config, Path(folder) / "run"):
                    if isinstance(event, Notice):
                        print("  ", event.text)
                    elif isinstance(event, EpochDone):
                        print("  ", event.epoch, round(event.loss, 3), event.scores)
                    elif isinstance(event, Finetuned):
                        done = event
                spent = time.monotonic() - started, time.process_time() - cpu
                after = scores(str(done.path), others), scores(str(done.path), old)
            replay = done.comparisons[-1]
            result = {
                "domain": domain,
                "corrected": count or "whole image",
                "seed": seed,
                "judges": len(others),
                "before": before[0],
                "after": after[0],
                "old_before": before[1],
                "old_after": after[1],
                "replay_before": replay.before,
                "replay_after": replay.after,
                "share": done.share,
                "recommended": done.recommended,
                "reason": done.reason,
                "seconds": round(spent[0], 1),
                "cpu_seconds": round(spent[1], 1),
            }
            results.append(result)
            arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print(
                domain,
                count or "whole",
                *(
                    f"{name} {key} {a[key]:.3f}->{b[key]:.3f}"
                    for name, a, b, keys in (
                        ("others", before[0], after[0], ("ap", "dice")),
                        ("old", before[1], after[1], ("ap",)),
                        ("replay", replay.before, replay.after, ("ap",)),
                    )
                    for key in keys
                ),
                f"share {done.share} {done.reason} {spent[0]:.0f} s, CPU {spent[1]:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
