"""Sentences for people: counts, sizes, durations, what is left to do, the equal command."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import Config, SegmentConfig
from .errors import NucleisegError
from .events import Joined, PlaneDone, Segmented, Streamed, TileDone

if TYPE_CHECKING:
    from .batch_plan import BatchFile
    from .comparing import Comparing, ModelScores
    from .evaluation import Evaluated
    from .lessons import Lesson
    from .next_places import Ranking
    from .store import ModelCard

DEVICES = {"cpu": "CPU", "cuda": "NVIDIA GPU", "mps": "Apple GPU", "auto": "auto"}


def number(value: float) -> str:
    """Two significant digits, whole numbers from 10 on: 0.62, 6.8, 21, 312."""
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:#.2g}"


def duration(seconds: float) -> str:
    """How long something takes or took: "0.4 s", "12 s", "about 2 min", "about 1.5 h"."""
    if seconds < 1:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 99.5:
        return f"{number(seconds)} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {number(seconds / 3600)} h"


def megapixels(value: float) -> str:
    """How large a picture is: "0.26 MPix", "144 MPix"; small ones are not told apart."""
    return f"{number(value)} MPix" if value >= 0.01 else "under 0.01 MPix"


def estimate(files: Sequence[BatchFile], seconds: float) -> str:
    """How long files will take, roughly: the card's speed is that of a core of another computer."""
    unknown = sum(file.megapixels is None and not file.is_done for file in files)
    without = f" without {unknown} of unknown size" if unknown else ""
    return f"roughly {duration(seconds).removeprefix('about ')}{without}"


def nuclei(count: int) -> str:
    """Count in words: "no nuclei", "1 nucleus", "312 nuclei"."""
    return "1 nucleus" if count == 1 else f"{count or 'no'} nuclei"


def device_name(device: str) -> str:
    """Name of a device as people know it."""
    return DEVICES.get(device.split(":")[0], device)


def expected_device(config: SegmentConfig) -> str:
    """Say where and by what a network will run, as far as is known without asking PyTorch."""
    # it loads SciPy, which the command line's help can do without
    from .engine import has_openvino, may_have_gpu

    on_cpu = config.device == "cpu" or (config.device == "auto" and not may_have_gpu())
    if not on_cpu:
        name = device_name(config.device)
        return name if config.device != "auto" else "GPU if PyTorch can use it, else CPU"
    by = "PyTorch" if config.engine == "torch" or not has_openvino() else "OpenVINO"
    return f"{device_name('cpu')} · {by}"


def progress(event: TileDone, seconds: float) -> str:
    """Say what is done, and what is left from the first tenth on.

    Parameters
    ----------
    event : TileDone
    seconds : float
        Time the tiles done so far took.
    """
    return f"tile {event.done} of {event.total}{time_left(event.done / event.total, seconds)}"


def planes(event: PlaneDone, seconds: float) -> str:
    """Say how many planes are done, and what is left from the first tenth on.

    Parameters
    ----------
    event : PlaneDone
    seconds : float
        Time the planes done so far took.
    """
    return f"plane {event.done} of {event.total}{time_left(event.done / event.total, seconds)}"


def time_left(share: float, seconds: float) -> str:
    """Say how long the rest will take, as soon as that can be told.

    Parameters
    ----------
    share : float
        What is done, 0..1.
    seconds : float
        How long that took.
    """
    if not 0.1 <= share < 1:
        return ""
    return f" · {rest(seconds * (1 - share) / share)}"


def rest(seconds: float) -> str:
    """Say how long something will still take."""
    # whole seconds: a tenth that jumps about tells nothing
    whole = max(1, round(seconds)) if seconds < 99 else seconds
    return f"{duration(whole)} left".replace(".0 s", " s")


def comparing(event: Comparing, seconds: float) -> str:
    """Say what is done of a comparison, and what is left from the first tenth on.

    Parameters
    ----------
    event : Comparing
    seconds : float
        Time it took so far.
    """
    model = f"model {event.model_number} of {event.models}"
    image = f"image {event.image_number} of {event.images}"
    tile = f", tile {event.tile} of {event.tiles}" if event.tiles > 1 else ""
    return f"{model}, {image}{tile}{time_left(event.share, seconds)}"


