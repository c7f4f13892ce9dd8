"""Small crops of many kinds of micrographs, replayed while fine-tuning so that the old skill stays.

They are from the training part of the 2018 Data Science Bowl (BBBC038v1, CC0-1.0; Caicedo et al.
2019, doi:10.1038/s41592-019-0612-7), cut by ``benchmarks/bundle_replay.py``. Mixing old examples
into new training is rehearsal (Robins 1995, doi:10.1080/09540099550039318).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..data.pairs import find_pairs, load_pairs
from ..data.patches import TrainingImage
from ..errors import FileError
from ..intensity import NormaliseConfig

FOLDER = Path(__file__).parent


def read_replay(normalise: NormaliseConfig, splits: Sequence[str]) -> list[TrainingImage]:
    """Read the crops of some splits.

    Parameters
    ----------
    normalise : NormaliseConfig
        How the model wants intensities.
    splits : sequence of str
        ``"train"``, ``"held-out"``.

    Returns
    -------
    list of TrainingImage
        Each marked as replayed.

    Raises
    ------
    FileError
        If a bundled file is gone or damaged.
    """
    pairs = [p for p in find_pairs(FOLDER)[0] if p.split in splits]
    images = []
    for item in load_pairs(pairs, normalise):
        if not isinstance(item, TrainingImage):
            raise FileError(
                "The bundled replay set is damaged",
                str(getattr(item, "text", item)),
                "Install napari-nucleiseg again",
            )
        images.append(replace(item, is_replay=True))
    return images
