"""Work in a child process: the same events, the same errors, the same end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

from napari_nucleiseg import child as child_module
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


class ForeignError(NucleisegError):
    """An error of another package."""


@pytest.mark.parametrize(
    "error",
    [
        EOFError("the file ended"),
        BrokenPipeError("no reader"),
        OSError("disk"),
        MemoryError(),
        KeyError("x"),
    ],
)
def test_no_error_of_the_work_is_taken_for_the_end_of_the_process(child, error):
    first = process_of(child)
    with pytest.raises(NucleisegError) as caught:
        list(child.run(raises, error))
    assert "ended by itself" not in str(caught.value)
    assert type(error).__name__ in str(caught.value.__cause__)
    assert process_of(child) == first


def test_an_error_of_another_package_keeps_its_words(child):
    with pytest.raises(NucleisegError, match=r"Too dark: a\.png\. Use light\."):
        list(child.run(raises, ForeignError("Too dark", "a.png", "Use light")))


def process_of(child):
    """Process number over there, which stays as long as the process does."""
    (notice,) = child.run(tells_its_number)
    return notice.text


def tells_its_number():
    yield Notice(str(os.getpid()))


class Unsendable:
    """Raises what it is made with when it is pickled, or when it is unpickled."""

    def __init__(self, error, where):
        self.error, self.where = error, where

    def __reduce__(self):
        if self.where == "pickled":
            raise self.error
        return fail, (self.error,)


def fail(error):
    raise error


def yields_unsendable(error, where):
    yield Notice("so far so good")
    yield Unsendable(error, where)


ERRORS = [ValueError("v"), OSError("o"), EOFError("e"), TypeError("t"), MemoryError("m")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("where", ["pickled", "unpickled"])
def test_arguments_that_cannot_be_sent_are_said_at_once(child, error, where):
    with pytest.raises(type(error) if where == "pickled" else NucleisegError) as caught:
        list(child.run(count, Unsendable(error, where), 1))
    assert "ended by itself" not in str(caught.value)
    assert len(list(child.run(count, np.zeros(2), 2))) == 2


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("where", ["pickled", "unpickled"])
def test_events_that_cannot_be_sent_are_said_at_once(child, error, where):
    with pytest.raises(NucleisegError if where == "pickled" else type(error)) as caught:
        list(child.run(yields_unsendable, error, where))
    assert "ended by itself" not in str(caught.value)
    assert len(list(child.run(count, np.zeros(2), 2))) == 2


def test_pointers_and_functions_without_a_name_cannot_be_sent(child):
    for argument in (ctypes.pointer(ctypes.c_int(1)), lambda: 0):
        with pytest.raises(Exception, match=r"pickle|local"):
            list(child.run(count, argument, 1))
    assert len(list(child.run(count, np.zeros(2), 2))) == 2


def test_what_is_no_generator_of_events_is_an_error_and_no_end(child):
    first = process_of(child)
    with pytest.raises(NucleisegError, match="went wrong"):
        list(child.run(fail, ValueError("at once")))
    assert process_of(child) == first


def test_too_little_memory_here_leaves_no_half_message_behind(monkeypatch):
    child = Child()
    events = child.run(count, np.zeros(1000), 5)
    next(events)

    def no_memory(size, dtype):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(child_module.np, "empty", no_memory)
        with pytest.raises(MemoryError):
            next(events)
    assert len(list(child.run(count, np.zeros(2), 2))) == 2
    child.close()


def fails_at_its_end():
    try:
        yield Notice("0")
        yield Notice("1")
    finally:
        raise ModelError("The checkpoint cannot be saved")


def test_an_error_at_the_end_of_closed_work_is_raised_as_it_is_here(child):
    events = child.run(fails_at_its_end)
    next(events)
    with pytest.raises(ModelError, match="cannot be saved"):
        events.close()


def closes_its_pipes():
    yield Notice("so far so good")
    os.closerange(3, 100)
    while True:
        pass


def test_a_process_that_lives_and_does_not_answer_is_ended(monkeypatch):
    monkeypatch.setattr(child_module, "PATIENCE_S", 0.1)
    child = Child()
    with pytest.raises(NucleisegError, match="no answer"):
        list(child.run(closes_its_pipes))
    assert len(list(child.run(count, np.zeros(2), 2))) == 2
    child.close()


def is_killed():
    yield Notice("so far so good")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_memory_is_named_only_where_the_system_ended_the_process():
    child = Child()
    with pytest.raises(NucleisegError, match="memory ran out"):
        list(child.run(is_killed))
    with pytest.raises(NucleisegError, match=r"exit code 3\. Try again") as caught:
        list(child.run(dies))
    assert "memory" not in str(caught.value)
    child.close()


def test_work_under_way_ends_with_the_window():
    child = Child()
    events = child.run(count, np.zeros(2), 9)
    next(events)
    child.close()
    with pytest.raises(NucleisegError, match="The window was closed"):
        list(events)


def test_a_process_that_dies_is_said_in_words_and_the_next_run_starts_another():
    child = Child()
    with pytest.raises(NucleisegError, match="exit code 3"):
        list(child.run(dies))
    assert len(list(child.run(count, np.zeros(2), 2))) == 2
    child.close()
    with pytest.raises(NucleisegError):
        list(child.run(count, np.zeros(2), 2))


def waits_long():
    yield Notice("so far so good")
    time.sleep(600)


def test_a_long_step_that_nobody_waits_for_is_ended_and_the_next_work_gets_a_process():
    child = Child()
    child.stop(0)  # nothing is at work
    events = child.run(waits_long)
    next(events)
    child.stop(0.2)
    with pytest.raises(NucleisegError, match="ended by itself"):
        next(events)
    assert list(child.run(count, np.zeros(1), 0)) == []
    child.close()


def test_a_work_that_ended_in_time_is_not_ended_by_force(child):
    events = child.run(count, np.zeros(1), 2)
    next(events)
    child.stop(0.1)
    events.close()
    process = child._process
    time.sleep(0.3)
    assert child._process is process
    assert process.poll() is None
