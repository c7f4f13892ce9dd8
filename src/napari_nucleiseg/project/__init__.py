"""The project folder: what a person corrected, reviewed and trained, beside the micrographs.

Its format is described in ``docs/project-format.md``.
"""

from .corrections import STATE, Corrected, Corrections, training_labels
from .folder import NAME, MicrographReference, Project, find_project, is_project
from .journal import Journal, Stroke, read_journal

__all__ = [
    "NAME",
    "STATE",
    "Corrected",
    "Corrections",
    "Journal",
    "MicrographReference",
    "Project",
    "Stroke",
    "find_project",
    "is_project",
    "read_journal",
    "training_labels",
]
