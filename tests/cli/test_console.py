"""What all commands share: help, version, closed streams."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from running import finish, run, start
from typer.testing import CliRunner

import napari_nucleiseg
from napari_nucleiseg import cli
from napari_nucleiseg.config import SegmentConfig, TrainConfig
from napari_nucleiseg.flags import flag_fields, flag_name
from napari_nucleiseg.io import read_labels
from napari_nucleiseg.samples import SAMPLES


def test_the_program_says_what_it_does():
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


def test_no_command_shows_the_help():
    assert "First steps" in run(code=2).output


@pytest.mark.parametrize("width", ["80", "200"])
@pytest.mark.parametrize(
    ("command", "config"), [("segment", SegmentConfig), ("train", TrainConfig)]
)
def test_every_setting_is_there_with_its_description(command, config, width):
    # Typer measures the terminal when it draws, so the width counts for each run
    result = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": width})
    text = re.sub(r"[\s│]+", " ", result.output)
    for name, field in flag_fields(config).items():
        assert flag_name(name) in text
        if width == "200":
            assert field.description[1:] in text


def test_ranges_defaults_and_choices_are_told():
    text = re.sub(r"[\s│]+", " ", run("segment", "--help").output)
    assert "0.05 to 0.95" in text
    assert "default: 0.5" in text
    assert "auto|cpu|cuda|mps" in text


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["segment", "--help"], ["models"]])
def test_no_heavy_library_is_loaded_for_it(words):
    code = (
        "import sys, atexit\n"
        "heavy = {'torch', 'scipy', 'skimage', 'openvino', 'qtpy', 'napari'}\n"
        "atexit.register(lambda: print('loaded', sorted(heavy & set(sys.modules))))"
    )
    process = start(*words, code=code)
    out, _ = process.communicate(timeout=60)
    assert "loaded []" in out


def test_the_version_is_the_packages():
    out, _ = finish(start("--version"))
    assert out == f"nucleiseg {napari_nucleiseg.__version__}\n"


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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_text_that_finds_no_room_is_said(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "napari_nucleiseg", "models", "list"]
        ways = {"stdout": full, "stderr": subprocess.PIPE, "text": True, "timeout": 60}
        done = subprocess.run(words, env=environment, **ways)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: What the program has to say could not be written")
    assert len(done.stderr.splitlines()) == 1
