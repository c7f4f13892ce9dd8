"""The command ``nucleiseg``: settings as flags, events as lines, errors as sentences."""

from __future__ import annotations

import functools
import inspect
import json
import os
import signal
import sys
import traceback as tracebacks
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer

from . import __version__, distributed, wording
from .config import SegmentConfig, TrainConfig
from .errors import NucleisegError, SettingError
from .flags import (
    apply_assignments,
    describe_part,
    read_recipe,
    recipe_names,
    set_signature,
    signature_of,
    with_settings,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from .batch import FileDone, Found
    from .evaluation import Evaluated
    from .events import EpochDone
    from .explain import Layer

SOME_FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _manual(text: str) -> str:
    """Let paragraphs flow to the width of the terminal; indented lines stay as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else p.replace("\n", " ") for p in paragraphs)


app = typer.Typer(
    name="nucleiseg",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=_manual("""Find every nucleus in micrographs.

    Each micrograph becomes a label image: 0 is background, 1 to N one nucleus each. A model comes
    with the program; nothing is sent or fetched over a network.

    [bold]First steps[/bold]

      nucleiseg demo                               try it on a sample
      nucleiseg segment cells.tif --out results    one micrograph
      nucleiseg segment scans/ --out results       all micrographs of a folder
      nucleiseg evaluate results/ truth/           how good is it?
      nucleiseg train --data mine/ --out run       a model of your own

    Results go to files, the summary to standard output, all else (progress, notices, errors) to
    standard error. Exit codes: 0 all is done, 1 some inputs failed, 2 a wrong input or setting,
    130 stopped."""),
)
models_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Models on this computer, and their cards."
)
app.add_typer(models_app, name="models")


show_traceback = ContextVar("show_traceback", default=False)


def main() -> None:
    """Run the command line."""
    for name in ("stdout", "stderr"):
        # Closed by whoever started the program: its texts are for nobody, and must go neither to
        # the other stream nor to a file that got the free number.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # a file name that the terminal cannot show must not end the program
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _interrupt)
    app(prog_name="nucleiseg")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def say(text: str, file: TextIO | None = None) -> None:
    """Print one line, by default to standard error."""
    print(text, file=file or sys.stderr, flush=True)


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
            raise typer.Exit(USER_ERROR if isinstance(error, NucleisegError) else 1) from None

    shown = inspect.Parameter(
        "traceback",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[
            bool, typer.Option("--traceback", help="Show where in the program an error arose.")
        ],
    )
    set_signature(guarded, [*signature_of(command), shown])
    guarded.__doc__ = _manual(command.__doc__ or "")
    return guarded


def say_error(error: Exception, where: str = "") -> str:
    """Print an error in one sentence that names the file, and give the sentence."""
    sentence = " ".join(wording.sentence(error).split())
    foreseen = isinstance(error, (NucleisegError, MemoryError))
    if not (foreseen or show_traceback.get()):
        sentence += " Run with --traceback to see them."
    if where not in sentence:
        sentence = f"{where}: {sentence}"
    if show_traceback.get():
        tracebacks.print_exception(error)
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


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"nucleiseg {__version__}", sys.stdout)
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if missing.")]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document to standard output, and nothing else."),
]


@app.command()
@in_words
@with_settings(SegmentConfig)
def segment(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            show_default=False,
            help="Micrographs: files, folders, or patterns in quotes.",
        ),
    ],
    out: Out,
    settings: dict[str, Any],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into folders inside folders as well.")
    ] = False,
    overlay: Annotated[
        bool,
        typer.Option("--overlay", help="Write a picture with the outlines of the nuclei, too."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Segment micrographs: every nucleus gets its own number.

    For each micrograph NAME.xyz two files are written: [bold]NAME_labels.tif[/bold], the label
    image, and [bold]NAME_labels.json[/bold], the record of how it was made (settings, model,
    versions), which is what it takes to make it again. Earlier results of the same micrograph are
    replaced, each as a whole; where there are some of another micrograph, those stay, and the new
    ones get a longer name.

    Of a folder, files are taken that look like images; hidden files and results of earlier runs
    are not. A file that cannot be read is named and the others are done. If two micrographs would
    give results of the same name, the suffix is kept (NAME.png_labels.tif, NAME.tif_labels.tif),
    or, for files of one name from several folders, their folders are repeated in the output folder.

    [bold]Examples[/bold]

      nucleiseg segment cells.tif --out results
      nucleiseg segment "plate1/*_dapi.tif" --out results --overlay
      nucleiseg segment scans/ --recursive --out results --channel DAPI
      nucleiseg segment cells.tif --out results --json > summary.json
    """
    from .batch import find_items, prepare_folder
    from .engine import build_engine
    from .store import find_model

    config: SegmentConfig = SegmentConfig.parse(settings)
    found = find_items(inputs, recursive=recursive, out=out)
    if not found.items:
        for _, error in found.errors[:-1]:
            say_error(error)
        if found.errors:
            raise found.errors[-1][1]
        raise SettingError(
            "Nothing to segment", ", ".join(inputs), "These are results of earlier runs"
        )
    prepare_folder(out)
    # a model or device that is not there is one error, not one for each file
    build_engine(find_model(config.model), config)
    _segment_all(found, out, config, overlay=overlay, as_json=as_json)


def _segment_all(
    found: Found, out: Path, config: SegmentConfig, *, overlay: bool, as_json: bool
) -> None:
    """Segment one after the other, tell of each, and end with the summary and the exit code."""
    from .batch import FileDone, segment_file
    from .events import DeviceChosen, Notice, TileDone

    failed = [{"input": text, "error": say_error(error)} for text, error in found.errors]
    if found.skipped:
        names = ", ".join(path.name for path in found.skipped[:5])
        more = f" and {len(found.skipped) - 5} more" if len(found.skipped) > 5 else ""
        say(f"Left out, as they are no images of a known format: {names}{more}")
    done: list[dict[str, Any]] = []
    said: set[str] = set()
    stopped = False

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            say(text)

    with progress_bar() as bar:
        task = None if bar is None else bar.add_task("", total=len(found.items))
        for number, item in enumerate(found.items):
            notices: list[str] = []
            if bar is not None and task is not None:
                bar.update(task, description=_shortened(item.path.name), completed=number)
            try:
                work = segment_file(item, out, config, overlay=overlay)
                with closing(work) as events:  # type: ignore[type-var]
                    for event in events:
                        if isinstance(event, TileDone) and bar is not None and task is not None:
                            bar.update(task, completed=number + event.done / event.total)
                        elif isinstance(event, Notice):
                            notices.append(event.text)
                            say(f"{item.path.name}: {event.text}")
                        elif isinstance(event, DeviceChosen):
                            say_once(f"Running on {event.text}")
                        elif isinstance(event, FileDone):
                            done.append(_file_record(event, notices))
                            line = wording.result(event.segmented, event.pixel_size_um)
                            say(f"{item.path.name}: {line} -> {event.labels}")
            except KeyboardInterrupt:
                stopped = True
                break
            except Exception as error:
                failed.append({"input": str(item.path), "error": say_error(error, str(item.path))})
    total = sum(record["nuclei"] for record in done)
    if as_json:
        document = {
            "version": __version__,
            "config": config.model_dump(mode="json"),
            "out": str(out),
            "nuclei": total,
            "results": done,
            "failed": failed,
            "skipped": [str(path) for path in found.skipped],
            "stopped": stopped,
        }
        say(json.dumps(document, indent=2), sys.stdout)
    else:
        images = f"{len(done)} of {len(found.items) + len(found.errors)} micrographs segmented"
        missed = f", {len(failed)} failed" if failed else ""
        say(f"{images}{missed}: {wording.nuclei(total)}, results in {out}", sys.stdout)
    if stopped:
        say("Stopped; the results named above are complete.")
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(SOME_FAILED)


def _shortened(name: str, most: int = 32) -> str:
    """Beginning and end of a name that would leave no room for the bar."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def _file_record(event: FileDone, notices: list[str]) -> dict[str, Any]:
    """One micrograph in the JSON document."""
    return {
        "input": str(event.item.path),
        "labels": str(event.labels),
        "manifest": str(event.manifest),
        "overlay": None if event.overlay is None else str(event.overlay),
        "nuclei": event.segmented.count,
        "median_diameter_px": event.segmented.median_diameter_px,
        "pixel_size_um": event.pixel_size_um,
        "seconds": round(event.seconds, 3),
        "notices": notices,
    }


@app.command()
@in_words
def evaluate(
    prediction: Annotated[
        Path,
        typer.Argument(
            metavar="PRED", show_default=False, help="A label image, or a folder of them."
        ),
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH", show_default=False, help="The true one, or a folder of them."
        ),
    ],
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write all scores, image by image, to this file."
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Count only images listed in the column image_id, and sum up by modality.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Count only images with this value in the index' column split."),
    ] = None,
    per_image: Annotated[
        bool, typer.Option("--per-image", help="Print a line for each image, too.")
    ] = False,
) -> None:
    """Compare label images with the true ones.

    Files belong together whose names are equal without suffix and without a trailing _labels.
    Every image needs its partner, and both have to be of one size.

    Dice and IoU are those of the foreground. AP is matched nuclei over matched, missed and extra
    ones at an IoU of 0.5, 0.75, and the mean over 0.5, 0.55 ... 0.95; F1 and PQ (panoptic quality)
    are at 0.5. An image without true and without predicted nuclei scores 1. [bold]Mean[/bold] is
    the mean over images, [bold]pooled[/bold] takes the nuclei of all images together.

    [bold]Examples[/bold]

      nucleiseg evaluate results/ truth/
      nucleiseg evaluate results/ data/masks --index data/index.csv --split val --json scores.json
    """
    from .evaluation import Evaluated, ImageCompared
    from .evaluation import evaluate as compare
    from .events import Notice
    from .files import write_text

    result: Evaluated | None = None
    with progress_bar() as bar:
        task = None if bar is None else bar.add_task("comparing", total=None)
        for event in compare(prediction, truth, index=index, split=split):
            if isinstance(event, Notice):
                say(event.text)
            elif isinstance(event, ImageCompared) and bar is not None and task is not None:
                bar.update(task, completed=event.done, total=event.total)
            elif isinstance(event, Evaluated):
                result = event
    if result is None:
        raise TypeError("evaluate ended without a result")
    if json_file is not None:
        text = json.dumps(result.record(), indent=1) + "\n"
        write_text(json_file, text)
    _print_scores(result, per_image=per_image)
    if json_file is not None:
        say(f"All scores are in {json_file}")


def _print_scores(result: Evaluated, *, per_image: bool) -> None:
    """Print the scores as a table to standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", overflow="fold")
    for title in ("images", "true", "found"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("Dice", "IoU", "AP@.5", "AP@.75", "AP", "F1", "PQ"):
        table.add_column(title, justify="right", no_wrap=True)

    def row(title: str, counts: tuple[object, ...], scores: Any, ap: dict[str, float]) -> None:
        values = (
            *(scores[k] for k in ("dice", "iou")),
            *(ap[k] for k in ("0.50", "0.75")),
            *(scores[k] for k in ("average_precision", "f1", "panoptic")),
        )
        # a name in brackets is no markup
        table.add_row(Text(title), *map(str, counts), *(f"{value:.3f}" for value in values))

    if per_image:
        for image in result.images:
            row(image.name, ("", image.true_count, image.found_count), image.scores, image.ap)
        table.add_section()
    for name, summary in result.summaries.items():
        counts = (summary.images, summary.true_count, summary.found_count)
        row(f"{name}, mean", counts, summary.mean, summary.mean_ap)
        row(f"{name}, pooled", ("", "", ""), summary.pooled, summary.pooled_ap)
    console = Console(file=sys.stdout, highlight=False)
    if not sys.stdout.isatty():
        console.width = 160  # a file has no edge to fold at
    console.print(table)


def _tell_about(part: str | None) -> None:
    if part is None:
        return
    try:
        say(describe_part(part), sys.stdout)
    except NucleisegError as error:
        say_error(error)
        raise typer.Exit(USER_ERROR) from None
    raise typer.Exit


@app.command()
@in_words
@with_settings(TrainConfig)
def train(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder with images/ and masks/ of the same names, or pairs x.tif, x_labels.tif."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the checkpoints and the finished model.")
    ],
    settings: dict[str, Any],
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.yaml",
            help=f"Settings to begin with; with the program come: {', '.join(recipe_names())}.",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any setting, also one inside another: augment.blur=0.2. May be repeated.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume", help="Go on from an earlier, unfinished run in --out."
        ),
    ] = True,
    _about: Annotated[
        str | None,
        typer.Option(
            "--about",
            metavar="NAME",
            is_eager=True,
            callback=_tell_about,
            help="Tell about an optimizer, schedule or architecture and its settings, and end.",
        ),
    ] = None,
) -> None:
    """Train a model on micrographs with label images.

    Training goes on for --epochs, or for --minutes if given. After each epoch a checkpoint is
    written, last.pt and, where it is the best so far on micrographs held out for that, best.pt.
    Stopped by Ctrl-C or a power cut, the same command goes on where it was. At the end, and after
    Ctrl-C, the best model so far is written as a file that [bold]segment --model[/bold] takes.

    An index.csv in the data folder (columns image_id, split) says what to train on: the split
    "train". What a flag sets wins over --set, and that over the recipe. Optimizers, schedules and
    architectures have settings of their own, --about NAME lists them.

    [bold]Examples[/bold]

      nucleiseg train --data mine/ --out run --minutes 90
      nucleiseg train --recipe nuclei --data dsb2018/ --out run
      nucleiseg train --data mine/ --out run --epochs 50 --set augment.invert=0
      nucleiseg train --about padam
      nucleiseg train --data mine/ --out run --optimizer padam --set optimizer_options.p=0.25
      nucleiseg train --data mine/ --out run --optimizer rmsgd --schedule constant --explain
    """
    values = apply_assignments(
        TrainConfig, {} if recipe is None else read_recipe(recipe), assignments or ()
    )
    if "epochs" in settings and "minutes" not in settings:
        values["minutes"] = (
            None  # a number of epochs asked for is not cut short by the recipe's time
        )
    config: TrainConfig = TrainConfig.parse({**values, **settings})

    from .batch import prepare_folder
    from .training import resolve_settings

    resolve_settings(config)
    prepare_folder(out)
    stopped, left_out = _train(data, config, out, resume=resume)
    if not distributed.is_first():
        return
    best, last = out / "best.pt", out / "last.pt"
    kept = best if best.is_file() else last
    if kept.is_file():
        from .training import export_model

        name = _model_name(out)
        model = out / f"{name}.safetensors"
        export_model(kept, model, name, {"title": name, "description": f"trained on {data.name}"})
        say(f"The model is {model}, with its card {model.with_suffix('.yaml').name}", sys.stdout)
        use = wording.command(None, SegmentConfig(model=str(model)))
        say(f"Use it: {use}", sys.stdout)
    if stopped:
        raise typer.Exit(INTERRUPTED)
    if left_out:
        say(f"Left out, see above: {left_out} of the pairs in {data}")
        raise typer.Exit(SOME_FAILED)


