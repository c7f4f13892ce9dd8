"""Learning curves of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_nucleiseg.curves import drawable, read_curves
from napari_nucleiseg.errors import FileError

HEAD = "run,network,optimizer,schedule,seed,epoch,loss,dice"


def table(path: Path, *lines: str, head: str = HEAD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")


def test_one_table_of_all_runs(tmp_path):
    table(
        tmp_path / "epochs.csv",
        "b,unet,sgd,poly,10,1,0.9,",
        "b,unet,sgd,poly,10,2,nan,0.5",
        "a,unet,adam,poly,2,1,0.8,0.4",
        "c,unet,sgd,poly,2,1,0.7,",
        "c,unet,sgd,po",
    )
    runs = read_curves(tmp_path)
    assert [r.title for r in runs] == ["adam · seed 2", "sgd · seed 2", "sgd · seed 10"]
    assert runs[2].curves["loss"] == ((1.0,), (0.9,))
    assert runs[2].curves["dice"] == ((2.0,), (0.5,))
    assert runs[1].curves["iou"] == ((), ())
    assert drawable(runs) == [("loss", "Loss"), ("dice", "Dice, held out")]


def test_a_study_under_way_is_joined_from_its_runs(tmp_path):
    for name, network in (("x", "unet"), ("y", "unetr")):
        table(tmp_path / "runs" / name / "epochs.csv", f"{name},{network},adam,cosine,0,1,0.5,0.1")
    (tmp_path / "runs" / "begun").mkdir()
    assert [r.title for r in read_curves(tmp_path)] == ["unet · seed 0", "unetr · seed 0"]


def test_runs_that_nothing_tells_apart_are_called_by_all_there_is(tmp_path):
    table(tmp_path / "epochs.csv", "only,unet,adam,cosine,0,1,0.5,0.1")
    assert read_curves(tmp_path)[0].title == "unet · adam · cosine · seed 0"
    table(tmp_path / "epochs.csv", "only,1", head="run,epoch")
    assert read_curves(tmp_path)[0].title == "only"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.mkdir(), "no folder of a study"),
        (lambda p: (p / "runs" / "x").mkdir(parents=True), "No run of this study is done yet"),
        (lambda p: table(p / "epochs.csv"), "is empty"),
        (lambda p: table(p / "epochs.csv", "1,2", head="a,b"), "lacks the columns run and epoch"),
    ],
)
def test_what_is_no_study_is_said(tmp_path, make, said):
    make(tmp_path / "study")
    with pytest.raises(FileError, match=said) as caught:
        read_curves(tmp_path / "study")
    assert str(tmp_path / "study") in str(caught.value)
