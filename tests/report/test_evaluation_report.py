"""Tables, summary and page of an evaluation: what they say, and that they need nothing else."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from damage import damage
from napari_nucleiseg.comparison import Kind
from napari_nucleiseg.errors import FileError
from napari_nucleiseg.evaluation import Evaluated, evaluate
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.model_comparison import compare_models
from napari_nucleiseg.report import write_comparison, write_report
from napari_nucleiseg.samples import SAMPLES, read_sample

VOID = {"meta", "img", "br", "line", "polyline", "link"}


class Reader(HTMLParser):
    """Checks that tags are closed in order, and keeps words and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.alts: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [values[name] for name in ("src", "href") if name in values]
        self.alts += [values["alt"]] if "alt" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two predictions with planted errors, truth, micrographs and an index."""
    for name, sample in SAMPLES.items():
        truth = read_sample(name)[1]
        write_labels(tmp_path / "new" / f"{name}.png", damage(truth, 0).labels)
        write_labels(tmp_path / "old" / f"{name}.png", np.roll(damage(truth, 1, 1).labels, 1, 0))
        write_labels(tmp_path / "true" / f"{name}.png", truth)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{name}.png").write_bytes(sample.micrograph.read_bytes())
    lines = ["image_id,modality,lab", "stained,H&E <x>,a", "fluorescence,F,b", "brightfield,B,b"]
    (tmp_path / "index.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def evaluated(folders: Path, which: str = "new", **options) -> Evaluated:
    *_, result = evaluate(folders / which, folders / "true", **options)
    return result


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_and_summary_hold_what_was_found(folders):
    result = evaluated(folders, index=folders / "index.csv")
    out = folders / "out"
    page = write_report(result, out, "new compared with true")
    assert {p.name for p in out.iterdir()} == {
        "nuclei.csv",
        "images.csv",
        "summary.json",
        page.name,
    }
    nuclei = table(out / "nuclei.csv")
    assert len(nuclei) == 76 + 6
    assert sum(row["kind"] == "missed" for row in nuclei) == 6
    extra = [row for row in nuclei if row["kind"] == "extra"]
    assert {row["true_area_px"] for row in extra} == {""}
    assert {row["group"] for row in nuclei if row["image"] == "stained"} == {"H&E <x>"}
    images = {row["image"]: row for row in table(out / "images.csv")}
    assert set(images) == set(SAMPLES)
    for image in result.images:
        row = images[image.name]
        assert float(row["dice"]) == image.scores["dice"]
        assert float(row["ap_0.75"]) == image.ap["0.75"]
        assert float(row["hausdorff_95_px"]) == image.distances_px["hausdorff_95"]
        assert int(row["poor_outline"]) == image.kinds["poor outline"] == 2
    summary = json.loads((out / "summary.json").read_text())
    assert summary["summary"]["all"]["kinds"]["merged"] == 12
    assert set(summary["summary"]) == {"all", "H&E <x>", "F", "B"}


def test_the_page_needs_nothing_else_and_says_it_all(folders):
    result = evaluated(folders, index=folders / "index.csv", images=folders / "images")
    page = read(write_report(result, folders / "out", "a < b & c"))
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "a < b & c" in page.text
    assert "3 images · 76 true nuclei · 76 found" in page.text
    assert "H&E <x>, mean" in page.text
    for heading in ("Scores", "Errors", "By size of the nucleus", "Worst images, by AP"):
        assert heading in page.text
    assert all(kind.words in page.text for kind in Kind)
    # four panels of each image, with the micrograph
    assert len(page.addresses) == 12
    assert "micrograph of stained" in page.alts
    everything = result.summaries["all"]
    assert f"{everything.mean['average_precision']:.3f}" in page.text
    assert f"46 ({46 / 76:.0%})" in page.text


def test_a_micrograph_of_another_size_is_no_ground(folders):
    small = read_sample("fluorescence")[0].pixels[:50, :60]
    from PIL import Image

    Image.fromarray(small).save(folders / "images" / "stained.png")
    result = evaluated(folders, images=folders / "images")
    page = read(write_report(result, folders / "out", "x"))
    assert "micrograph of stained" not in page.alts
    assert "errors of stained" in page.alts


def test_images_without_nuclei_have_a_page(tmp_path):
    for which in ("new", "true"):
        write_labels(tmp_path / which / "empty.png", np.zeros((20, 30), np.uint8))
    page = read(write_report(evaluated(tmp_path), tmp_path / "out", "x"))
    assert "There is no true nucleus." in page.text
    assert "no nuclei" in page.text


def test_a_file_that_is_gone_is_named_and_nothing_is_written(folders):
    result = evaluated(folders)
    (folders / "new" / "stained.png").unlink()
    with pytest.raises(FileError, match=r"stained\.png"):
        write_report(result, folders / "out", "x")
    assert not list(folders.glob("out/*"))


def test_two_models_on_one_page(folders):
    new, old = evaluated(folders, images=folders / "images"), evaluated(folders, "old")
    compared = compare_models(new, old, ("new <1>", "old"))
    out = folders / "out"
    page = read(write_comparison(compared, out))
    assert "new <1> compared with old" in page.text
    assert compared.words() in page.text
    assert "errors, new <1>" in page.text
    assert "errors, old" in page.text
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    rows = table(out / "differences.csv")
    assert len(rows) == 3 * len(compared.scores)
    for row in rows:
        assert float(row["difference"]) == pytest.approx(float(row["one"]) - float(row["other"]))
    record = json.loads((out / "comparison.json").read_text())
    assert record["words"] == compared.words()
    assert re.fullmatch(r"AP differs by [+-]0\.\d{3}; 3 images are too few .*", record["words"])