def _model_name(out: Path) -> str:
    """Name of a model after the folder it was trained in."""
    name = out.resolve().name
    return name.removesuffix(".safetensors") or "model"


def _train(data: Path, config: TrainConfig, out: Path, *, resume: bool) -> tuple[bool, int]:
    """Train and tell of each epoch; whether it was stopped, and how many pairs were left out."""
    from .events import BatchDone, DeviceChosen, EpochDone, LeftOut, Notice
    from .training import train as train_events

    stop_asked = False
    between_steps = False

    def ask_to_stop(*_: object) -> None:
        nonlocal stop_asked
        if stop_asked or not between_steps:
            raise KeyboardInterrupt
        # a step that is cut in two would leave half-changed weights in the checkpoint
        stop_asked = True
        say("Stopping after this step; press Ctrl-C again to stop at once.")

    earlier = {number: signal.signal(number, ask_to_stop) for number in _STOP_SIGNALS}
    epoch = left_out = 0
    try:
        with (
            progress_bar() as bar,
            closing(train_events(data, config, out, resume=resume)) as events,  # type: ignore[type-var]
        ):
            task = None if bar is None else bar.add_task("training", total=1.0)
            for event in events:
                if isinstance(event, BatchDone):
                    between_steps, epoch = True, event.epoch - 1
                    if bar is not None and task is not None:
                        text = f"epoch {event.epoch}, loss {event.loss:.4f}"
                        bar.update(task, completed=event.progress, description=text)
                elif isinstance(event, EpochDone):
                    epoch = event.epoch
                    say(_epoch_line(event))
                elif isinstance(event, (Notice, DeviceChosen)):
                    left_out += isinstance(event, LeftOut)
                    say(event.text)
                if stop_asked:
                    break
    except KeyboardInterrupt:
        stop_asked = True
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    last = out / "last.pt"
    if not distributed.is_first():
        return stop_asked, left_out
    if not stop_asked and not epoch:
        say(f"The run in {out} is finished already; --no-resume starts anew.", sys.stdout)
    elif not stop_asked:
        say(f"Trained {epoch} epochs; checkpoints are in {out}", sys.stdout)
    elif last.is_file():
        say(
            f"Stopped after epoch {epoch}; kept in {last}. The same command goes on from there.",
            sys.stdout,
        )
    else:
        say("Stopped before the first step; nothing was written.", sys.stdout)
    return stop_asked, left_out


