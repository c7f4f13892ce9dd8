"""Block by block gives what the whole gives; a run that was killed goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from napari_nucleiseg import streaming
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.events import DeviceChosen, Notice, Segmented, Streamed, TileDone
from napari_nucleiseg.flatness import is_flat
from napari_nucleiseg.instances import DecodeConfig
from napari_nucleiseg.io import open_micrograph, read_labels
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.segmentation import segment_now
from napari_nucleiseg.slide_tiles import Tiles
from napari_nucleiseg.streaming import decode_block, stream
from napari_nucleiseg.tiling import Grid, tile_places
from napari_nucleiseg.windows import Window, blocks_of

pytest.importorskip("zarr", minversion="3")

CONFIG = SegmentConfig(
    device="cpu", engine="torch", tile_px=256, overlap_px=64, nucleus_diameter="none"
)
# of a small picture a narrow margin leaves as much away as the usual one of a large picture
MARGIN = 40
BLOCK = 180


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    monkeypatch.setattr(streaming, "MARGIN_PX", MARGIN)


@pytest.fixture(scope="module")
def whole(mosaic) -> Segmented:
    """What is found in memory."""
    return segment_now(mosaic, CONFIG)


@pytest.fixture(scope="module")
def streamed(mosaic, tmp_path_factory) -> Streamed:
    """What is found block by block, by a run that nothing stopped."""
    out = tmp_path_factory.mktemp("streamed") / "whole.ome.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "MARGIN_PX", MARGIN)
        *_, last = stream(mosaic, CONFIG, out, block_px=BLOCK)
    return last


def same_nuclei(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two label images differ in their numbers at most."""
    if not np.array_equal(one > 0, other > 0):
        return False
    pairs = np.unique(np.stack([one[one > 0], other[other > 0]]), axis=1)
    return pairs.shape[1] == len(np.unique(one[one > 0])) == len(np.unique(other[other > 0]))


@pytest.mark.parametrize("block_px", [130, 400, 2048])
def test_blocks_give_what_the_whole_gives(mosaic, whole, tmp_path, block_px):
    *events, last = stream(mosaic, CONFIG, tmp_path / "a_labels.ome.zarr", block_px=block_px)
    assert isinstance(last, Streamed)
    found = read_labels(last.path).image
    assert same_nuclei(found, whole.labels)
    assert last.count == whole.count == found.max()
    assert last.median_diameter_px == pytest.approx(whole.median_diameter_px)
    assert last.manifest["intensity_range"] == whole.manifest["intensity_range"]
    blocks = blocks_of(mosaic.shape, block_px)
    done = [e for e in events if isinstance(e, TileDone)]
    assert [(e.done, e.total) for e in done] == [(i + 1, len(blocks)) for i in range(len(blocks))]
    assert [p.name for p in tmp_path.iterdir()] == ["a_labels.ome.zarr"]
    assert [e.device for e in events if isinstance(e, DeviceChosen)] == ["cpu"]


def test_these_blocks_see_a_part_of_the_picture_only(mosaic):
    """Else the tests here would show nothing."""
    for block in blocks_of(mosaic.shape, BLOCK):
        rows, columns = block.grown(MARGIN, mosaic.shape)
        assert rows.stop - rows.start < mosaic.shape[0]
        assert columns.stop - columns.start < mosaic.shape[1]


