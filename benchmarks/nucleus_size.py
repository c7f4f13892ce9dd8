"""AP against the size of nuclei: micrographs enlarged and shrunk, with and without resampling.

    python benchmarks/nucleus_size.py DATA [--model NAME] [--images 44] [--scales 0.25 4]

DATA is as for ``accuracy_and_speed.py``. Micrographs of the split ``val``, taken at even steps from
its list, are resampled as a camera with other pixels would take them; the truth goes along.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy_and_speed import read_index

from napari_nucleiseg import SegmentConfig, read_labels, read_micrograph, segment_now
from napari_nucleiseg.metrics.average_precision import average_precision
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.resampling import labels_at, resample

SCALES = (0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0)


def resized(
    micrograph: Micrograph, truth: np.ndarray, scale: float
) -> tuple[Micrograph, np.ndarray]:
    """A micrograph and its truth with pixels of another size."""
    if scale == 1:
        return micrograph, truth
    most = 255 if micrograph.pixels.dtype == np.uint8 else 65535
    pixels = np.round(resample(micrograph.pixels, 0, most, scale) * most)
    made = replace(micrograph, pixels=pixels.astype(micrograph.pixels.dtype), pixel_size_um=None)
    return made, labels_at(truth, made.shape)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--images", type=int, default=44)
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES)
    arguments = parser.parse_args()
    names = list(read_index(arguments.data, "val"))
    names = names[:: max(1, len(names) // arguments.images)][: arguments.images]
    pairs = [
        (
            read_micrograph(arguments.data / "images" / f"{n}.png"),
            read_labels(arguments.data / "masks" / f"{n}.png").image,
        )
        for n in names
    ]
    print(f"{len(pairs)} micrographs, model {arguments.model}: mean AP 0.5:0.95 (AP@0.5)")
    print("| scale | as it is | with resampling | resampled |\n| --- | --- | --- | --- |")
    for scale in arguments.scales:
        cells: list[str] = []
        touched = 0
        for size in ("none", "auto"):
            config = SegmentConfig(model=arguments.model, device="cpu", nucleus_diameter=size)
            rows = []
            for pair in pairs:
                micrograph, truth = resized(*pair, scale)
                found = segment_now(micrograph, config)
                touched += found.manifest["magnification"] != 1
                rows.append(average_precision(truth, found.labels))
            mean = np.mean(rows, axis=0)
            cells.append(f"{mean.mean():.3f} ({mean[0]:.3f})")
        print(f"| {scale:g} | {cells[0]} | {cells[1]} | {touched} |", flush=True)


if __name__ == "__main__":
    main()