def _epoch_line(event: EpochDone) -> str:
    """One epoch in one line."""
    parts = [
        f"epoch {event.epoch}",
        f"loss {event.loss:.4f}",
        f"learning rate {event.learning_rate:.2g}",
        f"{event.seconds:.0f} s",
        f"{100 * event.progress:.0f} %",
    ]
    names = {"dice": "Dice", "ap50": "AP@0.5", "ap": "AP"}
    for key, value in (event.scores or {}).items():
        parts.append(f"held-out {names.get(key, key)} {value:.3f}")
    return " · ".join(parts)


@app.command()
@in_words
def probe(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT|MODEL",
            show_default=False,
            help="A checkpoint (.pt), the name of a model, or a .safetensors file.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File of the heat map, a PNG.")] = Path(
        "probe.png"
    ),
    measure: Annotated[
        str,
        typer.Option(
            help="What the heat map shows: quality, stable_rank, condition, rank, learning_rate."
        ),
    ] = "quality",
    squared: Annotated[
        bool, typer.Option("--squared", help="Square the singular values in the stable rank.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all values to this file."),
    ] = None,
) -> None:
    """Show what each layer of a network has learned.

    A layer is structure and noise. [bold]Rank[/bold] is how many directions stand above the noise,
    [bold]s[/bold] (stable rank) how evenly they are used, 0 to 1, [bold]kappa[/bold] the strongest
    over the weakest, [bold]q[/bold] = arctan(s / kappa) the quality, and Q that of the network.
    The learning rate is there for checkpoints.

    The heat map has a row for each layer and a column for each epoch of a run that was trained with
    --explain, or one column.

    [bold]Examples[/bold]

      nucleiseg probe nuclei
      nucleiseg probe run/last.pt --out run/quality.png
      nucleiseg probe run/last.pt --measure learning_rate --out run/rates.png
    """
    from dataclasses import asdict

    from . import explain
    from .files import write_text

    epochs: dict[int, list[explain.Layer]] = {}
    if source.endswith(".pt"):
        from .checkpoint import load_checkpoint
        from .training import probe_checkpoint

        state = load_checkpoint(Path(source))
        if not squared:
            epochs = explain.from_history(state.history)
        layers = probe_checkpoint(state, squared=squared)
        epochs[state.epoch] = layers
    else:
        from .store import find_model, load_network

        model = find_model(source)
        network = load_network(model)
        weights = {name: p.detach().numpy() for name, p in network.named_parameters()}
        layers = explain.probe(weights, squared=squared)
        epochs[int(model.card.get("training", {}).get("epochs", 0))] = layers
    # refused before anything is written
    picture = explain.heat_map(epochs, measure)
    _print_layers(layers)
    total = explain.network_quality(layers)
    say(f"Q = {total:.4f}, quality of the network", sys.stdout)
    if json_file is not None:
        record = {
            "source": source,
            "quality": total,
            "layers": [asdict(layer) for layer in layers],
            "epochs": {n: [asdict(layer) for layer in found] for n, found in epochs.items()},
        }
        write_text(json_file, json.dumps(record, indent=1) + "\n")
        say(f"All values are in {json_file}")
    explain.save_heat_map(picture, out)
    say(f"Heat map: {out}", sys.stdout)


