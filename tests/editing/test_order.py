from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg.editing import order
from napari_nucleiseg.errors import SettingError


@pytest.fixture
def labels():
    made = np.zeros((30, 40), np.int32)
    made[3:9, 20:26] = 1
    made[4:10, 2:9] = 2
    made[20:26, 2:12] = 3
    made[19:22, 30:33] = 8
    made[0, 0] = -1
    return made


def test_nuclei_are_read_in_rows(labels):
    assert order(labels) == [2, 1, 3, 8]


def test_small_ones_come_first(labels):
    assert order(labels, "size") == [8, 1, 2, 3]


def test_the_least_certain_come_first(labels):
    probability = np.where(labels > 0, 0.9, 0.1)
    probability[labels == 3] = 0.55
    assert order(labels, "uncertain", probability)[0] == 3
    # a nucleus that goes on beyond its outline is doubtful, too
    probability[labels == 3] = 0.9
    probability[2:10, 26:30] = 0.9
    assert order(labels, "uncertain", probability)[0] == 1


def test_an_order_that_cannot_be_made_is_refused(labels):
    with pytest.raises(SettingError, match="reading, size, uncertain"):
        order(labels, "colour")
    with pytest.raises(SettingError, match="probability"):
        order(labels, "uncertain")
    assert order(np.zeros((4, 4), np.int32)) == []
