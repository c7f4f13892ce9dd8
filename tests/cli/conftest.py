"""What the commands are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import STAINED

from napari_nucleiseg.samples import SAMPLES


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A folder with the stained sample as ``cells.png``."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cells.png").write_bytes(STAINED.read_bytes())
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of three micrographs with label images."""
    for sample in SAMPLES.values():
        for kind, source in (("images", sample.micrograph), ("masks", sample.labels)):
            path = tmp_path / "data" / kind / sample.micrograph.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
    return tmp_path / "data"
