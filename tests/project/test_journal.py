from __future__ import annotations

import errno
import os
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleiseg.editing import Change, Emptying, State
from napari_nucleiseg.errors import FileError
from napari_nucleiseg.project import Journal, Stroke, read_journal
from napari_nucleiseg.project import journal as module
from napari_nucleiseg.project.journal import MAGIC, encode
from napari_nucleiseg.reviewed import whole_image

SHAPE = (6, 9)


@st.composite
def strokes(draw):
    change = None
    if draw(st.booleans()):
        indices = np.array(sorted(draw(st.sets(st.integers(0, 53), max_size=54))), np.int64)
        after = draw(st.lists(st.integers(-1, 2**31 - 1), min_size=len(indices), max_size=54))
        after = np.array(after[: len(indices)], np.int32)
        change = Change(indices, np.zeros_like(after), after, SHAPE)
    states = draw(
        st.none()
        | st.dictionaries(st.integers(1, 2**31), st.none() | st.sampled_from(State), max_size=4)
    )
    reviewed = draw(st.sampled_from([None, (), (whole_image(SHAPE),)]))
    emptied = None
    if draw(st.booleans()):
        sides = (sorted(draw(st.sets(st.integers(0, 53), max_size=5))) for _ in range(2))
        emptied = Emptying(*(np.array(side, np.int64) for side in sides))
    return Stroke(change, states, reviewed, emptied)


def same(a: Stroke, b: Stroke) -> bool:
    if (a.change is None) != (b.change is None):
        return False
    if a.change is not None:
        for name in ("indices", "after", "shape"):
            if not np.array_equal(getattr(a.change, name), getattr(b.change, name)):
                return False
    if (a.emptied is None) != (b.emptied is None):
        return False
    if a.emptied is not None:
        for name in ("gained", "lost"):
            if not np.array_equal(getattr(a.emptied, name), getattr(b.emptied, name)):
                return False
    return a.states == b.states and a.reviewed == b.reviewed


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(wanted=st.lists(strokes(), max_size=3))
def test_cut_at_any_byte_the_journal_gives_every_stroke_before_it(tmp_path_factory, wanted):
    records = [encode(s) for s in wanted]
    data = MAGIC + b"".join(records)
    ends = np.cumsum([len(MAGIC), *map(len, records)])
    path = tmp_path_factory.mktemp("journal") / "journal.bin"
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        read, torn = read_journal(path)
        complete = int((ends[1:] <= size).sum())
        assert len(read) == complete
        assert all(same(a, b) for a, b in zip(read, wanted, strict=False))
        assert torn == (size - ends[complete] if size >= ends[0] else size)


