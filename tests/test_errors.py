from __future__ import annotations

import pickle

import pytest

from napari_nucleiseg import errors

KINDS = [
    k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.NucleisegError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_says_what_where_and_what_to_do(kind):
    error = kind("Sizes differ", "a.png is 5×6", "Crop both")
    assert str(error) == "Sizes differ: a.png is 5×6. Crop both."


@pytest.mark.parametrize("kind", KINDS)
def test_survives_the_way_to_another_process(kind):
    error = pickle.loads(pickle.dumps(kind("Sizes differ", "a.png", "Crop both")))
    assert (error.what, error.where, error.remedy) == ("Sizes differ", "a.png", "Crop both")


def test_what_alone_is_a_sentence():
    assert str(errors.FileError("Nothing there")) == "Nothing there."
