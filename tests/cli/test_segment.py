"""``nucleiseg segment``."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from running import STAINED, finish, run, start

import napari_nucleiseg
from napari_nucleiseg import wording
from napari_nucleiseg.cli import console
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.samples import SAMPLES
from napari_nucleiseg.segmentation import segment_now

ODD_NAMES = (
    "two words.png",
    "100%.png",
    "#1.png",
    "[red]bold.png",
    "ядра клеток.png",
    "細胞核.png",
    unicodedata.normalize("NFD", "Zellkörper é.png"),
    "UPPER.PNG",
    "no suffix",
    "-o.png",
    "quo'te\"s.png",
    f"{'x' * 196}.png",
)


def test_one_file(cells, tmp_path):
    result = run("segment", cells / "cells.png", "--out", tmp_path / "out")
    labels = read_labels(tmp_path / "out" / "cells_labels.tif").image
    count = int(labels.max())
    assert re.search(rf"cells\.png: {count} nuclei · median .* px · .* s", result.stderr)
    assert result.stdout == (
        f"1 of 1 micrographs segmented: {count} nuclei, results in {tmp_path / 'out'}\n"
    )
    manifest = json.loads((tmp_path / "out" / "cells_labels.json").read_text())
    assert manifest["nuclei"] == count
    assert manifest["config"] == SegmentConfig().model_dump(mode="json")


def test_same_label_image_as_from_the_library(cells, tmp_path, stained):
    run("segment", cells / "cells.png", "--out", tmp_path, "--seed-sensitivity", "0.7")
    labels = read_labels(tmp_path / "cells_labels.tif").image
    result = segment_now(stained[0], SegmentConfig(seed_sensitivity=0.7))
    assert np.array_equal(labels, result.labels)


def test_json_is_one_document_and_all_there_is(cells, tmp_path):
    (cells / "broken.tif").write_bytes(b"II*\0")
    (cells / "notes.txt").write_text("x")
    words = ("segment", cells, "--out", tmp_path / "out", "--json", "--overlay")
    document = json.loads(run(*words, code=1).stdout)
    [done], [failed] = document["results"], document["failed"]
    assert done["input"] == str(cells / "cells.png")
    assert document["nuclei"] == done["nuclei"] == read_labels(Path(done["labels"])).image.max()
    assert Path(done["manifest"]).is_file()
    assert Path(done["overlay"]).is_file()
    assert failed["input"] == str(cells / "broken.tif")
    assert "broken.tif" in failed["error"]
    assert document["skipped"] == [str(cells / "notes.txt")]
    assert document["config"] == SegmentConfig().model_dump(mode="json")


def test_a_mixed_folder(cells, tmp_path):
    (cells / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (cells / "notes.txt").write_text("not an image")
    (cells / "a broken one.png").write_bytes(STAINED.read_bytes()[:2000])
    (cells / "text.png").write_text("not an image either")
    (cells / "empty.tif").write_bytes(b"")
    result = run("segment", cells, "--out", tmp_path / "out", code=1)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 3
    for name in ("a broken one.png", "text.png", "empty.tif"):
        assert sum(name in line for line in errors) == 1
    assert "Thumbs.db, notes.txt" in result.stderr
    assert "1 of 4 micrographs segmented, 3 failed" in result.stdout
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    ours = [".thumbnails", "cells_labels.json", "cells_labels.tif", "gallery.html", "summary.csv"]
    assert written == ours


@pytest.mark.slow
def test_odd_names_in_a_folder_with_an_odd_name(tmp_path):
    folder, out = tmp_path / "Bilder ü %41", tmp_path / "Ergebnisse für #1 ä"
    folder.mkdir()
    for name in ODD_NAMES:
        (folder / name).write_bytes(STAINED.read_bytes())
    text, err = finish(start("segment", folder, "--out", out))
    assert f"{len(ODD_NAMES)} of {len(ODD_NAMES)} micrographs" in text
    for name in ODD_NAMES:
        stem = re.sub(r"\.png$", "", name, flags=re.IGNORECASE)
        assert (out / f"{stem}_labels.tif").is_file()
        assert json.loads((out / f"{stem}_labels.json").read_text())["labels"]
        assert f"{name}: " in err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="names are text on other systems")
def test_a_name_that_is_not_text(cells, tmp_path):
    name = os.fsencode(cells) + b"/caf\xe9.png"
    os.rename(cells / "cells.png", name)
    text, _ = finish(start("segment", cells, "--out", tmp_path / "out", "--json"))
    [done] = json.loads(text)["results"]
    assert os.path.exists(os.fsencode(done["labels"]))


@pytest.mark.slow
def test_a_terminal_that_cannot_show_the_name(cells, tmp_path):
    os.rename(cells / "cells.png", cells / "細胞核.png")
    env = {"PYTHONIOENCODING": "ascii"}
    finish(start("segment", cells, "--out", tmp_path / "out", env=env))
    assert (tmp_path / "out" / "細胞核_labels.tif").is_file()


def test_inputs_of_one_name_do_not_collide(cells, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "cells.png").write_bytes(SAMPLES["fluorescence"].micrograph.read_bytes())
    out = tmp_path / "out"
    run("segment", cells / "cells.png", other / "cells.png", "--out", out)
    assert read_labels(out / "in" / "cells_labels.tif").image.shape == (256, 320)
    assert read_labels(out / "other" / "cells_labels.tif").image.shape == (360, 360)


def test_results_of_another_run_are_kept(cells, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "cells.png").write_bytes(SAMPLES["fluorescence"].micrograph.read_bytes())
    out = tmp_path / "out"
    run("segment", cells / "cells.png", "--out", out)
    first = (out / "cells_labels.tif").read_bytes()
    result = run("segment", other / "cells.png", "--out", out)
    assert (out / "cells_labels.tif").read_bytes() == first
    assert "Its results are called" in result.stderr
    before = sorted(p for p in out.rglob("*") if p.is_file())
    assert len(before) == 4
    run("segment", other / "cells.png", "--out", out)
    assert sorted(p for p in out.rglob("*") if p.is_file()) == before


def test_an_empty_input_is_not_the_current_folder(cells, tmp_path, monkeypatch):
    monkeypatch.chdir(cells)
    result = run("segment", "", "--out", tmp_path / "out", code=2)
    assert "An input is empty" in result.stderr


def test_the_command_that_the_window_shows_is_understood(cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = SegmentConfig(channel="red", probability=0.4, colour="channels", min_area_px=30)
    words = shlex.split(wording.command(cells / "cells.png", config))
    run(*words[1:])
    manifest = json.loads((tmp_path / "nuclei" / "cells_labels.json").read_text())
    assert manifest["config"] == config.model_dump(mode="json")


def test_a_pattern_that_the_shell_left_alone(cells, tmp_path):
    run("segment", cells / "*.png", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "cells_labels.tif").is_file()


def test_again_into_the_folder_of_the_micrographs(cells):
    run("segment", cells, "--out", cells, "--overlay")
    result = run("segment", cells, "--out", cells, "--overlay")
    assert "1 of 1 micrographs" in result.stdout
    assert len(list(cells.iterdir())) == 4


def test_channel_by_name_or_number(tmp_path, fluorescence):
    nuclei = fluorescence[0].pixels
    stack = np.stack([np.zeros_like(nuclei), nuclei])
    path = tmp_path / "two.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "CYX", "Labels": ["GFP", "DAPI"]})
    for number, channel in enumerate(("2", "DAPI")):
        out = tmp_path / str(number)
        run("segment", path, "--out", out, "--channel", channel)
        manifest = json.loads((out / "two_labels.json").read_text())
        assert manifest["input"]["channel"] == ["DAPI"]
        assert manifest["nuclei"] > 10
    first, second = (read_labels(tmp_path / n / "two_labels.tif").image for n in "01")
    assert np.array_equal(first, second)
    result = run("segment", path, "--out", tmp_path / "3", "--channel", "mCherry", code=1)
    assert re.search("two has no channel mCherry.*GFP.*DAPI", result.stderr)


def test_the_pixel_size_is_kept(tmp_path, fluorescence):
    path = tmp_path / "scaled.tif"
    pixels = fluorescence[0].pixels
    tifffile.imwrite(path, pixels, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    result = run("segment", path, "--out", tmp_path)
    assert "µm" in result.stderr
    with tifffile.TiffFile(tmp_path / "scaled_labels.tif") as tif:
        numerator, denominator = tif.pages[0].tags["XResolution"].value
    assert numerator / denominator == pytest.approx(4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--probability", "2"], "--probability 2. Allowed: a number, 0.05 to 0.95"),
        (["--probability", "abc"], "--probability abc. Allowed: a number, 0.05 to 0.95"),
        (["--min-area-px", "1.5"], "--min-area-px 1.5. Allowed: a whole number, at least 0"),
        (["--device", "gpu"], "--device gpu. Allowed: auto or cpu or cuda or mps"),
        (["--overlap-px", "3"], "--overlap-px 3. Allowed: a whole number, 64 to 1024"),
        (["--model", "no-such"], "There is no such model: 'no-such'. Known: nuclei"),
        (["--model", "gone.safetensors"], r"gone\.safetensors"),
    ],
)
def test_wrong_settings_are_one_sentence(cells, tmp_path, words, message):
    result = run("segment", cells, "--out", tmp_path / "out", *words, code=2)
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert re.search(message, line)


@pytest.mark.parametrize("words", [["--tile"], ["--json=x"]])
def test_flags_that_cannot_be_read_are_named(cells, tmp_path, words):
    named = words[0].partition("=")[0]
    assert named in run("segment", cells, "--out", tmp_path, *words, code=2).stderr


def test_inputs_that_are_not_there(cells, tmp_path):
    out = tmp_path / "out"
    assert "nowhere.png" in run("segment", "nowhere.png", "--out", out, code=2).stderr
    result = run("segment", "nowhere.png", cells, "--out", out, code=1)
    assert "nowhere.png" in result.stderr
    assert "1 of 2 micrographs segmented, 1 failed" in result.stdout


def test_an_output_folder_that_cannot_be_written_to(cells, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = run("segment", cells, "--out", tmp_path / "file", code=2)
    [line] = result.stderr.splitlines()
    assert "The output folder cannot be written to" in line


def test_out_of_memory_is_said_in_words_and_the_others_go_on(cells, tmp_path, monkeypatch):
    (cells / "big.png").write_bytes(STAINED.read_bytes())
    real = napari_nucleiseg.batch.open_micrograph

    def read(path, **options):
        if path.name == "big.png":
            raise MemoryError
        return real(path, **options)

    monkeypatch.setattr("napari_nucleiseg.batch.open_micrograph", read)
    result = run("segment", cells, "--out", tmp_path / "out", code=1)
    assert f"Error: {cells / 'big.png'}: There is not enough memory." in result.stderr
    assert (tmp_path / "out" / "cells_labels.tif").is_file()


@pytest.mark.parametrize("flag", [[], ["--traceback"]])
def test_what_nobody_foresaw_is_one_sentence_too(cells, tmp_path, monkeypatch, flag):
    def read(path, **options):
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setattr("napari_nucleiseg.batch.open_micrograph", read)
    result = run("segment", cells, "--out", tmp_path / "out", *flag, code=1)
    assert wording.sentence(ZeroDivisionError("by nothing")) in result.stderr
    [line] = [e for e in result.stderr.splitlines() if e.startswith("Error: ")]
    assert "cells.png: Something went wrong" in line
    assert ("Run with --traceback" in result.stderr) == (not flag)
    assert ("Traceback" in result.stderr) == bool(flag)


def test_a_progress_bar_appears_on_a_terminal_only(cells, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.progress_bar() as bar:
        assert bar is not None
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with console.progress_bar() as bar:
        assert bar is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_stopped_in_the_middle(cells, tmp_path, number):
    large = np.tile(np.asarray(tifffile.imread(_as_tiff(tmp_path))), (12, 12, 1))
    tifffile.imwrite(cells / "large.tif", large, photometric="rgb")
    out = tmp_path / "out"
    words = ("--tile-px", "256", "--overlap-px", "64", "--json")
    process = start("segment", cells, "--out", out, *words)
    deadline = time.monotonic() + 60
    while not (out / "cells_labels.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(getattr(signal, number))
    asked = time.monotonic()
    text, err = finish(process, code=130)
    assert time.monotonic() - asked < 20
    assert "Stopped" in err
    assert json.loads(text)["stopped"]
    left = [".thumbnails", "cells_labels.json", "cells_labels.tif", "gallery.html", "summary.csv"]
    assert sorted(p.name for p in out.iterdir()) == left


def _as_tiff(folder: Path) -> Path:

    path = folder / "one.tif"
    with Image.open(STAINED) as image:
        image.convert("RGB").save(path)
    return path


def test_where_nothing_was_segmented_no_nuclei_are_counted(cells, tmp_path):
    (cells / "cells.png").write_bytes(b"")
    result = run("segment", cells, "--out", tmp_path / "out", code=1)
    assert result.stdout == "0 of 1 micrographs segmented, 1 failed; there are no results\n"


def test_a_damaged_zarr_in_a_folder_is_said_once_and_the_rest_is_done(cells, tmp_path):
    (cells / "stack.ome.zarr").mkdir()
    result = run("segment", cells, "--out", tmp_path / "out", code=1)
    assert result.stderr.count("stack.ome.zarr") == 1
    assert (tmp_path / "out" / "cells_labels.tif").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_a_name_cannot_command_the_terminal_or_break_the_line(cells, tmp_path):
    (cells / "cells.png").rename(cells / "two\nlines\x1b[31m.png")
    result = run("segment", cells, "--out", tmp_path / "out")
    assert "\x1b" not in result.output
    assert r"two\nlines\x1b[31m.png: " in result.stderr


def test_a_tilde_is_the_home_folder_in_every_place(cells, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    run("segment", "~/in", "--out=~/out")
    assert (tmp_path / "out" / "cells_labels.tif").is_file()
    # the home of nobody is a name like any other
    result = run("segment", "~nobody-of-this-name/a.png", "--out", tmp_path / "out", code=2)
    assert "There is no such file or folder: ~nobody-of-this-name/a.png" in result.stderr


def test_a_dry_run_lists_and_writes_nothing(cells, tmp_path):
    result = run("segment", cells, "--out", tmp_path / "out", "--dry-run")
    lines = result.stdout.splitlines()
    assert lines[0] == f"{cells / 'cells.png'}  0.082 MPix"
    assert lines[1].startswith("1 micrograph, roughly ")
    assert not (tmp_path / "out").exists()


def test_what_is_done_is_left_out_by_resume(cells, tmp_path):
    words = ("segment", cells, "--out", tmp_path / "out", "--table")
    run(*words)
    assert (tmp_path / "out" / "cells_nuclei.csv").read_text("utf-8").startswith("image,label,")
    (cells / "more.png").write_bytes(STAINED.read_bytes())
    made = (tmp_path / "out" / "cells_labels.tif").stat().st_mtime_ns
    assert "  done already\n" in run(*words, "--dry-run").stdout
    result = run(*words, "--resume")
    assert result.stdout.startswith("1 of 2 micrographs segmented, 1 done before: ")
    result = run(*words, "--resume", "--json")
    document = json.loads(result.stdout)
    assert document["results"] == []
    assert document["done_before"] == [str(cells / "cells.png"), str(cells / "more.png")]
    result = run(*words, "--resume")
    expected = f"0 of 2 micrographs segmented, 2 done before; results are in {tmp_path / 'out'}\n"
    assert result.stdout == expected
    assert (tmp_path / "out" / "cells_labels.tif").stat().st_mtime_ns == made
    # by other settings it is not done
    result = run(*words, "--resume", "--probability", "0.6")
    assert result.stdout.startswith("2 of 2 micrographs segmented: ")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
def test_workers_are_stopped_by_ctrl_c(cells, tmp_path):
    """As a terminal does it: all processes of the group get the signal."""
    pytest.importorskip("distributed")
    large = np.tile(np.asarray(tifffile.imread(_as_tiff(tmp_path))), (12, 12, 1))
    tifffile.imwrite(cells / "large.tif", large, photometric="rgb")
    out = tmp_path / "out"
    words = ("--tile-px", "256", "--overlap-px", "64", "--engine", "torch", "--workers", 2)
    process = start("segment", cells, "--out", out, *words, start_new_session=True)
    # the file is written before this process hears of it
    assert process.stderr is not None
    assert any("->" in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGINT)
    text, err = finish(process, code=130)
    assert "1 of 2 micrographs segmented" in text
    assert "Stopped; the results named above are complete." in err
    left = [".thumbnails", "cells_labels.json", "cells_labels.tif", "gallery.html", "summary.csv"]
    assert sorted(p.name for p in out.iterdir() if not p.name.startswith(".part-")) == left


def test_without_dask_the_command_to_install_it_is_said(cells, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run("segment", cells, "--out", tmp_path / "out", "--workers", 2, code=2)
    assert 'Install it: pip install "napari-nucleiseg[cluster]"' in result.stderr
