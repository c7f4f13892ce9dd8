"""Docks for napari; the only part of the package that knows Qt, magicgui or napari."""
