"""Make the bundled model of a checkpoint: weights, and a card with its scores.

    python benchmarks/bundle_model.py run/best.pt DATA

DATA is the folder it was trained on, with ``index.csv``; the scores are those of its split ``val``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from accuracy_and_speed import accuracy, print_accuracy, read_index

from napari_nucleiseg import SegmentConfig, read_labels
from napari_nucleiseg.checkpoint import load_checkpoint
from napari_nucleiseg.instances import diameters
from napari_nucleiseg.publishing import export_model
from napari_nucleiseg.store import BUNDLED

ABOUT = {
    "title": "Nuclei (fluorescence, H&E, brightfield)",
    "description": "Nuclei of cells and tissue: fluorescence, H&E and other stains, brightfield.",
    "licence": "BSD-3-Clause",
}
DATA = {
    "name": "2018 Data Science Bowl, stage 1 training set (BBBC038v1)",
    "source": "Broad Bioimage Benchmark Collection; Caicedo et al. 2019, "
    "doi:10.1038/s41592-019-0612-7",
    "licence": "CC0-1.0",
    "split": "train (80 % of the images, stratified by modality and size); never val",
}
COMMAND = (
    "nucleiseg train --recipe nuclei_base --data DSB2018 --out nuclei_base && "
    "nucleiseg train --recipe nuclei --set start=nuclei_base/nuclei_base.safetensors "
    "--data DSB2018 --out run"
)


def main() -> None:
    """Export, score, export again with the scores in the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=BUNDLED / "nuclei.safetensors")
    arguments = parser.parse_args()

    names = load_checkpoint(arguments.checkpoint).data["train"]
    masks = (read_labels(arguments.data / "masks" / f"{name}.png").image for name in names)
    sizes = np.concatenate([diameters(mask) for mask in masks])
    data = {**DATA, "median_diameter_px": round(float(np.median(sizes)), 1)}
    about = {**ABOUT, "data": data, "command": COMMAND}
    export_model(arguments.checkpoint, arguments.out, "nuclei", about)
    config = SegmentConfig(model=str(arguments.out), device="cpu")
    scores = accuracy(arguments.data, read_index(arguments.data, "val"), config)
    about = {**about, "scores": {"split": "val, means over images", **scores}}
    export_model(arguments.checkpoint, arguments.out, "nuclei", about)
    print_accuracy(scores)


if __name__ == "__main__":
    main()
