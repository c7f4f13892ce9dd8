"""What all commands share: how they speak, how they end, and their progress bar."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import traceback as tracebacks
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer

from .. import wording
from ..errors import FileError, NucleisegError, reason
from ..export import EXPORTERS
from ..files import write_text
from ..flags import recipe_names, set_signature, signature_of

if TYPE_CHECKING:
    from rich.progress import Progress

SOME_FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130


def in_home(path: Path) -> Path:
    """Read ~ as the home folder, as in inputs: a shell leaves it alone in ``--out=~/results``."""
    return Path(os.path.expanduser(path))


Out = Annotated[
    Path,
    typer.Option("--out", "-o", callback=in_home, help="Folder for the results; made if missing."),
]
# a file's name may hold what commands a terminal; lines and tabs stay
_VISIBLE = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}
STANDARD_OUTPUT = "-"
EXPORT_NAMES = ", ".join(
    f"{name.replace('_', '-')} ({EXPORTERS.description(name).partition(':')[0]})"
    for name in EXPORTERS.names()
)
DataFolder = Annotated[
    Path,
    typer.Option(
        help="Folder with images/ and masks/ of the same names, or pairs x.tif, x_labels.tif."
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE.yaml",
        help=f"Settings to begin with; with the program come: {', '.join(recipe_names())}.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any setting, also one inside another: augment.blur=0.2. May be repeated.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume/--no-resume", help="Go on from an earlier, unfinished run in --out."),
]
JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write all values to this JSON file; - prints them to standard output instead of the "
        "table.",
    ),
]
show_traceback = ContextVar("show_traceback", default=False)


def manual(text: str) -> str:
    """Let paragraphs flow to the width of the terminal; indented lines stay as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else p.replace("\n", " ") for p in paragraphs)


def show_or_write(record: object, file: str | None, show: Callable[[], None]) -> None:
    """Show a result and write it to the file of ``--json``, or print it as JSON alone."""
    text = json.dumps(record, indent=1)
    if file == STANDARD_OUTPUT:
        say(text, sys.stdout)
        return
    if file is not None:
        write_text(Path(file), text + "\n")
    show()
    if file is not None:
        say(f"All values are in {file}")


def interrupt(*_: object) -> NoReturn:
    """End a command on SIGTERM as on Ctrl-C."""
    raise KeyboardInterrupt


def say(text: str, file: TextIO | None = None) -> None:
    """Print one line, by default to standard error.

    Raises
    ------
    FileError
        If the disk is full that it goes to.
    """
    stream = file or sys.stderr
    try:
        print(text.translate(_VISIBLE), file=stream, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_rest(stream)
        raise FileError(
            "What the program has to say could not be written",
            reason(error),
            "Check free space; results named so far are complete",
        ) from error


def _drop_rest(stream: TextIO) -> None:
    """Send to nowhere what is not written yet: Python would try again at the end, and fail."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def in_words(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command end in a sentence whatever happens, and give it the flag ``--traceback``."""

    @functools.wraps(command)
    def guarded(*args: Any, traceback: bool, **values: Any) -> None:
        show_traceback.set(traceback)
        try:
            command(*args, **values)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            say("Stopped.")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            say_error(error)
            is_of_the_user = isinstance(error, NucleisegError) or wording.is_about_a_file(error)
            raise typer.Exit(USER_ERROR if is_of_the_user else 1) from None

    shown = inspect.Parameter(
        "traceback",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[
            bool, typer.Option("--traceback", help="Show where in the program an error arose.")
        ],
    )
    set_signature(guarded, [*signature_of(command), shown])
    guarded.__doc__ = manual(command.__doc__ or "")
    return guarded


def say_error(error: Exception, where: str = "") -> str:
    """Print an error in one sentence that names the file, and give the sentence."""
    details = "".join(tracebacks.format_exception(error))
    return say_problem(wording.sentence(error), where, wording.is_foreseen(error), details)


def say_problem(sentence: str, where: str, is_foreseen: bool, traceback: str) -> str:
    """Print what was wrong in one sentence that names the file, and give the sentence."""
    sentence = " ".join(sentence.split())
    if not (is_foreseen or show_traceback.get()):
        sentence += " Run with --traceback to see them."
    if where not in sentence:
        sentence = f"{where}: {sentence}"
    if show_traceback.get():
        say(traceback.rstrip())
    say(f"Error: {sentence}")
    return sentence


@contextmanager
def progress_bar() -> Iterator[Progress | None]:
    """A bar on a terminal, nothing where standard error goes to a file."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True, soft_wrap=True), transient=True) as bar:
        yield bar
