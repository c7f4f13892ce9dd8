"""What is done with the files of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from .config import Config
from .export import export_names


class BatchConfig(Config):
    """Which files are segmented, and what is written of each."""

    folder: Path = Field(Path(), description="folder with the micrographs")
    pattern: str = Field("", description="which names count, such as *_dapi.tif; empty: all images")
    recursive: bool = Field(False, description="whether folders inside are looked into")
    out: Path = Field(Path(), description="folder for the results")
    overlay: bool = Field(False, description="whether a picture with outlines is written")
    table: bool = Field(False, description="whether nuclei are measured, into a table")
    exports: Annotated[tuple[str, ...], AfterValidator(export_names)] = Field(
        (), description="what is written for other programs, names in export/"
    )
    by_blocks: bool | None = Field(
        None, description="whether files go block by block; empty: above 100 megapixels"
    )
    summary: bool = Field(True, description="whether summary.csv and gallery.html are written")
    workers: int = Field(1, ge=1, description="processes on this computer that work together")
    scheduler: str | None = Field(None, description="address of a dask scheduler to use instead")
    resume: bool = Field(True, description="whether files that are done already are left out")
