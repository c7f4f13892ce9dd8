"""Make the bundled models of a study: weights, and cards with their scores and speeds.

    python benchmarks/bundle_variants.py STUDY DATA

STUDY is the folder of ``nucleiseg study run table1-compact --data DATA --out STUDY``, all runs of
which are finished. Scores are those of the split ``val`` as the package segments it, speeds those
of the study: PyTorch on one CPU core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from accuracy_and_speed import accuracy, print_accuracy, read_index
from bundle_model import data_of

from napari_nucleiseg import SegmentConfig
from napari_nucleiseg.publishing import export_model
from napari_nucleiseg.store import BUNDLED
from napari_nucleiseg.study.plan import Run, plan
from napari_nucleiseg.study.report import recall
from napari_nucleiseg.study.run import RECORD, folder_of

NETWORKS = {"unet": "UNet", "unetr": "UNETR"}
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
SCHEDULES = {"constant": "", "poly": ", polynomial schedule"}


def short_name(run: Run) -> str:
    """Name of the model: the variant's, without a schedule that does nothing."""
    return run.variant.removesuffix("-constant")


def bundle(run: Run, study: Path, data: Path, out: Path) -> None:
    """Export a run, score it, export it again with its scores in the card."""
    folder = folder_of(run, study)
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    name = short_name(run)
    title = f"{NETWORKS[run.network]}, {OPTIMIZERS[run.optimizer]}{SCHEDULES[run.schedule]}"
    about = {
        "title": title,
        "description": "One of the networks compared in docs/study.md, trained from random "
        f"weights in {record['steps']:,} steps; for nuclei in fluorescence, stained and "
        "brightfield micrographs.",
        "licence": "BSD-3-Clause",
        "data": data_of(folder / "best.pt", data),
        "command": "nucleiseg study run table1-compact --data DSB2018 --out STUDY "
        f"(run {run.name})",
        "speed": {
            "megapixels_per_second": round(
                record["test_megapixels"] / record["test_cpu_seconds"], 2
            ),
            "measured": "PyTorch, one CPU core, split val",
        },
    }
    path = out / f"{name}.safetensors"
    export_model(folder / "best.pt", path, name, about)
    config = SegmentConfig(model=str(path), device="cpu")
    scores = accuracy(data, read_index(data, "val"), config)
    about["scores"] = {"split": "val, means over images", **scores}
    export_model(folder / "best.pt", path, name, about)
    print(f"\n{name} ({path.stat().st_size / 1e6:.1f} MB)")
    print_accuracy(scores)


def main() -> None:
    """Bundle every finished run of the first seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=BUNDLED)
    arguments = parser.parse_args()
    runs = plan(recall(arguments.study)[0])
    for run in runs:
        done = (folder_of(run, arguments.study) / RECORD).is_file()
        if not done:
            print(f"{run.name} is not finished")
        elif run.seed == runs[0].seed:
            bundle(run, arguments.study, arguments.data, arguments.out)


if __name__ == "__main__":
    main()
