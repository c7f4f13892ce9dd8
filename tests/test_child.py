"""Work in a child process: the same events, the same errors, the same end."""

from __future__ import annotations

import ctypes
import os
import pickle
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from napari_nucleiseg.child import Child, ChildError
from napari_nucleiseg.errors import ModelError, NucleisegError
from napari_nucleiseg.events import Event, Notice


@dataclass(frozen=True)
class Numbers(Event):
    values: np.ndarray


def count(values, until):
    sys.stdout.write("what a library prints does not get between the messages")
    for i in range(until):
        yield Numbers(values + i)


def write_at_the_end(path):
    try:
        for i in range(100):
            yield Notice(str(i))
    finally:
        path.write_text(f"closed in {os.getpid()}")


def raises(error):
    yield Notice("so far so good")
    raise error


def dies():
    yield Notice("so far so good")
    os._exit(3)


@pytest.fixture(scope="module")
def child():
    one = Child()
    yield one
    one.close()


def test_events_come_as_if_it_ran_here(child):
    values = np.arange(12, dtype=np.int32).reshape(3, 4)[:, ::2]
    found = [event.values for event in child.run(count, values, 3)]
    assert all(np.array_equal(f, values + i) for i, f in enumerate(found))
    assert [f.dtype for f in found] == [np.int32] * 3
    found[0][0, 0] = 7
    assert found[0][0, 0] == 7


def test_closing_it_runs_its_end_over_there_and_the_process_stays(child, tmp_path):
    events = child.run(write_at_the_end, tmp_path / "a")
    assert next(events) == Notice("0")
    events.close()
    first = (tmp_path / "a").read_text()
    assert first != f"closed in {os.getpid()}"
    list(child.run(write_at_the_end, tmp_path / "b"))
    assert (tmp_path / "b").read_text() == first


def test_errors_on_purpose_come_as_they_are(child):
    error = ModelError("No such model", "x", "Choose another")
    with pytest.raises(ModelError, match=r"No such model: x\. Choose another\.") as caught:
        list(child.run(raises, error))
    assert isinstance(caught.value.__cause__, ChildError)
    assert "in raises" in str(caught.value.__cause__)


def test_other_errors_come_in_words(child):
    with pytest.raises(NucleisegError, match="went wrong inside the program") as caught:
        list(child.run(raises, ZeroDivisionError("division by zero")))
    assert "ZeroDivisionError" in str(caught.value.__cause__)


def test_what_cannot_be_sent_is_no_end(child):
    with pytest.raises((AttributeError, pickle.PicklingError)):
        list(child.run(count, lambda: 0, 1))
    assert len(list(child.run(count, np.zeros(2), 2))) == 2


class Unreadable(Notice):
    """An event that cannot be made again on this side."""

    def __reduce__(self):
        return int, ("not a number",)


def gives_unreadable():
    yield Unreadable("x")


def gives_and_raises(error):
    yield Notice("first")
    raise error


@pytest.mark.parametrize("error", [EOFError("end"), BrokenPipeError("pipe"), ValueError("value")])
def test_errors_of_the_work_are_not_taken_for_the_death_of_the_process(child, error):
    with pytest.raises(NucleisegError, match="went wrong inside the program"):
        list(child.run(gives_and_raises, error))
    assert len(list(child.run(count, np.zeros(2), 2))) == 2


def test_arguments_that_raise_value_error_when_packed_do_not_hang(child):
    with pytest.raises(ValueError, match="pointers cannot be pickled"):
        list(child.run(count, ctypes.pointer(ctypes.c_int(1)), 1))
    assert len(list(child.run(count, np.zeros(2), 2))) == 2


def test_an_event_that_cannot_be_read_does_not_hang(child):
    with pytest.raises(ValueError, match="invalid literal"):
        list(child.run(gives_unreadable))
    assert len(list(child.run(count, np.zeros(2), 2))) == 2


def test_a_process_that_dies_is_said_in_words_and_the_next_run_starts_another():
    child = Child()
    with pytest.raises(NucleisegError, match="exit code 3"):
        list(child.run(dies))
    assert len(list(child.run(count, np.zeros(2), 2))) == 2
    child.close()
    with pytest.raises(NucleisegError):
        list(child.run(count, np.zeros(2), 2))
