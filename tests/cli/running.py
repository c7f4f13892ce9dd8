"""Commands run in this process where their texts matter, in one of their own where it matters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from typer.testing import CliRunner

from napari_nucleiseg import cli
from napari_nucleiseg.samples import SAMPLES

STAINED = SAMPLES["stained"].micrograph
TINY = ("--patch-px", "64", "--batch-size", "2", "--steps-per-epoch", "2", "--held-out", "0")


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
