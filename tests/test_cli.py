"""The command line, in this process where its texts matter, in one of its own where it matters."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

import napari_nucleiseg
from napari_nucleiseg import cli, store, wording
from napari_nucleiseg.config import SegmentConfig, TrainConfig
from napari_nucleiseg.events import BatchDone
from napari_nucleiseg.flags import flag_fields, flag_name
from napari_nucleiseg.io import read_labels, write_labels
from napari_nucleiseg.models import MODELS
from napari_nucleiseg.optimizers import OPTIMIZERS
from napari_nucleiseg.samples import SAMPLES
from napari_nucleiseg.schedules import SCHEDULES
from napari_nucleiseg.segmentation import segment_now

STAINED = SAMPLES["stained"].micrograph
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


def run(*words: object, code: int = 0):
    """Run a command here; the texts are of one line each, without colours."""
    result = CliRunner().invoke(cli.app, [str(w) for w in words], env={"COLUMNS": "200"})
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    return result


def _listen_to_sigint() -> None:
    # a shell that starts the tests in the background has them ignore it, and children inherit that
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*words: object, code: str = "", **options) -> subprocess.Popen[str]:
    """Start a command in a process of its own; ``code`` runs there first."""
    program = ["-c", f"{code}\nfrom napari_nucleiseg.cli import main\nmain()"] if code else []
    return subprocess.Popen(
        [sys.executable, *(program or ["-m", "napari_nucleiseg"]), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "200", **options.pop("env", {})},
        preexec_fn=None if sys.platform == "win32" else _listen_to_sigint,
        **options,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, (process.returncode, out, err)
    assert "Traceback" not in err
    return out, err


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A folder with the stained sample as ``cells.png``."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cells.png").write_bytes(STAINED.read_bytes())
    return folder


class TestHelp:
    def test_the_program_says_what_it_does(self):
        text = run("--help").output
        for word in (
            "segment",
            "evaluate",
            "train",
            "models",
            "demo",
            "Exit codes",
            "0 is background",
        ):
            assert word in text

    def test_no_command_shows_the_help(self):
        assert "First steps" in run(code=2).output

    @pytest.mark.parametrize("width", ["80", "200"])
    @pytest.mark.parametrize(
        ("command", "config"), [("segment", SegmentConfig), ("train", TrainConfig)]
    )
    def test_every_setting_is_there_with_its_description(self, command, config, width):
        # Typer measures the terminal when it draws, so the width counts for each run
        result = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": width})
        text = re.sub(r"[\s│]+", " ", result.output)
        for name, field in flag_fields(config).items():
            assert flag_name(name) in text
            if width == "200":
                assert field.description[1:] in text

    def test_ranges_defaults_and_choices_are_told(self):
        text = re.sub(r"[\s│]+", " ", run("segment", "--help").output)
        assert "0.05 to 0.95" in text
        assert "default: 0.5" in text
        assert "auto|cpu|cuda|mps" in text

    @pytest.mark.parametrize(
        "words", [["--help"], ["--version"], ["segment", "--help"], ["models"]]
    )
    def test_no_heavy_library_is_loaded_for_it(self, words):
        code = (
            "import sys, atexit\n"
            "heavy = {'torch', 'scipy', 'skimage', 'openvino', 'qtpy', 'napari'}\n"
            "atexit.register(lambda: print('loaded', sorted(heavy & set(sys.modules))))"
        )
        process = start(*words, code=code)
        out, _ = process.communicate(timeout=60)
        assert "loaded []" in out

    def test_the_version_is_the_packages(self):
        out, _ = finish(start("--version"))
        assert out == f"nucleiseg {napari_nucleiseg.__version__}\n"


class TestSegment:
    def test_one_file(self, cells, tmp_path):
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

    def test_same_label_image_as_from_the_library(self, cells, tmp_path, stained):
        run("segment", cells / "cells.png", "--out", tmp_path, "--seed-sensitivity", "0.7")
        labels = read_labels(tmp_path / "cells_labels.tif").image
        result = segment_now(stained[0], SegmentConfig(seed_sensitivity=0.7))
        assert np.array_equal(labels, result.labels)

    def test_json_is_one_document_and_all_there_is(self, cells, tmp_path):
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

    def test_a_mixed_folder(self, cells, tmp_path):
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
        assert written == ["cells_labels.json", "cells_labels.tif"]

    @pytest.mark.slow
    def test_odd_names_in_a_folder_with_an_odd_name(self, tmp_path):
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
    def test_a_name_that_is_not_text(self, cells, tmp_path):
        name = os.fsencode(cells) + b"/caf\xe9.png"
        os.rename(cells / "cells.png", name)
        text, _ = finish(start("segment", cells, "--out", tmp_path / "out", "--json"))
        [done] = json.loads(text)["results"]
        assert os.path.exists(os.fsencode(done["labels"]))

    @pytest.mark.slow
    def test_a_terminal_that_cannot_show_the_name(self, cells, tmp_path):
        os.rename(cells / "cells.png", cells / "細胞核.png")
        env = {"PYTHONIOENCODING": "ascii"}
        finish(start("segment", cells, "--out", tmp_path / "out", env=env))
        assert (tmp_path / "out" / "細胞核_labels.tif").is_file()

    def test_inputs_of_one_name_do_not_collide(self, cells, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        (other / "cells.png").write_bytes(SAMPLES["fluorescence"].micrograph.read_bytes())
        out = tmp_path / "out"
        run("segment", cells / "cells.png", other / "cells.png", "--out", out)
        assert read_labels(out / "in" / "cells_labels.tif").image.shape == (256, 320)
        assert read_labels(out / "other" / "cells_labels.tif").image.shape == (360, 360)

    def test_results_of_another_run_are_kept(self, cells, tmp_path):
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

    def test_an_empty_input_is_not_the_current_folder(self, cells, tmp_path, monkeypatch):
        monkeypatch.chdir(cells)
        result = run("segment", "", "--out", tmp_path / "out", code=2)
        assert "An input is empty" in result.stderr

    def test_the_command_that_the_window_shows_is_understood(self, cells, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        config = SegmentConfig(channel="red", probability=0.4, colour="channels", min_area_px=30)
        words = shlex.split(wording.command(cells / "cells.png", config))
        run(*words[1:])
        manifest = json.loads((tmp_path / "nuclei" / "cells_labels.json").read_text())
        assert manifest["config"] == config.model_dump(mode="json")

    def test_a_pattern_that_the_shell_left_alone(self, cells, tmp_path):
        run("segment", cells / "*.png", "--out", tmp_path / "out")
        assert (tmp_path / "out" / "cells_labels.tif").is_file()

    def test_again_into_the_folder_of_the_micrographs(self, cells):
        run("segment", cells, "--out", cells, "--overlay")
        result = run("segment", cells, "--out", cells, "--overlay")
        assert "1 of 1 micrographs" in result.stdout
        assert len(list(cells.iterdir())) == 4

    def test_channel_by_name_or_number(self, tmp_path, fluorescence):
        nuclei = fluorescence[0].pixels
        stack = np.stack([np.zeros_like(nuclei), nuclei])
        path = tmp_path / "two.tif"
        tifffile.imwrite(
            path, stack, imagej=True, metadata={"axes": "CYX", "Labels": ["GFP", "DAPI"]}
        )
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

    def test_the_pixel_size_is_kept(self, tmp_path, fluorescence):
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
            (["--probability", "2"], "probability = 2.0"),
            (["--overlap-px", "3"], "overlap_px = 3"),
            (["--model", "no-such"], "There is no such model: 'no-such'. Known: nuclei"),
            (["--model", "gone.safetensors"], r"gone\.safetensors"),
        ],
    )
    def test_wrong_settings_are_one_sentence(self, cells, tmp_path, words, message):
        result = run("segment", cells, "--out", tmp_path / "out", *words, code=2)
        assert result.stdout == ""
        [line] = result.stderr.splitlines()
        assert line.startswith("Error: ")
        assert re.search(message, line)

    @pytest.mark.parametrize("words", [["--tile-px", "much"], ["--device", "tpu"], ["--tile"]])
    def test_flags_that_cannot_be_read_are_named(self, cells, tmp_path, words):
        assert words[0] in run("segment", cells, "--out", tmp_path, *words, code=2).stderr

    def test_inputs_that_are_not_there(self, cells, tmp_path):
        out = tmp_path / "out"
        assert "nowhere.png" in run("segment", "nowhere.png", "--out", out, code=2).stderr
        result = run("segment", "nowhere.png", cells, "--out", out, code=1)
        assert "nowhere.png" in result.stderr
        assert "1 of 2 micrographs segmented, 1 failed" in result.stdout

    def test_an_output_folder_that_cannot_be_written_to(self, cells, tmp_path):
        (tmp_path / "file").write_text("in the way")
        result = run("segment", cells, "--out", tmp_path / "file", code=2)
        [line] = result.stderr.splitlines()
        assert "The output folder cannot be written to" in line

    def test_out_of_memory_is_said_in_words_and_the_others_go_on(
        self, cells, tmp_path, monkeypatch
    ):
        (cells / "big.png").write_bytes(STAINED.read_bytes())
        real = napari_nucleiseg.batch.read_micrograph

        def read(path, **options):
            if path.name == "big.png":
                raise MemoryError
            return real(path, **options)

        monkeypatch.setattr("napari_nucleiseg.batch.read_micrograph", read)
        result = run("segment", cells, "--out", tmp_path / "out", code=1)
        assert f"Error: {cells / 'big.png'}: There is not enough memory." in result.stderr
        assert (tmp_path / "out" / "cells_labels.tif").is_file()

    @pytest.mark.parametrize("flag", [[], ["--traceback"]])
    def test_what_nobody_foresaw_is_one_sentence_too(self, cells, tmp_path, monkeypatch, flag):
        def read(path, **options):
            raise ZeroDivisionError("by\nnothing")

        monkeypatch.setattr("napari_nucleiseg.batch.read_micrograph", read)
        result = run("segment", cells, "--out", tmp_path / "out", *flag, code=1)
        assert wording.sentence(ZeroDivisionError("by nothing")) in result.stderr
        [line] = [e for e in result.stderr.splitlines() if e.startswith("Error: ")]
        assert "cells.png: Something went wrong" in line
        assert ("Run with --traceback" in result.stderr) == (not flag)
        assert ("Traceback" in result.stderr) == bool(flag)

    def test_a_progress_bar_appears_on_a_terminal_only(self, cells, tmp_path, monkeypatch):
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        with cli.progress_bar() as bar:
            assert bar is not None
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        with cli.progress_bar() as bar:
            assert bar is None

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
    @pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
    def test_stopped_in_the_middle(self, cells, tmp_path, number):
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
        assert time.monotonic() - asked < 5
        assert "Stopped" in err
        assert json.loads(text)["stopped"]
        assert sorted(p.name for p in out.iterdir()) == ["cells_labels.json", "cells_labels.tif"]


def _as_tiff(folder: Path) -> Path:
    from PIL import Image

    path = folder / "one.tif"
    with Image.open(STAINED) as image:
        image.convert("RGB").save(path)
    return path


class TestEvaluate:
    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Path, Path]:
        for name in SAMPLES:
            truth = read_labels(SAMPLES[name].labels).image
            write_labels(tmp_path / "true" / f"{name}.png", truth)
            write_labels(tmp_path / "pred" / f"{name}_labels.tif", np.roll(truth, 2, axis=0))
        return tmp_path / "pred", tmp_path / "true"

    def test_table_and_file(self, folders, tmp_path):
        result = run("evaluate", *folders, "--json", tmp_path / "scores.json", "--per-image")
        record = json.loads((tmp_path / "scores.json").read_text())
        everything = record["summary"]["all"]
        [mean] = [line for line in result.stdout.splitlines() if line.startswith("all, mean")]
        columns = mean.removeprefix("all, mean").split()
        assert columns[:3] == ["3", "76", "76"]
        assert columns[3] == f"{everything['mean']['dice']:.3f}"
        assert columns[5] == f"{everything['mean_ap']['0.50']:.3f}"
        assert columns[7] == f"{everything['mean']['average_precision']:.3f}"
        assert all(f"\n{name} " in result.stdout for name in SAMPLES)
        assert {image["name"] for image in record["images"]} == set(SAMPLES)

    def test_by_modality(self, folders, tmp_path):
        index = tmp_path / "index.csv"
        index.write_text("image_id,modality,split\nstained,H&E [x],val\nfluorescence,F,val\n")
        result = run("evaluate", *folders, "--index", index, "--split", "val")
        assert "H&E [x], mean" in result.stdout
        assert "F, pooled" in result.stdout

    def test_what_is_missing_is_one_sentence(self, folders):
        (folders[0] / "stained_labels.tif").unlink()
        result = run("evaluate", *folders, code=2)
        [line] = result.stderr.splitlines()
        assert "1 of 3 images have no prediction: stained" in line

    def test_a_file_that_cannot_be_written(self, folders, tmp_path):
        (tmp_path / "file").write_text("")
        result = run("evaluate", *folders, "--json", tmp_path / "file" / "s.json", code=2)
        assert "could not be written" in result.stderr


class TestModels:
    def test_list(self):
        assert re.search(r"^nuclei +\S.*nuclei_unet", run("models", "list").stdout, re.MULTILINE)

    def test_what_cannot_be_chosen_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path))
        (tmp_path / "mine.safetensors").write_bytes(b"no weights")
        (tmp_path / "mine.yaml").write_text("architecture: none\n")
        result = run("models", "list")
        assert result.stdout.startswith("nuclei ")
        assert "mine" not in result.stdout
        assert "mine.yaml" in result.stderr

    def test_show(self):
        text = run("models", "show", "nuclei").stdout
        assert store.find_model("nuclei").sha256 in text
        assert "architecture: nuclei_unet" in text

    def test_an_unknown_one_is_one_sentence(self):
        result = run("models", "show", "none", code=2)
        assert "Known: nuclei" in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_demo_works_without_a_home_or_a_network(tmp_path):
    # no socket can be opened, and what would be cached goes to an empty home
    code = (
        "import socket\n"
        "def refuse(*args, **options): raise OSError('no network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse"
    )
    folders = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    env = {name: str(tmp_path / name) for name in folders}
    text, _ = finish(start("demo", "--out", tmp_path / "out", code=code, env=env))
    labels = read_labels(tmp_path / "out" / "fluorescence_labels.tif").image
    assert f"{labels.max()} nuclei" in text
    for name in ("fluorescence_labels.tif", "fluorescence_overlay.png"):
        assert str(tmp_path / "out" / name) in text
        assert (tmp_path / "out" / name).is_file()


TINY = ("--patch-px", "64", "--batch-size", "2", "--steps-per-epoch", "2", "--held-out", "0")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of three micrographs with label images."""
    for sample in SAMPLES.values():
        for kind, source in (("images", sample.micrograph), ("masks", sample.labels)):
            path = tmp_path / "data" / kind / sample.micrograph.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
    return tmp_path / "data"


