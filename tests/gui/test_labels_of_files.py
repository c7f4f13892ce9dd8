"""Label images of files as layers, found again."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_nucleiseg.gui.labels_of_files import labels_of, mark


def nuclei(number):
    labels = np.zeros((20, 30), np.int32)
    labels[4:9, 4:9] = number
    return labels


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


def show(viewer, labels, **more):
    """Show what a file holds, as a dock does."""
    layer = labels_of(viewer, "a · nuclei", labels, **more)
    if layer is None:
        layer = viewer.add_labels(labels.copy(), name="a · nuclei")
        mark(layer, "a · nuclei")
    return layer


def test_beside_other_nuclei_of_that_name_there_is_one_layer_however_often_it_is_opened(viewer):
    corrected = viewer.add_labels(nuclei(7), name="a · nuclei")
    first = show(viewer, nuclei(1))
    assert first is not corrected
    assert show(viewer, nuclei(1)) is first
    assert show(viewer, nuclei(1)) is first
    assert len(viewer.layers) == 2
    assert (corrected.data == nuclei(7)).all()


def test_a_file_that_has_changed_is_shown_in_the_same_layer(viewer):
    first = show(viewer, nuclei(1))
    for number in (2, 3):
        assert show(viewer, nuclei(number)) is first
        assert (first.data == nuclei(number)).all()


@pytest.mark.parametrize("keep_painted", [True, False])
def test_what_somebody_painted_stays(viewer, keep_painted):
    first = show(viewer, nuclei(1))
    first.data_setitem((np.array([15]), np.array([15])), 9)
    painted = first.data.copy()
    again = show(viewer, nuclei(1), keep_painted=keep_painted)
    assert (again is first) == keep_painted
    # the file, too, is another one now
    assert show(viewer, nuclei(2), keep_painted=keep_painted) is not first
    assert (first.data == painted).all()
