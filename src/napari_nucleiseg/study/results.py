"""Results of a study as tidy tables: a row for each run, epoch, test image and layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DependencyError, TrainingError
from ..files import write_text
from .plan import Run
from .run import RECORD, folder_of, is_finished, read_record

if TYPE_CHECKING:
    from pandas import DataFrame

SCORES = ("dice", "iou", "ap50", "ap75", "average_precision", "panoptic")
TABLES = ("epochs", "images", "layers")
_DIGITS = "%.6g"
NAMES = dict.fromkeys(("run", "network", "optimizer", "schedule", "split", "image", "name"), str)


def need_pandas() -> None:
    """Say how to get pandas where it is missing.

    Raises
    ------
    DependencyError
    """
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            "pandas is not installed", "", 'Install it: pip install "napari-nucleiseg[study]"'
        ) from error


@dataclass(frozen=True)
class Results:
    """Finished runs of a study.

    Attributes
    ----------
    runs : DataFrame
        A row for each run: its names, mean test scores, ``gap`` (Dice on training micrographs
        minus Dice on those of the test), final losses, quality Q, times in seconds.
    epochs, images, layers : DataFrame
        A row for each epoch; for each micrograph that was tested; for each layer and epoch.
    """

    runs: DataFrame
    epochs: DataFrame
    images: DataFrame
    layers: DataFrame

    @property
    def tested(self) -> DataFrame:
        """Images of the test split alone, with the name of the variant."""
        splits = self.runs.set_index("run")["test_split"]
        mine = self.images[self.images["split"] == self.images["run"].map(splits)]
        variant = mine["network"] + "-" + mine["optimizer"] + "-" + mine["schedule"]
        return mine.assign(variant=variant)


def gather(runs: Sequence[Run], out: Path) -> Results:
    """Read the finished runs of a study.

    Raises
    ------
    TrainingError
        If none is finished.
    """
    need_pandas()
    import pandas as pd

    finished = [run for run in runs if is_finished(run, out)]
    if not finished:
        raise TrainingError("No run of the study is finished", str(out), "Run it first")
    tables = {
        name: pd.concat(
            [_read(folder_of(run, out) / f"{name}.csv") for run in finished], ignore_index=True
        )
        for name in TABLES
    }
    rows = []
    for run in finished:
        record = read_record(folder_of(run, out) / RECORD) or {}
        images = tables["images"][tables["images"]["run"] == run.name]
        epochs = tables["epochs"][tables["epochs"]["run"] == run.name]
        tested = images[images["split"] == run.test_split]
        trained = images[images["split"] == "train"]
        best = epochs[epochs["epoch"] == record["best_epoch"]].iloc[0]
        rows.append(
            {
                **run.labels(),
                "variant": run.variant,
                "test_split": run.test_split,
                "learning_rate": run.config.learning_rate,
                **{name: tested[name].mean() for name in SCORES},
                "train_dice": trained["dice"].mean(),
                "gap": trained["dice"].mean() - tested["dice"].mean(),
                "loss": epochs["loss"].iloc[-1],
                "held_out_loss": best.get("held_out_loss"),
                "quality": best.get("quality"),
                **{
                    name: value
                    for name, value in record.items()
                    if name not in {*run.labels(), "config", "versions", "test_split"}
                },
                "torch": record["versions"]["torch"],
            }
        )
    return Results(pd.DataFrame(rows), tables["epochs"], tables["images"], tables["layers"])


def write_tables(results: Results, out: Path) -> None:
    """Write the tidy tables as CSV, each as a whole."""
    for name in ("runs", *TABLES):
        write_csv(getattr(results, name), out / f"{name}.csv")


def write_csv(table: DataFrame, path: Path) -> None:
    """Write a table as CSV with six significant digits."""
    text = StringIO()
    table.to_csv(text, index=False, float_format=_DIGITS, lineterminator="\n")
    write_text(path, text.getvalue())


def _read(path: Path) -> DataFrame:
    import pandas as pd

    if not path.stat().st_size or not path.read_text(encoding="utf-8").strip():
        return pd.DataFrame()
    # an image called 007 is not the number 7, and a schedule called None is not missing
    return pd.read_csv(path, dtype=NAMES, keep_default_na=False, na_values=[""])