class TestTrain:
    @pytest.mark.slow
    def test_a_model_comes_out_that_segments(self, pairs, tmp_path):
        out = tmp_path / "run 1"
        result = run("train", "--data", pairs, "--out", out, "--epochs", "2", *TINY)
        assert re.findall(r"^epoch (\d)", result.stderr, re.MULTILINE) == ["1", "2"]
        assert "Trained 2 epochs" in result.stdout
        model = out / "run 1.safetensors"
        assert str(model) in result.stdout
        run("segment", STAINED, "--model", model, "--out", tmp_path / "out", "--engine", "torch")
        manifest = json.loads((tmp_path / "out" / "stained_labels.json").read_text())
        assert manifest["model"]["sha256"] == store.read_card(model).sha256
        again = run("train", "--data", pairs, "--out", out, "--epochs", "2", *TINY)
        assert "is finished already; --no-resume starts anew" in again.stdout

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
    def test_stopped_and_gone_on_with(self, pairs, tmp_path):
        out = tmp_path / "run"
        words = ("train", "--data", pairs, "--out", out, "--epochs", "1000", *TINY)
        process = start(*words)
        deadline = time.monotonic() + 90
        while not (out / "last.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        text, err = finish(process, code=130)
        assert "Stopping after this step" in err
        assert re.search(r"Stopped after epoch \d+; kept in .*last\.pt", text)
        assert (out / "run.safetensors").is_file()
        again = start(*words)
        for line in again.stderr:
            if "going on after epoch" in line:
                break
        again.send_signal(signal.SIGTERM)
        finish(again, code=130)

    def test_settings_come_from_recipe_assignments_and_flags(self, pairs, tmp_path, monkeypatch):
        seen = []

        def train(data, config, out, *, resume):
            seen.append((config, resume))
            yield BatchDone(1, 1, 0.5, 1.0)

        monkeypatch.setattr("napari_nucleiseg.training.train", train)
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text("minutes: 5\nlearning_rate: 0.002\nbatch_size: 7\naugment: {blur: 0.3}\n")
        words = ("train", "--data", pairs, "--out", tmp_path / "out", "--recipe", recipe)
        run(*words)
        run(*words, "--set", "augment.noise=0", "--set", "batch_size=3", "--batch-size", "2")
        run(*words, "--epochs", "4", "--no-resume", "--no-amp")
        plain, assigned, counted = (config for config, _ in seen)
        assert (plain.minutes, plain.learning_rate, plain.batch_size) == (5, 0.002, 7)
        assert plain.augment.blur == 0.3
        assert (assigned.augment.blur, assigned.augment.noise, assigned.batch_size) == (0.3, 0, 2)
        assert (counted.epochs, counted.minutes, counted.amp) == (4, None, False)
        assert [resume for _, resume in seen] == [True, True, False]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--epochs", "0"], "epochs = 0"),
            (["--set", "augment.blurr=1"], r"augment\.blurr"),
            (["--recipe", "none"], "There is no such recipe: 'none'. Known: nuclei"),
            (["--architecture", "vnet"], "Unknown architecture: 'vnet'. Known: .*nuclei_unet"),
            (["--optimizer", "adamx"], "Unknown optimizer: 'adamx'. Known: .*adamw"),
            (["--schedule", "cosin"], "Unknown schedule: 'cosin'. Known: .*cosine"),
            (["--optimizer", "rmsgd"], "sets the learning rates of the layers itself"),
            (["--optimizer", "sam", "--accumulate", "2"], "takes two passes"),
            (["--about", "adamx"], "Nothing has this name: 'adamx'. Known: .*adamw"),
            (["--data", "nowhere"], "nowhere"),
        ],
    )
    def test_what_is_wrong_is_one_sentence(self, pairs, tmp_path, words, message):
        result = run("train", "--data", pairs, "--out", tmp_path / "out", *words, code=2)
        error = result.stderr.splitlines()[-1]
        assert error.startswith("Error: ")
        assert re.search(message, error)

    def test_help_lists_every_optimizer_and_schedule(self):
        text = re.sub(r"[\s│]+", " ", run("train", "--help").output)
        for registry in (OPTIMIZERS, SCHEDULES):
            assert ", ".join(registry.names()) in text

    @pytest.mark.parametrize("part", [*OPTIMIZERS.names(), *SCHEDULES.names(), *MODELS.names()])
    def test_each_part_tells_of_its_settings(self, part):
        text = run("train", "--about", part).stdout
        [module] = [r.module(part) for r in (OPTIMIZERS, SCHEDULES, MODELS) if part in r.names()]
        assert module.__doc__.splitlines()[0] in text
        for name, field in module.Options.model_fields.items():
            assert f"_options.{name}=" in text
            assert field.description[1:] in text


