"""Everything that can go wrong, said so that a biologist knows what to do next."""

from __future__ import annotations


class NucleisegError(Exception):
    """The root of all errors this package raises on purpose.

    Parameters
    ----------
    what : str
        What was wrong, as the beginning of a sentence.
    where : str
        The file or value it was wrong with.
    remedy : str
        What to do about it.
    """

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where, remedy)
        self.what, self.where, self.remedy = what, where, remedy

    def __str__(self) -> str:
        sentence = f"{self.what}: {self.where}" if self.where else self.what
        if self.remedy:
            sentence = f"{sentence.rstrip('.')}. {self.remedy}"
        return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def reason(error: Exception) -> str:
    """Why reading or writing a text file failed, in few words that need no programmer.

    Parameters
    ----------
    error : exception
        Of the system, of decoding text, or of PyYAML.
    """
    if isinstance(error, UnicodeDecodeError):
        return "it is no text file"
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"its line {mark.line + 1} is not understood"
    said = error.strerror if isinstance(error, OSError) else None
    return said or " ".join(str(error).split())


class FileError(NucleisegError):
    """A file that cannot be read or written as what it was taken for."""


class ShapeError(NucleisegError):
    """Arrays whose sizes or axes do not fit each other or the task."""


class SettingError(NucleisegError):
    """A setting, name or option that does not exist or is out of range."""


class ModelError(NucleisegError):
    """A model that cannot be loaded, or that does not fit the micrograph."""


class TrainingError(NucleisegError):
    """Training data or a training run that cannot lead to a model."""


class DependencyError(NucleisegError):
    """An optional package that is needed and not installed."""


FAILURES = (
    NucleisegError,
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What can go wrong with one of many files or runs and not with the next."""
