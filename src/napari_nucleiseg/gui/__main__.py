"""``python -m napari_nucleiseg.gui``: napari with a sample, the dock, and the nuclei found."""

from __future__ import annotations

from typing import Any

import napari
from qtpy.QtCore import QTimer

PLUGIN = "napari-nucleiseg"


def open_demo(sample: str = "fluorescence", segment: bool = True) -> tuple[Any, Any]:
    """Open napari with a sample and the dock.

    Parameters
    ----------
    sample : str
        Which sample.
    segment : bool
        Whether to press *Segment* as soon as the window is there.

    Returns
    -------
    viewer, dock
    """
    viewer = napari.Viewer()
    viewer.open_sample(PLUGIN, sample)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment nuclei")
    if segment:
        QTimer.singleShot(0, dock.segment_button.click)
    return viewer, dock


def main() -> None:
    """Open the demo and stay until its window is closed."""
    kept = open_demo()
    napari.run()
    del kept


if __name__ == "__main__":
    main()