class TestProbe:
    def test_the_bundled_model_has_a_finite_table_and_a_heat_map(self, tmp_path):
        out, values = tmp_path / "map.png", tmp_path / "values.json"
        result = run("probe", "nuclei", "--out", out, "--json", values)
        assert "stem.0.weight" in result.stdout
        assert re.search(r"^Q = 0\.\d+", result.stdout, re.MULTILINE)
        with Image.open(out) as picture:
            assert picture.width > 100
        layers = json.loads(values.read_text())["layers"]
        measured = [[v for v in layer.values() if isinstance(v, float)] for layer in layers]
        assert len(layers) > 30
        assert np.isfinite(measured).all()
        assert all(0 <= layer["stable_rank"] <= 1 for layer in layers)

    @pytest.mark.slow
    def test_a_checkpoint_shows_every_epoch_and_the_learning_rates(self, pairs, tmp_path):
        words = ("--epochs", "2", "--optimizer", "rmsgd", "--schedule", "constant", "--explain")
        result = run("train", "--data", pairs, "--out", tmp_path / "run", *words, *TINY)
        assert "Learning rates of the layers" in result.stderr
        values = tmp_path / "values.json"
        last = tmp_path / "run" / "last.pt"
        told = ("--measure", "learning_rate", "--out", tmp_path / "map.png", "--json", values)
        result = run("probe", last, *told)
        assert "0.03" in result.stdout
        assert list(json.loads(values.read_text())["epochs"]) == ["1", "2"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["no_such"], "There is no such model"),
            (["no_such.pt"], "There is no such checkpoint"),
            (["nuclei", "--measure", "colour"], "Unknown measure: 'colour'"),
            (["nuclei", "--measure", "learning_rate"], "no learning_rate to draw"),
        ],
    )
    def test_what_is_wrong_is_one_sentence(self, tmp_path, words, message):
        result = run("probe", *words, "--out", tmp_path / "map.png", code=2)
        assert message in result.stderr
        assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_core_needs_neither_qt_nor_napari():
    code = (
        "import sys, pkgutil, importlib\n"
        "sys.modules.update(dict.fromkeys(('qtpy', 'napari', 'magicgui', 'superqt')))\n"
        "import napari_nucleiseg as package\n"
        "for module in pkgutil.walk_packages(package.__path__, 'napari_nucleiseg.'):\n"
        "    if '.gui' not in module.name and not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "fine\n", done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="closes streams as a POSIX shell does")
class TestClosedStreams:
    def test_standard_error(self, cells, tmp_path):
        code = "import os, sys; os.close(2); sys.stderr = None"
        words = ("segment", cells / "cells.png", "--out", tmp_path / "out", "--json")
        out, _ = finish(start(*words, code=code))
        assert json.loads(out)["nuclei"] > 0
        assert read_labels(tmp_path / "out" / "cells_labels.tif").image.any()

    def test_standard_output(self):
        code = "import os, sys; os.close(1); sys.stdout = None"
        truth = SAMPLES["stained"].labels
        out, err = finish(start("evaluate", truth, truth, code=code))
        assert out == ""
        assert "Error" not in err


def test_a_reader_that_goes_away_is_no_error(cells, tmp_path):
    process = start("models", "list")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert "went wrong" not in err
