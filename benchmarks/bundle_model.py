"""Make a bundled model of a checkpoint: weights, and a card with its scores and speed.

    python benchmarks/bundle_model.py run/best.pt DATA
    python benchmarks/bundle_model.py run/best.pt DATA --name mask-rcnn

DATA is the folder it was trained on, with ``index.csv``; the scores are those of its split ``val``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from accuracy_and_speed import accuracy, print_accuracy, read_index, whole_speed

from napari_nucleiseg import SegmentConfig, read_labels
from napari_nucleiseg.checkpoint import load_checkpoint
from napari_nucleiseg.instances import diameters
from napari_nucleiseg.publishing import export_model
from napari_nucleiseg.store import BUNDLED

ABOUT = {
    "nuclei": {
        "title": "Nuclei",
        "description": "Nuclei of cells and tissue: fluorescence, H&E and other stains, "
        "brightfield.",
        "command": "nucleiseg train --recipe nuclei_base --data DSB2018 --out nuclei_base && "
        "nucleiseg train --recipe nuclei --set start=nuclei_base/nuclei_base.safetensors "
        "--data DSB2018 --out run",
    },
    "mask-rcnn": {
        "title": "Mask R-CNN, AdamW",
        "description": "A small Mask R-CNN with ResNet-18, trained from random weights; finds "
        "each nucleus on its own, so that nuclei may overlap.",
        "command": "nucleiseg train --recipe mask_rcnn --data DSB2018 --out run",
    },
}
DATA = {
    "name": "2018 Data Science Bowl, stage 1 training set (BBBC038v1)",
    "source": "Broad Bioimage Benchmark Collection; Caicedo et al. 2019, "
    "doi:10.1038/s41592-019-0612-7",
    "licence": "CC0-1.0",
    "split": "train (80 % of the images, stratified by modality and size); never val",
}


def data_of(checkpoint: Path, folder: Path) -> dict[str, object]:
    """What a model was trained on, for its card."""
    names = load_checkpoint(checkpoint).data["train"]
    masks = (read_labels(folder / "masks" / f"{name}.png").image for name in names)
    sizes = np.concatenate([diameters(mask) for mask in masks])
    return {**DATA, "median_diameter_px": round(float(np.median(sizes)), 1)}


def main() -> None:
    """Export, score, export again with the scores in the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--name", choices=sorted(ABOUT), default="nuclei")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    arguments = parser.parse_args()

    name, path = arguments.name, arguments.out / f"{arguments.name}.safetensors"
    about = {**ABOUT[name], "licence": "BSD-3-Clause"}
    about["data"] = data_of(arguments.checkpoint, arguments.data)
    export_model(arguments.checkpoint, path, name, about)
    config = SegmentConfig(model=str(path), device="cpu")
    modality = read_index(arguments.data, "val")
    scores = accuracy(arguments.data, modality, config)
    about["scores"] = {"split": "val, means over images", **scores}
    about["speed"] = {
        "megapixels_per_second": whole_speed(arguments.data, modality, config),
        "measured": "PyTorch, one CPU core, split val",
    }
    export_model(arguments.checkpoint, path, name, about)
    print_accuracy(scores)
    print(about["speed"])


if __name__ == "__main__":
    main()