def ranking(event: Ranking, seconds: float) -> str:
    """Say how far the looking for places is, and what is left from the first tenth on.

    Parameters
    ----------
    event : Ranking
    seconds : float
        Time it took so far.
    """
    return f"image {event.number} of {event.images}{time_left(event.share, seconds)}"


def comparison(models: Sequence[ModelScores]) -> str:
    """One line about which model is best."""
    best = models[0]
    name = best.model if len(models) == 1 else f"Best: {best.model}"
    return f"{name} · {main_scores(best.means)}"


def differences(models: Sequence[ModelScores]) -> str:
    """Say in few lines which models are worse than the best, and of which that is unknown."""
    from .statistics import LEAST_IMAGES

    told = {
        "No significant difference": [
            m.model for m in models[1:] if m.difference and not m.difference.is_significant
        ],
        "Worse": [
            f"{m.model} (AP {m.difference.mean:+.2f})"
            for m in models[1:]
            if m.difference and m.difference.high < 0
        ],
        "Better on the images that it could segment": [
            f"{m.model} (AP {m.difference.mean:+.2f})"
            for m in models[1:]
            if m.difference and m.difference.low > 0
        ],
        f"Too few images to tell whether worse ({LEAST_IMAGES} are needed)": [
            m.model for m in models[1:] if m.difference is None
        ],
    }
    return "\n".join(f"{what}: {', '.join(names)}" for what, names in told.items() if names)


def model_title(model: ModelCard) -> str:
    """Title of a model with its score and speed, where its card states them."""
    parts = [model.title]
    if model.mean_ap is not None:
        parts.append(f"AP {model.mean_ap:.2f}")
    if model.speed is not None:
        parts.append(f"{model.speed:.1f} MPix/s")
    return " · ".join(parts)


def live(count: int, seconds: float) -> str:
    """One line about the nuclei of a view, and how long they took since the view was moved."""
    time = f"{1000 * seconds:.0f} ms" if seconds < 1 else duration(seconds)
    return f"{nuclei(count)} in view · {time}"


def result(event: Segmented | Streamed | Joined, pixel_size_um: tuple[float, float] | None) -> str:
    """One line about a result: count, channel, median diameter, time and device.

    Parameters
    ----------
    event : Segmented, Streamed or Joined
    pixel_size_um : (float, float) or None
        Height and width of a pixel in µm, where known.
    """
    parts = [nuclei(event.count) + _channel(event.manifest.get("input", {}))]
    if event.count:
        size = f"median diameter {number(event.median_diameter_px)} px"
        if pixel_size_um is not None:
            micrometres = event.median_diameter_px * (pixel_size_um[0] * pixel_size_um[1]) ** 0.5
            size += f" ({number(micrometres)} µm)"
        parts.append(size)
    device = str(event.manifest.get("device", "none"))
    where = "" if device == "none" else f" on {device_name(device)}"
    parts.append(f"{duration(event.seconds)}{where}")
    return " · ".join(parts)


def _channel(given: Mapping[str, Any]) -> str:
    """Say in which channel nuclei were found, where there was a choice."""
    number, names = given.get("channel_number"), given.get("channel")
    if number is None or not names:
        return ""
    return f" in channel {number}" + ("" if names[0] == str(number) else f" ({names[0]})")


def scores(dice: float, iou: float, ap50: float, true_count: int) -> str:
    """One line about how well a result matches the truth."""
    against = "1 true nucleus" if true_count == 1 else f"{true_count} true nuclei"
    return f"Dice {dice:.2f} · IoU {iou:.2f} · AP@0.5 {ap50:.2f} ({against})"


def compared(scores: Mapping[str, float]) -> str:
    """One line about how well a model did on a micrograph."""
    found = f"{nuclei(int(scores['found_count']))} found, {int(scores['true_count'])} true"
    return f"{found} · {main_scores(scores)}"