def _print_layers(layers: list[Layer]) -> None:
    """Print what the layers have learned as a table to standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer", overflow="fold")
    for title in ("shape", "rank", "s", "kappa", "q", "learning rate"):
        table.add_column(title, justify="right", no_wrap=True)
    for layer in layers:
        rate = "" if layer.learning_rate is None else f"{layer.learning_rate:.3g}"
        table.add_row(
            Text(layer.name),
            "x".join(map(str, layer.shape)),
            f"{layer.rank:g}",
            f"{layer.stable_rank:.4f}",
            f"{layer.condition:.3f}",
            f"{layer.quality:.4f}",
            rate,
        )
    console = Console(file=sys.stdout, highlight=False)
    if not sys.stdout.isatty():
        console.width = 160  # a file has no edge to fold at
    console.print(table)


@models_app.command("list")
@in_words
def list_models() -> None:
    """List the models that segment --model takes by name."""
    from .store import list_models as find_all
    from .store import model_problems, user_folder

    for model in find_all():
        say(f"{model.name:<16} {model.title}  ({model.architecture}, {model.path})", sys.stdout)
    for problem in model_problems():
        say(problem)
    say(f"Models put into {user_folder()} are listed too.")


@models_app.command("show")
@in_words
def show_model(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", show_default=False, help="A name, or a .safetensors file."),
    ],
) -> None:
    """Show the card of a model: what it was trained on, by what command, and how good it is."""
    import yaml

    from .store import find_model

    model = find_model(name)
    card = yaml.safe_dump(dict(model.card), sort_keys=False, allow_unicode=True, width=96)
    say(f"{model.title}\n{model.path}\n\n{card.rstrip()}", sys.stdout)


@app.command()
@in_words
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results; made if missing.")
    ] = Path("nucleiseg-demo"),
) -> None:
    """Segment a sample that comes with the program, and compare with its true nuclei."""
    from .batch import FileDone, Item, prepare_folder, segment_file
    from .events import DeviceChosen, Notice
    from .io import read_labels
    from .metrics import METRICS
    from .samples import SAMPLES

    sample = SAMPLES["fluorescence"]
    prepare_folder(out)
    item = Item(sample.micrograph, sample.micrograph.stem)
    for event in segment_file(item, out, SegmentConfig(), overlay=True):
        if isinstance(event, (Notice, DeviceChosen)):
            say(event.text)
        elif isinstance(event, FileDone):
            truth = read_labels(sample.labels).image
            dice = METRICS["dice"]()(truth, event.segmented.labels)
            say(f"{sample.title}: {wording.result(event.segmented, None)}", sys.stdout)
            say(f"True nuclei: {len(set(truth[truth > 0].tolist()))}; Dice {dice:.2f}", sys.stdout)
            say(f"Label image: {event.labels}\nOutlines:    {event.overlay}", sys.stdout)


if __name__ == "__main__":
    main()
