"""What people run into with other programs: whole cases, on inputs made of the samples.

Numbers in the names of tests are those of the project's list of such cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from napari_nucleiseg import cli
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.io import read_labels, read_micrograph
from napari_nucleiseg.metrics.dice import dice
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.samples import SAMPLES, read_sample
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.tiling import tile_starts


def overlaps(truth: np.ndarray, found: np.ndarray) -> dict[int, float]:
    """IoU of each true nucleus with the one that covers most of it."""
    true_area, found_area = np.bincount(truth.ravel()), np.bincount(found.ravel())
    result = {}
    for number in np.flatnonzero(true_area)[1:]:
        counts = np.bincount(found[truth == number])
        counts[0] = 0
        best = int(counts.argmax())
        shared = int(counts[best])
        result[int(number)] = shared / (true_area[number] + found_area[best] - shared)
    return result


def run(*words: object) -> str:
    """Segment from the command line; what it says, without a traceback in it."""
    result = CliRunner().invoke(cli.app, ["segment", *map(str, words)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, (result.output, result.exception)
    assert "Traceback" not in result.output
    return str(result.stderr)


def four_channels(grey: np.ndarray) -> np.ndarray:
    """Noise in three channels and nuclei in the third of four."""
    noise = np.random.default_rng(0).integers(0, 9, (4, *grey.shape)).astype(np.uint16)
    noise[2] = grey.astype(np.uint16) * 200
    return noise


class TestCase9:
    """Grey, colour and many channels suit the bundled model, and it says what it takes."""

    @pytest.mark.parametrize("name", ["fluorescence", "stained"])
    def test_grey_and_colour(self, tmp_path, name):
        said = run(SAMPLES[name].micrograph, "--out", tmp_path)
        labels = read_labels(tmp_path / f"{name}_labels.tif").image
        assert f"{name}.png: {labels.max()} nuclei" in said
        assert dice(read_sample(name)[1], labels) > 0.7

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"imagej": True, "metadata": {"axes": "CYX"}}, ["in channel 3", "compact"]),
            (
                {
                    "imagej": True,
                    "metadata": {"axes": "CYX", "Labels": ["GFP", "actin", "DAPI", "empty"]},
                },
                ["in channel 3 (DAPI)", "named DAPI"],
            ),
            ({"photometric": "minisblack", "metadata": None}, ["taken as channels", "channel 3"]),
        ],
        ids=["channels", "named channels", "planes without names"],
    )
    def test_four_channels(self, tmp_path, fluorescence, options, words):
        micrograph, truth = fluorescence
        path = tmp_path / "four.tif"
        tifffile.imwrite(path, four_channels(micrograph.pixels), **options)
        said = run(path, "--out", tmp_path)
        assert all(word in said for word in words)
        labels = read_labels(tmp_path / "four_labels.tif").image
        assert f"four.tif: {labels.max()} nuclei" in said
        assert dice(truth, labels) > 0.85

    @pytest.mark.parametrize("varies", [True, False])
    def test_a_picture_with_transparency_is_colour(self, tmp_path, stained, varies):
        micrograph, _ = stained
        alpha = np.full(micrograph.shape, 255, np.uint8)
        if varies:
            alpha[:20, :20] = 0
        path = tmp_path / "clear.png"
        Image.fromarray(np.dstack([micrograph.pixels, alpha])).save(path)
        said = run(path, "--out", tmp_path)
        assert ("The transparency of the picture was left out" in said) == varies
        labels = read_labels(tmp_path / "clear_labels.tif").image
        assert np.array_equal(labels, segment_now(micrograph).labels)


@pytest.mark.parametrize("name", ["fluorescence", "stained"])
def test_case_8_library_and_command_line_agree(tmp_path, name):
    run(SAMPLES[name].micrograph, "--out", tmp_path)
    labels = read_labels(tmp_path / f"{name}_labels.tif").image
    assert np.array_equal(labels, segment_now(read_sample(name)[0]).labels)
    assert np.array_equal(labels, segment_now(read_micrograph(SAMPLES[name].micrograph)).labels)


def mosaic(name: str, rows: int, columns: int) -> Micrograph:
    """A sample repeated, each time mirrored by chance."""
    micrograph, _ = read_sample(name)
    rng = np.random.default_rng(7)

    def piece() -> np.ndarray:
        down, across = rng.choice((-1, 1), 2)
        return micrograph.pixels[::down, ::across]

    parts = [np.concatenate([piece() for _ in range(columns)], axis=1) for _ in range(rows)]
    return replace(micrograph, pixels=np.concatenate(parts))


def tile_lines(length: int, config: SegmentConfig) -> list[int]:
    """First pixels, ends and middles of overlaps of all tiles along one axis."""
    starts = tile_starts(length, config.tile_px, config.overlap_px, 32)
    stops = [start + config.tile_px for start in starts]
    shared = zip(starts[1:], stops, strict=False)
    lines = {line for start, stop in shared for line in (start, (start + stop) // 2, stop)}
    return sorted(lines)


def straight_edges(labels: np.ndarray, columns: list[int], least: int = 8) -> Iterator[int]:
    """Lengths of straight vertical borders of nuclei at these columns, from ``least`` pixels."""
    for x in columns:
        left, right = labels[:, x - 1], labels[:, x]
        differ = (left != right).astype(np.int8)
        # a border goes on only along the same pair of nuclei
        same = (np.diff(left) == 0) & (np.diff(right) == 0)
        length = 0
        for i, here in enumerate(differ):
            goes_on = here and length and same[i - 1]
            if not goes_on:
                if length >= least:
                    yield length
                length = 0
            length += int(here)
        if length >= least:
            yield length


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rows", "columns"), [("fluorescence", 4, 4), ("stained", 6, 5)])
def test_case_7_tiles_leave_no_trace(name, rows, columns):
    picture = mosaic(name, rows, columns)
    assert min(picture.shape) >= 1400
    config = SegmentConfig(tile_px=512)
    tiled = segment_now(picture, config)
    whole = segment_now(picture, config.model_copy(update={"tile_px": 2048}))
    assert abs(tiled.count - whole.count) <= max(2, 0.005 * whole.count)

    down, across = (tile_lines(length, config) for length in picture.shape)
    assert len(down) >= 6
    on_a_line = set(whole.labels[down].ravel()) | set(whole.labels[:, across].ravel())
    found = overlaps(whole.labels, tiled.labels)
    values = np.array([found[int(number)] for number in on_a_line if number])
    assert len(values) > 50
    assert (values > 0.95).mean() >= 0.98

    def edges(labels: np.ndarray) -> int:
        return len([*straight_edges(labels, across), *straight_edges(labels.T, down)])

    assert edges(tiled.labels) <= edges(whole.labels)


def test_straight_edges_are_counted():
    labels = np.zeros((30, 30), int)
    labels[2:14, 5:20] = 1
    labels[14:20, 5:20] = 2
    assert list(straight_edges(labels, [5])) == [12]
    assert list(straight_edges(labels, [6])) == []
    labels[12:, 10:] = 0
    assert list(straight_edges(labels, [10])) == []


def dimmed(factor: float, first: int) -> tuple[Micrograph, np.ndarray]:
    """Nuclei of the fluorescence sample, every other one dimmed, and the label image of those.

    They are made equally bright before, and there is noise of a hundredth of their brightness, as a
    16-bit camera has it: so the factor is what the dim ones are to the bright ones.
    """
    micrograph, truth = read_sample("fluorescence")
    pixels = micrograph.pixels.astype(np.float32)
    level = np.median(pixels[truth == 0])
    pixels -= level
    for number in range(1, int(truth.max()) + 1):
        inside = truth == number
        bright = 4000 / np.median(pixels[inside])
        pixels[inside] *= bright * (factor if number % 2 == first else 1)
    pixels[truth == 0] *= 100
    noise = np.random.default_rng(0).normal(1000, 40, pixels.shape)
    stored = (pixels + noise).clip(0).astype(np.uint16)
    return replace(micrograph, pixels=stored), np.where(truth % 2 == first, truth, 0)


@pytest.mark.parametrize(
    "factor",
    [
        1,
        0.3,
        0.15,
        0.1,
    ],
)
def test_case_6_most_dim_nuclei_beside_bright_ones_are_found(factor):
    values: list[float] = []
    for first in (0, 1):
        micrograph, dim = dimmed(factor, first)
        values += overlaps(dim, segment_now(micrograph).labels).values()
    assert len(values) == 22
    assert np.mean(np.array(values) > 0.7) > 0.6


class TestCase2:
    """Three 16-bit samples are channels, 8-bit ones a colour picture; one flag overrides."""

    def test_16_bits_tagged_as_colours(self, tmp_path, fluorescence):
        grey, _ = fluorescence
        path = tmp_path / "three.tif"
        pixels = np.moveaxis(four_channels(grey.pixels)[:3], 0, -1)
        tifffile.imwrite(path, pixels, photometric="rgb")
        said = run(path, "--out", tmp_path)
        assert "were taken as channels" in said
        assert "channel 3" in said
        proposed = read_labels(tmp_path / "three_labels.tif").image
        run(path, "--out", tmp_path, "--channel", "3")
        chosen = read_labels(tmp_path / "three_labels.tif").image
        third = replace(grey, pixels=pixels[..., 2])
        assert np.array_equal(proposed, chosen)
        assert np.array_equal(chosen, segment_now(third).labels)
        assert "channel" not in run(path, "--out", tmp_path, "--colour", "colour")

    def test_8_bit_colour(self, tmp_path, stained):
        micrograph, _ = stained
        path = tmp_path / "he.tif"
        tifffile.imwrite(path, micrograph.pixels, photometric="rgb")
        assert "channel" not in run(path, "--out", tmp_path)
        labels = read_labels(tmp_path / "he_labels.tif").image
        assert np.array_equal(labels, segment_now(micrograph).labels)
        said = run(path, "--out", tmp_path, "--colour", "channels", "--channel", "red")
        red = read_labels(tmp_path / "he_labels.tif").image
        assert "Error" not in said
        assert np.array_equal(red, segment_now(micrograph.channel("red")).labels)


@pytest.mark.slow
def test_case_5_a_mixed_folder_trains_and_names_what_is_left_out(tmp_path):
    for sample in SAMPLES.values():
        for kind, source in (("images", sample.micrograph), ("masks", sample.labels)):
            path = tmp_path / "data" / kind / sample.micrograph.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
    images, masks = tmp_path / "data" / "images", tmp_path / "data" / "masks"
    (images / "notes.txt").write_text("no image")
    (images / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (masks / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (images / "alone.png").write_bytes(SAMPLES["stained"].micrograph.read_bytes())
    (images / "broken.png").write_bytes(SAMPLES["stained"].micrograph.read_bytes()[:900])
    (masks / "broken.png").write_bytes(SAMPLES["stained"].labels.read_bytes())
    small = ["--patch-px", "64", "--batch-size", "2", "--steps-per-epoch", "2", "--held-out", "0"]
    words = ["train", "--data", tmp_path / "data", "--out", tmp_path / "run", "--epochs", "1"]
    result = CliRunner().invoke(cli.app, [*map(str, words), *small], env={"COLUMNS": "200"})
    assert result.exit_code == 1, (result.output, result.exception)
    assert "Traceback" not in result.output
    assert (tmp_path / "run" / "run.safetensors").is_file()
    lines = result.stderr.splitlines()
    for name in ("alone", "broken.png"):
        assert sum(name in line for line in lines) == 1, lines
    assert not any(name in result.stderr for name in ("notes.txt", "Thumbs.db", ".DS_Store"))


@pytest.mark.slow
def test_case_17_masks_are_told_of_and_no_giant_nucleus_trains(tmp_path):
    for sample in SAMPLES.values():
        for kind, source in (("images", sample.micrograph), ("masks", sample.labels)):
            path = tmp_path / "data" / kind / sample.micrograph.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
    masks = tmp_path / "data" / "masks"
    black_and_white = (read_labels(masks / "fluorescence.png").image > 0) * np.uint8(255)
    Image.fromarray(black_and_white).save(masks / "fluorescence.png")
    # a number for each kind of pixel: nucleus or outline
    nuclei = read_labels(masks / "stained.png").image > 0
    kinds = nuclei * np.uint8(1) + ndimage.binary_erosion(nuclei, iterations=2)
    Image.fromarray(kinds.astype(np.uint8)).save(masks / "stained.png")
    small = ["--patch-px", "64", "--batch-size", "2", "--steps-per-epoch", "2", "--held-out", "0"]
    words = ["train", "--data", tmp_path / "data", "--out", tmp_path / "run", "--epochs", "1"]
    result = CliRunner().invoke(cli.app, [*map(str, words), *small], env={"COLUMNS": "200"})
    assert result.exit_code == 1, (result.output, result.exception)
    pieces = ndimage.label(black_and_white, np.ones((3, 3)))[1]
    assert f"black-and-white mask: its {pieces} connected pieces" in result.stderr
    assert "stained is left out. The label image does not tell nuclei apart" in result.stderr
    assert "Micrographs that train: 2" in result.stderr
