from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from napari_nucleiseg.data.masks import why_no_instances


def grid(numbers, gap=20):
    """Discs, some of which share a number."""
    labels = np.zeros((200, 200), np.int32)
    for n, number in enumerate(numbers):
        labels[disk((15 + gap * (n // 9), 15 + gap * (n % 9)), 7)] = number
    return labels


@pytest.mark.parametrize("kind", ["fluorescence", "stained", "brightfield"])
def test_label_images_are_none(request, kind):
    assert why_no_instances(request.getfixturevalue(kind)[1]) == ""


def test_few_numbers_in_many_pieces_are_a_mask():
    assert "number 1 lies in 40 pieces" in why_no_instances(grid([1] * 40))
    assert "number 2 lies in 30 pieces" in why_no_instances(grid([1] * 20 + [2] * 30))
    assert why_no_instances(grid(range(1, 40))) == ""


def test_a_clump_as_one_nucleus_is_a_mask_and_a_large_nucleus_is_not():
    clump = grid([1] * 80)
    clump[15:170, 14:16] = 1  # holds the rows together
    for row in range(9):
        clump[14 + 20 * row : 16 + 20 * row, 15:175] = 1
    assert "number 1 covers" in why_no_instances(clump)
    clump[190:195, 100:190:30] = 2
    assert "has no compact shape" in why_no_instances(clump)
    close_up = np.zeros((200, 200), np.int32)
    close_up[disk((100, 100), 90)] = 1
    assert why_no_instances(close_up) == ""
    assert why_no_instances(np.full((4, 4), -1)) == ""
