import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_nucleiseg.errors import FileError, TrainingError
from napari_nucleiseg.study.plan import plan
from napari_nucleiseg.study.report import FigureDrawn, Reported, recall, remember, report
from napari_nucleiseg.study.run import folder_of


@pytest.fixture(scope="module")
def reported(finished, tmp_path_factory):
    out = tmp_path_factory.mktemp("reported") / "study"
    shutil.copytree(finished, out)
    return out, list(report(out))


def test_tidy_tables_hold_every_epoch_and_test_image(reported):
    out, events = reported
    assert events[-1] == Reported(out / "report.md", 2, 2)
    epochs = pd.read_csv(out / "epochs.csv")
    assert len(epochs) == 2 * 3
    images = pd.read_csv(out / "images.csv", dtype={"image": str})
    assert len(images) == 2 * (3 + 2)
    assert set(images["image"]) >= {"012", "013", "014"}
    runs = pd.read_csv(out / "runs.csv").set_index("run")
    for name, mine in images[images["split"] == "val"].groupby("run"):
        assert runs.loc[name, "dice"] == pytest.approx(mine["dice"].mean(), rel=1e-4, abs=1e-9)


def test_figures_are_written_as_svg_and_png_and_are_not_blank(reported):
    out, events = reported
    names = {e.name for e in events if isinstance(e, FigureDrawn)}
    assert {"curves", "differences", "optimizers", "layers", "panels"} <= names
    for name in names:
        assert ET.parse(out / "figures" / f"{name}.svg").getroot().tag.endswith("svg")
        pixels = np.asarray(Image.open(out / "figures" / f"{name}.png").convert("L"))
        assert min(pixels.shape) > 100
        assert pixels.std() > 3
        assert f"figures/{name}.png" in (out / "report.md").read_text(encoding="utf-8")


def test_numbers_of_the_report_are_those_of_the_tables(reported):
    out, _ = reported
    text = (out / "report.md").read_text(encoding="utf-8")
    for _, row in pd.read_csv(out / "tables" / "scores.csv").iterrows():
        assert f"| {row['optimizer']} | {row['schedule']} | {row['dice']:.3f} |" in text
    told = pd.read_csv(out / "tables" / "differences.csv")
    told = told[(told["compared"] != "variant") | (told["score"] == "average_precision")]
    assert len(told) >= 4
    for words in told["words"]:
        assert words in text


def test_the_same_runs_give_the_same_report(reported):
    out, _ = reported
    files = [p for p in out.rglob("*") if p.suffix in (".md", ".csv", ".svg", ".png")]
    before = {p: p.read_bytes() for p in files}
    list(report(out))
    assert {p: p.read_bytes() for p in files} == before


def test_unfinished_runs_are_counted_and_left_out(finished, tiny, tmp_path):
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    (folder_of(plan(tiny)[1], out) / "run.json").unlink()
    assert list(report(out))[-1] == Reported(out / "report.md", 1, 2)
    assert "1 more" in (out / "report.md").read_text(encoding="utf-8")
    (folder_of(plan(tiny)[0], out) / "run.json").unlink()
    with pytest.raises(TrainingError, match="No run"):
        list(report(out))


def test_without_the_micrographs_all_but_the_panels_is_drawn(finished, tiny, tmp_path):
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    remember(tiny, tmp_path / "gone", out)
    names = {e.name for e in report(out) if isinstance(e, FigureDrawn)}
    assert "panels" not in names
    assert "curves" in names


def test_a_folder_belongs_to_one_study(tiny, split_data, tmp_path):
    remember(tiny, split_data, tmp_path)
    assert recall(tmp_path) == (tiny, split_data.resolve())
    with pytest.raises(FileError, match="another study"):
        remember(tiny.model_copy(update={"title": "other", "seeds": (5,)}), split_data, tmp_path)
    remember(tiny.model_copy(update={"title": "the same, better named"}), split_data, tmp_path)
    assert recall(tmp_path)[0].title == "the same, better named"
    with pytest.raises(FileError, match="not the folder of a study"):
        recall(tmp_path / "elsewhere")
    (tmp_path / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(FileError, match="damaged"):
        recall(tmp_path)
