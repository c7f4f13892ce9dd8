"""Tiles of glass and empty background never meet the network, and no nucleus is lost by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nucleiseg import streaming
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.flatness import is_flat, structure
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.streaming import stream
from napari_nucleiseg.tiling import Grid, tile_places

pytest.importorskip("zarr", minversion="3")

SIDE = 256
CONFIG = SegmentConfig(
    device="cpu", engine="torch", tile_px=SIDE, overlap_px=64, nucleus_diameter="none"
)
# brightness of a field against the first one: the same nuclei, fainter and fainter
FAINT = (1.0, 0.2, 0.1, 0.05, 0.03)
EMPTY = 4


def slide_of(sample: Micrograph) -> Micrograph:
    """Fields side by side, ever fainter, then empty ones, with the noise of a camera."""
    pixels = sample.pixels[:SIDE, :SIDE].astype(np.float64)
    level = np.percentile(pixels, 97 if sample.is_colour else 3, axis=(0, 1))
    fields = [level + (pixels - level) * share for share in FAINT]
    fields += [np.broadcast_to(level, pixels.shape)] * EMPTY
    whole = np.concatenate(fields, axis=1)
    noise = np.random.default_rng(0).normal(0, 1.5, whole.shape)
    made = np.clip(np.round(whole + noise), 0, 255).astype(np.uint8)
    return Micrograph(made, sample.axes, name="slide")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fluorescence", "stained"])
def test_empty_tiles_never_meet_the_network(kind, request, tmp_path, monkeypatch):
    slide = slide_of(request.getfixturevalue(kind)[0])
    seen: list[bool] = []
    build = streaming.build_engine

    def counting(model, config):
        engine = build(model, config)

        def predict(tiles):
            seen.extend(is_flat(tile) for tile in tiles)
            return engine.predict(tiles)

        return replace(engine, predict=predict)

    monkeypatch.setattr(streaming, "build_engine", counting)
    *_, last = stream(slide, CONFIG, tmp_path / "a.ome.zarr", block_px=300)
    count = len(tile_places(slide.shape, Grid(SIDE, 64, 32)))
    assert 0 < len(seen) <= count - EMPTY
    assert not any(seen)
    found = read_labels(last.path).image
    assert found[:, : 2 * SIDE].any()
    # no nucleus of the whole picture is lost, however faint, nor is one won
    np.testing.assert_array_equal(found > 0, segment_now(slide, CONFIG).labels > 0)


def test_noise_is_flat_and_one_faint_nucleus_is_not():
    rng = np.random.default_rng(0)
    for level in (0.02, 1.0):
        tile = np.repeat(level + 0.02 * rng.standard_normal((1, 256, 256)), 3, axis=0)
        assert is_flat(tile.astype(np.float32))
        tile[:, 100:116, 240:] += 0.08 * (1 if level < 0.5 else -1)
        assert not is_flat(tile.astype(np.float32))


def test_glass_is_flat_in_colour_and_a_stain_in_one_colour_is_not():
    rng = np.random.default_rng(0)
    glass = np.array([0.95, 0.94, 0.97])[:, None, None] + 0.02 * rng.standard_normal((3, 256, 256))
    assert is_flat(glass.astype(np.float32))
    glass[0, 40:60, 40:60] -= 0.1
    assert not is_flat(glass.astype(np.float32))
    assert structure(glass.astype(np.float32)) > structure(glass[1:].astype(np.float32))
