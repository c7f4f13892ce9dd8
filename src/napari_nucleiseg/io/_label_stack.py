"""Label images of many planes as OME-TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..files import write_whole

_LARGE = 2**31


def write_label_stack(
    path: Path | str,
    labels: np.ndarray,
    axis: str = "Z",
    pixel_size_um: tuple[float, float] | None = None,
    z_step_um: float | None = None,
) -> Path:
    """Write the label images of all planes as one OME-TIFF, one plane in memory at a time.

    Parameters
    ----------
    path : Path or str
        An earlier file of this name is replaced when the new one is complete.
    labels : (N, H, W) integer ndarray
        May be mapped from a file. 16 bits are written where they hold all numbers, else 32.
    axis : {"Z", "T"}
        What the planes are.
    pixel_size_um : (float, float), optional
        Height and width of a pixel in µm.
    z_step_um : float, optional
        Distance of two focal planes in µm.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ShapeError
        If these are no planes of whole numbers.
    FileError
        If the disk is full or the folder cannot be written to.
    """
    import tifffile

    path = Path(path)
    if labels.ndim != 3 or labels.dtype.kind not in "biu" or not labels.size:
        raise ShapeError(
            "A stack of label images is planes of whole numbers",
            f"got {labels.dtype} of shape {labels.shape} for {path.name}",
        )
    # plane by plane: of a mapped file no more is in memory
    low = min(int(plane.min()) for plane in labels)
    high = max(int(plane.max()) for plane in labels)
    dtype = np.uint16 if low >= 0 and high <= np.iinfo(np.uint16).max else np.int32
    known: dict[str, Any] = {"axes": f"{axis}YX"}
    if pixel_size_um is not None:
        known |= {"PhysicalSizeY": pixel_size_um[0], "PhysicalSizeX": pixel_size_um[1]}
    if axis == "Z" and z_step_um is not None:
        known["PhysicalSizeZ"] = z_step_um

    def write(file: Any) -> None:
        tifffile.imwrite(
            file,
            (plane.astype(dtype) for plane in labels),
            shape=labels.shape,
            dtype=dtype,
            photometric="minisblack",
            compression="zlib",
            metadata=known,
            ome=True,
            bigtiff=labels.size * np.dtype(dtype).itemsize > _LARGE,
        )

    write_whole(path, write)
    return path