def test_colour_and_channels_too(stained, fluorescence, tmp_path):
    colour, grey = stained[0], fluorescence[0].pixels[:200]
    channels = Micrograph(np.stack([grey // 9, grey]), "CYX", channel_names=("actin", "DAPI"))
    for number, micrograph in enumerate((colour, channels)):
        *_, last = stream(micrograph, CONFIG, tmp_path / f"{number}.ome.zarr", block_px=120)
        whole = segment_now(micrograph, CONFIG)
        assert same_nuclei(read_labels(last.path).image, whole.labels)
        assert last.manifest["input"] == whole.manifest["input"]


def test_pixels_that_stay_in_their_file_give_the_same(mosaic, whole, tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "m.zarr"), mode="w", zarr_format=3)
    group.create_array("0", data=mosaic.pixels, chunks=(100, 128))
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    opened = open_micrograph(tmp_path / "m.zarr")
    assert opened.is_lazy
    *_, last = stream(opened, CONFIG, tmp_path / "a.ome.zarr", block_px=BLOCK)
    assert same_nuclei(read_labels(last.path).image, whole.labels)


def test_the_label_image_is_a_pyramid_with_pixel_size(mosaic, tmp_path, monkeypatch):
    from napari_nucleiseg.io import ome_zarr

    monkeypatch.setattr(ome_zarr, "_LABEL_CHUNK", 200)
    sized = replace(mosaic, pixel_size_um=(0.5, 0.25))
    *_, last = stream(sized, CONFIG, tmp_path / "a.ome.zarr", block_px=400)
    opened = open_micrograph(last.path)
    assert opened.pixel_size_um == (0.5, 0.25)
    assert [level.shape for level in opened.levels] == [(220, 380), (110, 190)]
    whole = opened.loaded().pixels
    for number, level in enumerate(opened.levels, start=1):
        np.testing.assert_array_equal(np.asarray(level), whole[:: 2**number, :: 2**number])


def test_an_empty_tile_never_meets_the_network(mosaic, tmp_path, monkeypatch):
    seen = []
    build = streaming.build_engine

    def counting(model, config):
        engine = build(model, config)

        def predict(tiles):
            seen.append(tiles)
            return engine.predict(tiles)

        return replace(engine, predict=predict)

    monkeypatch.setattr(streaming, "build_engine", counting)
    *_, last = stream(mosaic, CONFIG, tmp_path / "a.ome.zarr", block_px=400)
    assert last.count > 0
    everything = tile_places(mosaic.shape, Grid(256, 64, 32))
    assert 0 < len(seen) < len(everything)
    assert not any(is_flat(tile) for tiles in seen for tile in tiles)


def test_a_tile_with_one_dim_nucleus_is_not_empty():
    rng = np.random.default_rng(0)
    tile = np.repeat(0.02 + 0.01 * rng.standard_normal((1, 256, 256)), 3, axis=0)
    assert is_flat(tile.astype(np.float32))
    tile[:, 250:, 240:] += 0.08
    assert not is_flat(tile.astype(np.float32))


def test_an_empty_micrograph_gives_an_empty_label_image(tmp_path):
    empty = Micrograph(np.full((300, 400), 7, np.uint16), "YX")
    *events, last = stream(empty, CONFIG, tmp_path / "a.ome.zarr", block_px=128)
    assert last.count == 0
    assert not read_labels(last.path).image.any()
    assert any("is empty" in e.text for e in events if isinstance(e, Notice))


@pytest.mark.parametrize("after", [1, 3])
def test_a_run_that_was_closed_goes_on_and_gives_the_same_file(mosaic, streamed, tmp_path, after):
    out = tmp_path / "a.ome.zarr"
    with closing(stream(mosaic, CONFIG, out, block_px=BLOCK)) as events:
        for event in events:
            if isinstance(event, TileDone) and event.done == after:
                break
    assert not out.exists()
    assert (tmp_path / "a.part.ome.zarr").is_dir()
    again = list(stream(mosaic, CONFIG, out, block_px=BLOCK))
    first = next(e for e in again if isinstance(e, TileDone))
    assert first.done == after + 1
    assert any(f"Going on after {after} of" in e.text for e in again if isinstance(e, Notice))
    assert again[-1].count == streamed.count
    np.testing.assert_array_equal(read_labels(out).image, read_labels(streamed.path).image)


def test_a_run_with_other_settings_begins_anew(mosaic, tmp_path):
    out = tmp_path / "a.ome.zarr"
    with closing(stream(mosaic, CONFIG, out, block_px=BLOCK)) as events:
        next(e for e in events if isinstance(e, TileDone))
    other = CONFIG.model_copy(update={"min_area_px": 400})
    events = list(stream(mosaic, other, out, block_px=BLOCK))
    assert next(e for e in events if isinstance(e, TileDone)).done == 1
    assert same_nuclei(read_labels(out).image, segment_now(mosaic, other).labels)


def test_a_stack_of_which_another_file_has_changed_begins_anew(mosaic, tmp_path):
    out = tmp_path / "a.ome.zarr"
    stamps = [{"files": [["b.tif", 7, n]]} for n in (1, 1, 2)]
    first = []
    for stamp in stamps:
        with closing(stream(mosaic, CONFIG, out, block_px=BLOCK, stamp=stamp)) as events:
            first.append(next(e for e in events if isinstance(e, TileDone)).done)
    assert first == [1, 2, 1]


def test_a_block_that_was_written_in_part_is_written_again(mosaic, streamed, tmp_path, monkeypatch):
    """Killed between writing a block's labels and noting that it is done."""
    out = tmp_path / "a.ome.zarr"
    add = streaming._Progress.add

    def killed(progress, areas, classes):
        if progress.done == 2:
            raise KeyboardInterrupt
        add(progress, areas, classes)

    monkeypatch.setattr(streaming._Progress, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        list(stream(mosaic, CONFIG, out, block_px=BLOCK))
    monkeypatch.undo()
    *_, last = stream(mosaic, CONFIG, out, block_px=BLOCK)
    assert last.count == streamed.count
    np.testing.assert_array_equal(read_labels(out).image, read_labels(streamed.path).image)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_process_that_was_killed_goes_on(mosaic, whole, tmp_path):
    np.save(tmp_path / "m.npy", mosaic.pixels)
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from napari_nucleiseg.config import SegmentConfig
        from napari_nucleiseg.events import TileDone
        from napari_nucleiseg.io import read_micrograph
        from napari_nucleiseg.streaming import stream
        folder = Path({str(tmp_path)!r})
        config = SegmentConfig(**{CONFIG.model_dump()!r})
        micrograph = read_micrograph(folder / "m.npy")
        for event in stream(micrograph, config, folder / "a.ome.zarr", block_px={BLOCK}):
            if isinstance(event, TileDone):
                print(event.done, flush=True)
                if event.done == 2:
                    time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert [process.stdout.readline().strip() for _ in range(2)] == ["1", "2"]
        process.send_signal(signal.SIGKILL)
    record = tmp_path / "a.part.ome.zarr" / "unfinished" / "progress.json"
    assert json.loads(record.read_text())["done"] == 2
    micrograph = open_micrograph(tmp_path / "m.npy")
    events = list(stream(micrograph, CONFIG, tmp_path / "a.ome.zarr", block_px=BLOCK))
    assert next(e for e in events if isinstance(e, TileDone)).done == 3
    assert same_nuclei(read_labels(tmp_path / "a.ome.zarr").image, whole.labels)


class TestResampled:
    """The network sees the slide enlarged or shrunk; labels are as large as the slide."""

    @pytest.fixture(autouse=True)
    def _small_blocks(self, monkeypatch):
        monkeypatch.setattr(streaming, "_SMALLEST_PX", 48)

    @pytest.fixture
    def part(self, mosaic) -> Micrograph:
        """As much as the network sees in a moment, enlarged."""
        return replace(mosaic, pixels=mosaic.pixels[60:230, 150:400])

    # beyond what the model knows; such nuclei are made 25 px wide
    @pytest.mark.parametrize("diameter", ["9 px", "80 px"])
    def test_blocks_give_what_the_whole_gives(self, mosaic, part, tmp_path, diameter):
        micrograph = part if diameter == "9 px" else mosaic
        config = CONFIG.model_copy(update={"nucleus_diameter": diameter, "min_area_px": 30})
        whole = segment_now(micrograph, config)
        *events, last = stream(micrograph, config, tmp_path / "a.ome.zarr", block_px=150)
        assert last.manifest["magnification"] == whole.manifest["magnification"] != 1
        assert sum(isinstance(e, TileDone) for e in events) >= 15
        found = read_labels(last.path).image
        assert found.shape == micrograph.shape
        assert whole.count > 5
        assert same_nuclei(found, whole.labels)
        assert last.count == whole.count == found.max() == len(np.unique(found[found > 0]))
        assert last.median_diameter_px == pytest.approx(whole.median_diameter_px)
        assert "size_seen_at" not in last.manifest

    def test_the_size_is_seen_at_a_few_places(self, fluorescence, tmp_path):
        """Small nuclei: the slide is enlarged as the whole picture would be."""
        small = fluorescence[0].pixels[::6, ::6]
        field = np.full((150, 210), int(np.percentile(small, 2)), small.dtype)
        field[10:130, 10:190] = np.tile(small, (2, 3))
        slide = Micrograph(field, "YX", name="small")
        config = CONFIG.model_copy(update={"nucleus_diameter": "auto", "min_area_px": 5})
        whole = segment_now(slide, config)
        assert whole.manifest["magnification"] > 1
        *events, last = stream(slide, config, tmp_path / "a.ome.zarr", block_px=150)
        # one place holds all of this picture
        assert last.manifest["size_seen_at"] == [[[0, 150], [0, 210]]]
        assert last.manifest["magnification"] == whole.manifest["magnification"]
        assert same_nuclei(read_labels(last.path).image, whole.labels)
        said = [e.text for e in events if isinstance(e, Notice)]
        assert any("looking again at one place" in text for text in said)

    def test_killed_while_a_block_is_written_it_goes_on_as_it_began(
        self, mosaic, tmp_path, monkeypatch
    ):
        config = CONFIG.model_copy(update={"nucleus_diameter": "80 px"})
        *_, once = stream(mosaic, config, tmp_path / "once.ome.zarr", block_px=180)
        expected = read_labels(once.path).image
        out = tmp_path / "a.ome.zarr"
        real = streaming._Progress.add

        def killed(progress, areas, classes):
            if progress.done == 1:
                raise KeyboardInterrupt
            real(progress, areas, classes)

        monkeypatch.setattr(streaming._Progress, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            list(stream(mosaic, config, out, block_px=180))
        monkeypatch.setattr(streaming._Progress, "add", real)
        record = json.loads(
            (tmp_path / "a.part.ome.zarr" / "unfinished" / "progress.json").read_text()
        )
        assert record["factor"] == once.manifest["magnification"]
        written = read_labels(tmp_path / "a.part.ome.zarr").image.max()
        assert written > record["nuclei"]

        def asked_again(*_):
            raise AssertionError("the size of nuclei was looked at again")

        monkeypatch.setattr(streaming, "slide_factor", asked_again)
        *events, last = stream(mosaic, config, out, block_px=180)
        assert any("Going on after 1 of" in e.text for e in events if isinstance(e, Notice))
        np.testing.assert_array_equal(read_labels(out).image, expected)
        assert last.manifest["magnification"] == once.manifest["magnification"]


class TestWideForeground:
    """A band of foreground across the whole picture: no margin holds it."""

    shape = (64, 4000)

    def tiles(self, folder):
        x = np.arange(self.shape[1], dtype=np.float32)
        wave = np.abs(np.sin(x * np.pi / 40))
        maps = np.stack([np.full(self.shape[1], 0.9, np.float32), wave])
        maps = np.repeat(maps[:, None], self.shape[0], axis=1)

        def predict(tiles):
            start = round(float(tiles[0, 0, 0, 0]))
            return maps[None, :, :, start : start + tiles.shape[-1]]

        def read(rows, columns):
            places = np.arange(columns.start, columns.stop, dtype=np.float32)
            return np.broadcast_to(places, (3, rows.stop - rows.start, len(places))).copy()

        folder.mkdir()
        return Tiles(self.shape, Grid(256, 64, 32), predict, read, folder, 2)

    def test_it_is_cut_and_said(self, tmp_path):
        block = Window(slice(0, 64), slice(1024, 1280))
        names = ("probability", "distance")
        labels, window, is_cut, _ = decode_block(
            block, self.shape, self.tiles(tmp_path / "t"), names, DecodeConfig()
        )
        assert is_cut
        # a hump of the wave is one nucleus, 40 px wide, and none is cut by the block's border
        inner = labels[0, block.within(window).columns]
        widths = np.bincount(inner)[1:]
        assert np.median(widths[widths > 0]) == 40

    def test_maps_of_a_window_are_those_of_the_whole(self, tmp_path):
        tiles = self.tiles(tmp_path / "t")
        whole = tiles.maps(Window(slice(0, 64), slice(0, 4000)))
        part = tiles.maps(Window(slice(10, 50), slice(700, 1500)))
        np.testing.assert_array_equal(part, whole[:, 10:50, 700:1500])
