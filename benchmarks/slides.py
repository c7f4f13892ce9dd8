"""Memory and speed against the size of the micrograph, segmented block by block.

``python benchmarks/slides.py [--sides 2000 4000] [--data DSB2018] [--colour] [--whole 4000]``

For each side a square mosaic of real micrographs is written as tiled BigTIFF, piece by piece, and
segmented by ``nucleiseg segment --stream`` in a process of its own, whose peak memory is asked of
the system. Pieces are parts of the samples, or with ``--data`` of the micrographs of the split
``val``, turned over by chance. ``--whole`` names sides that are segmented in memory, too, for
comparison; ``--beside`` writes a table and GeoJSON, too; ``--empty 0.9`` leaves that share of the
mosaic without anything. The largest side is 20,000 px if none are named. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from napari_nucleiseg.io import read_micrograph
from napari_nucleiseg.samples import SAMPLES

PIECE = 256


def pieces(data: Path | None, colour: bool) -> list[np.ndarray]:
    """Micrographs of one kind: grey fluorescence, or colour."""
    if data is None:
        files = [SAMPLES["stained" if colour else "fluorescence"].micrograph]
    else:
        wanted = "stained" if colour else "fluorescence"
        with (data / "index.csv").open(newline="", encoding="utf-8") as file:
            names = [
                row["image_id"]
                for row in csv.DictReader(file)
                if row["split"] == "val" and row["modality"] == wanted
            ]
        files = [next((data / "images").glob(f"{name}.*")) for name in names]
    read = (read_micrograph(file) for file in files)
    found = [m.pixels for m in read if m.is_colour == colour and min(m.shape) >= PIECE]
    return [pixels for pixels in found if pixels.dtype == found[0].dtype]


def tiles(found: list[np.ndarray], side: int, empty: float) -> Iterator[np.ndarray]:
    """Parts of the micrographs, turned over by chance, one for each tile of the file.

    A share of the fields of 8×8 tiles is empty, as glass beside tissue is.
    """
    rng = np.random.default_rng(0)
    across_all = -(-side // PIECE)
    fields = rng.random((across_all // 8 + 1,) * 2) < empty
    glass = np.full((PIECE, PIECE, *found[0].shape[2:]), np.median(found[0]), found[0].dtype)
    for number in range(across_all**2):
        if fields[number // across_all // 8, number % across_all // 8]:
            yield glass
            continue
        pixels = found[rng.integers(len(found))]
        top, left = (int(rng.integers(n - PIECE + 1)) for n in pixels.shape[:2])
        down, across = rng.choice((-1, 1), 2)
        yield np.ascontiguousarray(pixels[top:, left:][:PIECE, :PIECE][::down, ::across])


def write_mosaic(path: Path, found: list[np.ndarray], side: int, empty: float) -> None:
    """Write a square mosaic, in memory one piece at a time."""
    tifffile.imwrite(
        path,
        tiles(found, side, empty),
        shape=(side, side, *found[0].shape[2:]),
        dtype=found[0].dtype,
        tile=(PIECE, PIECE),
        photometric="rgb" if found[0].ndim == 3 else "minisblack",
        compression="zlib",
        bigtiff=True,
    )


def measure(path: Path, out: Path, *flags: str) -> tuple[float, float, int]:
    """Seconds, peak memory in GiB, and nuclei of a run in a process of its own."""
    words = ["segment", str(path), "--out", str(out), "--device", "cpu", *flags]
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "napari_nucleiseg", *words], stdout=subprocess.DEVNULL
    )
    # unlike those of all children, the figures of this one
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if child.returncode != 0:
        raise SystemExit(f"nucleiseg {' '.join(words)} ended with {child.returncode}")
    # kilobytes, except on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    record = json.loads((out / f"{path.stem}_labels.json").read_text("utf-8"))
    return seconds, used.ru_maxrss * unit / 2**30, record["nuclei"]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[2000, 4000, 8000, 20_000])
    parser.add_argument("--whole", type=int, nargs="*", default=[])
    parser.add_argument("--empty", type=float, default=0.0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--beside", action="store_true")
    choice = parser.parse_args()
    found = pieces(choice.data, choice.colour)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {len(found)} kinds"
    )
    print("\n| side, px | Mpx | way | nuclei | s | MPix/s | peak memory, GiB |\n|" + "---|" * 7)
    with tempfile.TemporaryDirectory() as folder:
        for side in choice.sides:
            path = Path(folder) / f"mosaic{side}.tif"
            write_mosaic(path, found, side, choice.empty)
            ways = [("blocks", "--stream")]
            ways += [("whole", "--no-stream")] if side in choice.whole else []
            for way, flag in ways:
                flags = [flag, "--table", "--export", "geojson"] if choice.beside else [flag]
                seconds, memory, nuclei = measure(path, Path(folder) / f"{way}{side}", *flags)
                mega = side * side / 1e6
                print(
                    f"| {side:,} | {mega:.0f} | {way} | {nuclei:,} | {seconds:.0f} "
                    f"| {mega / seconds:.2f} | {memory:.2f} |",
                    flush=True,
                )
            path.unlink()


if __name__ == "__main__":
    main()
