"""Accuracy by modality, speed of each step, peak memory: of a model on a folder with truth.

    python benchmarks/accuracy_and_speed.py DATA [--model NAME] [--split val] [--repeats 3]

DATA is a folder with ``images/``, ``masks/`` and ``index.csv`` (columns image_id, modality,
split), such as the Data Science Bowl 2018 stage 1 training set. Everything runs on one CPU core, so
that figures of different machines can be compared; speeds are pixels of all images over the best
of the repeats.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import argparse
import csv
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from napari_nucleiseg import SegmentConfig, read_labels, read_micrograph, segment_now, write_labels
from napari_nucleiseg.engine import build_engine
from napari_nucleiseg.finding import decode_config
from napari_nucleiseg.instances import maps_to_labels
from napari_nucleiseg.intensity import intensity_range, rescale
from napari_nucleiseg.metrics.average_precision import average_precision
from napari_nucleiseg.metrics.dice import dice
from napari_nucleiseg.store import find_model
from napari_nucleiseg.tiling import Grid, predict_maps


def best_time(work: Callable[[], object], repeats: int) -> float:
    """Shortest of several runs, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def read_index(folder: Path, split: str) -> dict[str, str]:
    """Modality of each image of a split."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return {r["image_id"]: r["modality"] for r in csv.DictReader(file) if r["split"] == split}


def accuracy(
    folder: Path, modality: dict[str, str], config: SegmentConfig
) -> dict[str, dict[str, float]]:
    """Segment every image; per-image means of all and of each modality."""
    rows = []
    for name, kind in modality.items():
        found = segment_now(read_micrograph(folder / "images" / f"{name}.png"), config).labels
        truth = read_labels(folder / "masks" / f"{name}.png").image
        ap = average_precision(truth, found)
        rows.append((kind, (dice(truth, found), ap[0], ap[5], ap.mean())))
    scores = {}
    for group in ("all", *sorted(set(modality.values()))):
        values = np.array([v for kind, v in rows if group in ("all", kind)])
        names = ("dice", "ap50", "ap75", "mean_ap")
        means = {n: round(float(m), 4) for n, m in zip(names, values.mean(0), strict=True)}
        scores[group] = {"images": len(values), **means}
    return scores


def whole_speed(folder: Path, modality: dict[str, str], config: SegmentConfig) -> float:
    """Megapixels that are segmented in a second of CPU time by PyTorch, files in memory."""
    config = config.model_copy(update={"engine": "torch"})
    pixels = seconds = 0.0
    for name in modality:
        micrograph = read_micrograph(folder / "images" / f"{name}.png")
        started = time.process_time()
        labels = segment_now(micrograph, config).labels
        seconds += time.process_time() - started
        pixels += labels.size
    return round(pixels / 1e6 / seconds, 2)


def print_accuracy(scores: dict[str, dict[str, float]]) -> None:
    """Print the scores as a table."""
    print("| | images | Dice | AP@0.5 | AP@0.75 | mean AP 0.5:0.95 |")
    print("|---|---|---|---|---|---|")
    for group, values in scores.items():
        images, *means = values.values()
        print(f"| {group} | {images} |", *(f"{v:.3f} |" for v in means))


def print_speed(
    folder: Path, modality: dict[str, str], config: SegmentConfig, repeats: int
) -> None:
    """Time the steps on one core and print megapixels per second."""
    paths = [folder / "images" / f"{name}.png" for name in modality]
    model = find_model(config.model)
    fast = build_engine(model, config)
    plain = build_engine(model, config.model_copy(update={"engine": "torch"}))
    micrographs = [read_micrograph(p) for p in paths]
    ends = [intensity_range(m.pixels, model.normalise) for m in micrographs]
    inputs = [
        rescale(m.pixels, low, high, model.normalise.clip)
        for m, (low, high) in zip(micrographs, ends, strict=True)
    ]
    grid = Grid(config.tile_px, config.overlap_px, model.multiple)
    count = len(model.map_names)
    maps = [predict_maps(fast.predict, i, count, grid) for i in inputs]
    settings = decode_config(config)

    def whole_way() -> None:
        with tempfile.TemporaryDirectory() as out:
            for path in paths:
                result = segment_now(read_micrograph(path), config)
                write_labels(Path(out, f"{path.stem}_labels.tif"), result.labels)

    steps: dict[str, Callable[[], object]] = {
        "network, PyTorch": lambda: [predict_maps(plain.predict, i, count, grid) for i in inputs],
        f"network, {fast.name}": lambda: [
            predict_maps(fast.predict, i, count, grid) for i in inputs
        ],
        "decoding": lambda: [maps_to_labels(m[0], m[1], settings) for m in maps],
        "whole way, from file to label file": whole_way,
    }
    pixels = sum(m.shape[0] * m.shape[1] for m in micrographs) / 1e6
    seconds = {name: best_time(work, repeats) for name, work in steps.items()}
    reference = seconds["network, PyTorch"]
    print("\n| step | MPix/s on one core | against the network in PyTorch |\n|---|---|---|")
    for name, time_taken in seconds.items():
        print(f"| {name} | {pixels / time_taken:.2f} | {reference / time_taken:.2f} |")


def main() -> None:
    """Run both and print the machine they ran on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--split", default="val")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    config = SegmentConfig(model=arguments.model, device="cpu")
    modality = read_index(arguments.data, arguments.split)
    print_accuracy(accuracy(arguments.data, modality, config))
    print_speed(arguments.data, modality, config, arguments.repeats)
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", 0)
    if not peak:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"\nPeak memory {peak / 2**30:.2f} GiB.")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}.")


if __name__ == "__main__":
    main()