@settings(max_examples=60, deadline=None)
@given(wanted=st.lists(strokes(), min_size=1, max_size=4), data=st.data())
def test_a_changed_byte_is_never_taken_for_a_stroke(tmp_path_factory, wanted, data):
    content = bytearray(MAGIC + b"".join(encode(s) for s in wanted))
    at = data.draw(st.integers(len(MAGIC), len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("journal") / "journal.bin"
    path.write_bytes(bytes(content))
    read, torn = read_journal(path)
    assert torn > 0
    assert len(read) < len(wanted)
    assert all(same(a, b) for a, b in zip(read, wanted, strict=False))


def test_what_is_no_journal_is_refused(tmp_path):
    path = tmp_path / "journal.bin"
    path.write_bytes(b"something else altogether")
    with pytest.raises(FileError, match="no journal"):
        read_journal(path)


def stroke(value: int) -> Stroke:
    after = np.array([value], np.int32)
    return Stroke(Change(np.array([value % 54]), after * 0, after, SHAPE))


def test_strokes_are_in_the_file_without_being_asked_for(tmp_path):
    journal = Journal(tmp_path / "a.bin")
    for value in range(1, 6):
        journal.append(stroke(value))
    deadline = time.monotonic() + 20
    while not (tmp_path / "a.bin").exists() or len(read_journal(tmp_path / "a.bin")[0]) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    journal.close()


@pytest.mark.slow
def test_the_disk_is_asked_at_most_once_a_second_and_always_at_the_end(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "fsync", lambda file: asked.append(time.monotonic()))
    journal = Journal(tmp_path / "a.bin")
    for value in range(1, 24):
        journal.append(stroke(value))
        time.sleep(0.1)
    journal.flush()
    last = len(asked)
    journal.close()
    assert last >= 2
    # flush asks in any case
    assert (np.diff(asked[: last - 1]) >= 1).all()


def test_rotation_divides_the_strokes(tmp_path):
    journal = Journal(tmp_path / "a.bin")
    journal.append(stroke(1))
    journal.rotate(tmp_path / "b.bin")
    journal.append(stroke(2))
    journal.append(stroke(3))
    journal.close()
    values = [
        [int(s.change.after[0]) for s in read_journal(tmp_path / f)[0]] for f in ("a.bin", "b.bin")
    ]
    assert values == [[1], [2, 3]]
    with pytest.raises(FileError, match="are closed"):
        journal.append(stroke(4))


def test_a_full_disk_is_said_and_nothing_is_lost_when_there_is_room_again(tmp_path, monkeypatch):
    write, room = os.write, [30]

    def small_disk(file, data):
        taken = bytes(data[: room[0]])
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= len(taken)
        return write(file, taken)

    monkeypatch.setattr(os, "write", small_disk)
    journal = Journal(tmp_path / "a.bin")
    journal.append(stroke(1))
    journal.append(stroke(2))
    with pytest.raises(FileError, match="No space left"):
        journal.flush()
    assert journal.problem is not None
    assert read_journal(tmp_path / "a.bin")[0] == []
    room[0] = 10_000
    journal.append(stroke(3))
    deadline = time.monotonic() + 20
    while journal.problem is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    journal.close()
    read, torn = read_journal(tmp_path / "a.bin")
    assert [int(s.change.after[0]) for s in read] == [1, 2, 3]
    assert torn == 0


@pytest.fixture
def impatient(monkeypatch):
    """Tries again sooner than a person would notice."""
    monkeypatch.setattr(module, "RETRY_S", 0.05)


def fail_once(monkeypatch, place, error):
    """Let the next call of a function of the journal raise an error."""
    target, name = {"encode": (module, "encode"), "write": (os, "write"), "sync": (os, "fsync")}[
        place
    ]
    original, errors = getattr(target, name), [error]

    def call(*args):
        if errors:
            raise errors.pop()
        return original(*args)

    monkeypatch.setattr(target, name, call)


# that is how a thread tells of its end
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("then", ["append", "flush", "close"])
@pytest.mark.parametrize(
    ("place", "error"),
    [("encode", MemoryError()), ("write", ValueError("torn")), ("sync", RuntimeError("odd"))],
)
def test_whatever_ends_its_thread_is_said_and_loses_no_stroke(
    tmp_path, monkeypatch, impatient, place, error, then
):
    fail_once(monkeypatch, place, error)
    journal = Journal(tmp_path / "a.bin")
    journal.append(stroke(1))
    with pytest.raises(FileError, match=r"out of memory|torn|odd") as raised:
        journal.flush()
    assert "kept in memory" in str(raised.value)
    assert journal.problem is not None
    wanted = [1, 2] if then == "append" else [1]
    if then == "append":
        journal.append(stroke(2))
    elif then == "flush":
        with suppress(FileError):  # says the old problem, or that all is well again
            journal.flush()
    if then != "close":
        deadline = time.monotonic() + 20
        while journal.problem is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        journal.flush()
    journal.close()
    read, torn = read_journal(tmp_path / "a.bin")
    assert [int(s.change.after[0]) for s in read] == wanted
    assert torn == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_again_and_again_is_said_at_the_end(tmp_path, monkeypatch):
    def never(_):
        raise ValueError("no way")

    monkeypatch.setattr(module, "encode", never)
    journal = Journal(tmp_path / "a.bin")
    journal.append(stroke(1))
    with pytest.raises(FileError, match="no way"):
        journal.close()
