from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_nucleiseg.targets import borders, distance_and_offsets


def test_distance_is_one_at_the_deepest_point_of_each_nucleus(fluorescence):
    _, labels = fluorescence
    distance, _ = distance_and_offsets(labels[None])
    highest = ndimage.maximum(distance[0, 0], labels, np.unique(labels[labels > 0]))
    np.testing.assert_allclose(highest, 1)
    assert not distance[0, 0][labels == 0].any()


def test_distance_equals_the_one_of_each_nucleus_alone():
    labels = np.zeros((1, 20, 20), np.int32)
    labels[0, 3:10, 3:10], labels[0, 3:10, 10:18] = 1, 2
    distance, _ = distance_and_offsets(labels)
    for number in (1, 2):
        mask = labels[0] == number
        alone = ndimage.distance_transform_edt(mask)
        np.testing.assert_allclose(distance[0, 0][mask], (alone / alone.max())[mask], rtol=1e-6)


def test_offsets_lead_to_the_centre():
    labels = np.zeros((1, 15, 15), np.int32)
    labels[0, 2:9, 4:9] = 5
    _, offsets = distance_and_offsets(labels)
    deepest = ndimage.distance_transform_edt(labels[0] > 0).max()
    y, x = np.nonzero(labels[0])
    np.testing.assert_allclose(y + offsets[0, 0][y, x] * deepest, 5, atol=1e-5)
    np.testing.assert_allclose(x + offsets[0, 1][y, x] * deepest, 6, atol=1e-5)


def test_ignored_pixels_and_empty_images_have_no_target():
    labels = np.full((2, 8, 8), -1, np.int32)
    labels[1] = 0
    distance, offsets = distance_and_offsets(labels)
    assert not distance.any()
    assert not offsets.any()


def test_borders_lie_where_two_nuclei_come_within_two_pixels():
    labels = np.zeros((1, 12, 30), np.int32)
    labels[0, 2:10, 2:10] = 1
    labels[0, 2:10, 10:18] = 2
    labels[0, 2:10, 25:29] = 3
    found = borders(labels)[0, 0]
    assert found[5].nonzero()[0].tolist() == [8, 9, 10, 11]
    gap = labels.copy()
    gap[0, :, 10:12] = 0
    assert borders(gap)[0, 0][5].nonzero()[0].tolist() == [10, 11]
    gap[0, :, 10:14] = -1
    assert not borders(gap)[0, 0][:, :23].any()
