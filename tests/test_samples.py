from __future__ import annotations

import numpy as np
import pytest

from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.samples import SAMPLES, read_sample

NUCLEI = {"fluorescence": 22, "stained": 34, "brightfield": 20}


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_has_a_label_image_of_its_size(name):
    micrograph, labels = read_sample(name)
    assert micrograph.shape == labels.shape
    assert labels.dtype == np.int32
    assert np.unique(labels).tolist() == list(range(NUCLEI[name] + 1))
    assert micrograph.is_colour == (name == "stained")


def test_an_unknown_sample_lists_the_known_ones():
    with pytest.raises(SettingError, match="fluorescence, stained, brightfield"):
        read_sample("phase")
