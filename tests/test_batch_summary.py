"""The table and the page at the end of a folder run."""

from __future__ import annotations

import csv
import re
import shutil
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_nucleiseg.batch_config import BatchConfig
from napari_nucleiseg.batch_events import FileFailed
from napari_nucleiseg.batch_plan import plan_batch
from napari_nucleiseg.batch_run import run_batch
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.inputs import find_items
from napari_nucleiseg.samples import SAMPLES

STAINED = SAMPLES["stained"].micrograph
TORCH = SegmentConfig(engine="torch", device="cpu")


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """Pictures and words of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.words = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.pictures += [value for name, value in attrs if (tag, name) == ("img", "src")]

    def handle_data(self, data):
        self.words += f"{data}\n"


def test_a_run_that_was_stopped_sums_up_what_it_did(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(STAINED.read_bytes()[:900])
    config = BatchConfig(folder=tmp_path, out=tmp_path / "out")
    [plan] = plan_batch(config, TORCH)
    with closing(run_batch(plan.files, config, TORCH)) as events:
        next(event for event in events if isinstance(event, FileFailed))
    [row] = rows(tmp_path / "out")
    assert row["file"].endswith("a.png")
    assert row["status"] == "failed"
    assert (tmp_path / "out" / "gallery.html").is_file()


@pytest.mark.slow
def test_all_files_are_in_the_summary_also_those_of_an_earlier_run(tmp_path, fluorescence):
    place = tmp_path / "plate"
    place.mkdir()
    shutil.copy(STAINED, place / "a.png")
    (place / "b <i>.png").write_bytes(STAINED.read_bytes()[:900])
    config = BatchConfig(folder=place, out=tmp_path / "out", overlay=True)

    def run(config: BatchConfig):
        [plan] = plan_batch(config, TORCH)
        return list(run_batch(plan.files, config, TORCH))[-1]

    ended = run(config)
    assert ended.gallery == tmp_path / "out" / "gallery.html"
    first = rows(tmp_path / "out")
    assert [row["status"] for row in first] == ["done", "failed"]
    assert int(first[0]["nuclei"]) == ended.nuclei
    assert float(first[0]["seconds"]) > 0
    assert first[0]["median_diameter_um"] == ""
    assert "b <i>.png" in first[1]["reason"]
    page = Page(ended.gallery)
    assert len(page.pictures) == 1
    assert f"1 of 2 files done · {ended.nuclei} nuclei · 1 failed" in page.words
    assert first[1]["reason"] in page.words
    # nothing of it is fetched from elsewhere
    assert page.pictures[0].startswith("data:image/jpeg;base64,")
    assert not re.search(r"https?://", ended.gallery.read_text("utf-8"))

    pixels = fluorescence[0].pixels
    metadata = {"unit": "um"}
    tifffile.imwrite(place / "c.tif", pixels, imagej=True, resolution=(2, 2), metadata=metadata)
    ended = run(config)
    second = rows(tmp_path / "out")
    assert [row["status"] for row in second] == ["done before", "failed", "done"]
    kept = ("file", "nuclei", "median_diameter_px", "notices")
    assert [second[0][name] for name in kept] == [first[0][name] for name in kept]
    px, um = (float(second[2][f"median_diameter_{unit}"]) for unit in ("px", "um"))
    assert um == pytest.approx(px / 2, abs=0.01)
    assert len(Page(ended.gallery).pictures) == 2
    # results of our own are no micrographs
    found = find_items([str(tmp_path / "out")], recursive=True)
    assert (found.items, found.skipped) == ([], [])

    gallery = ended.gallery.read_bytes()
    quiet = run(config.model_copy(update={"summary": False}))
    assert quiet.gallery is None
    assert (tmp_path / "out" / "gallery.html").read_bytes() == gallery


def test_a_thumbnail_shows_outlines_in_their_place(fluorescence, monkeypatch):
    from napari_nucleiseg import thumbnails
    from napari_nucleiseg.overlay import OUTLINE_RGB

    micrograph, labels = fluorescence
    # some rows at a time, as slides are read
    monkeypatch.setattr(thumbnails, "_BAND_PX", 50)
    small = thumbnails.draw(micrograph, labels, 120)
    assert small.shape == (120, 120, 3)
    assert np.array_equal(
        np.all(small == OUTLINE_RGB, axis=-1) & (labels[1::3, 1::3] == 0), np.zeros((120, 120))
    )
    assert np.all(small == OUTLINE_RGB, axis=-1).any()