def main_scores(scores: Mapping[str, float]) -> str:
    """The two scores that say most."""
    return f"AP {scores['average_precision']:.2f} · Dice {scores['dice']:.2f}"


def judged(counts: Mapping[str, int], true_count: int, found_count: int, threshold: float) -> str:
    """One line about what became of the nuclei of an image.

    Parameters
    ----------
    counts : mapping of int
        Number of nuclei of each kind.
    true_count, found_count : int
    threshold : float
        IoU from which on a nucleus is correct.
    """
    if not true_count and not found_count:
        return "There are no nuclei, neither true nor found."
    return (
        f"{counts['correct']} of {true_count} correct at IoU {threshold:.2f} · {found_count} found"
    )


def scores_of_image(scores: Mapping[str, float]) -> str:
    """One line with the scores that say most of an image."""
    return f"{main_scores(scores)} · F1 {scores['f1']:.2f} · PQ {scores['panoptic']:.2f}"


def evaluated(event: Evaluated) -> str:
    """One line about an evaluation of folders."""
    total = event.summaries["all"]
    images = "1 image" if total.images == 1 else f"{total.images} images"
    return f"{images}, {nuclei(total.true_count)} · mean {main_scores(total.mean)}"


def evaluated_groups(event: Evaluated) -> str:
    """A line with the mean scores of each group of images; nothing where there are no groups."""
    return "\n".join(
        f"{name} ({summary.images}): {main_scores(summary.mean)}"
        for name, summary in event.summaries.items()
        if name != "all"
    )


def unfinished(lesson: Lesson) -> str:
    """Say which fine-tuning was stopped, when, how far it was, and what it learns from."""
    said = [f"{lesson.config.name} has not learned to the end"]
    stopped = lesson.stopped_at
    if stopped is not None:
        said.append(f"stopped {stopped:%Y-%m-%d %H:%M}")
    if lesson.learned:
        said.append(f"{100 * min(lesson.learned, 1):.0f} % learned")
    said.append(f"from {lesson.config.model} on {lesson.source or lesson.data.name}")
    return " · ".join(said) + "."


def is_about_a_file(error: BaseException) -> bool:
    """Whether the system refused to use a file and says which and why."""
    return isinstance(error, OSError) and bool(error.filename is not None and error.strerror)


def is_foreseen(error: BaseException) -> bool:
    """Whether an error's sentence tells a user all there is to know."""
    return isinstance(error, (NucleisegError, MemoryError)) or is_about_a_file(error)


def sentence(error: BaseException, report: str = "Copy the details and report them") -> str:
    """Give an error as one line that says what to do; the rest is in its traceback.

    Parameters
    ----------
    error : exception
    report : str
        What to do about an error that nobody foresaw, where it is shown.
    """
    if isinstance(error, NucleisegError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "There is not enough memory. Close other programs or crop the micrograph."
    if isinstance(error, OSError) and is_about_a_file(error):
        where = "A file" if isinstance(error.filename, int) else os.fsdecode(error.filename)
        return f"{where} cannot be used ({error.strerror}). Check the path and who may use it."
    reason = " ".join(str(error).split()).rstrip(".")
    said = f" ({reason})" if reason else ""
    return f"Something went wrong inside the program{said}. {report.rstrip('.')}."


def command(path: Path | Sequence[Path] | None, *configs: Config) -> str:
    """Give the command line that does the same in a shell.

    Parameters
    ----------
    path : Path, sequence of Path or None
        The micrograph's file, or those of a stack; None leaves a place to fill in.
    *configs : Config
        Only settings that differ from the defaults are written.
    """
    files = ["IMAGE"] if path is None else [path] if isinstance(path, Path) else path
    words = ["nucleiseg", "segment", *map(str, files), "--out", "nuclei"]
    for config in configs:
        for name, value in config.model_dump(exclude_defaults=True).items():
            words += [f"--{name.replace('_', '-')}", str(value)]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
