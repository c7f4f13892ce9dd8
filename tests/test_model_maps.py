"""What a model sees is what its segmentation is made of."""

from __future__ import annotations

import numpy as np

from napari_nucleiseg import SegmentConfig, segment_now
from napari_nucleiseg.finding import decode_config
from napari_nucleiseg.instances import decode
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.model_maps import MapsRead, read_maps

CONFIG = SegmentConfig(engine="torch", device="cpu")


def test_the_maps_decode_to_the_segmentation(fluorescence):
    micrograph, _ = fluorescence
    *_, seen = read_maps(micrograph, CONFIG)
    assert isinstance(seen, MapsRead)
    assert seen.model == CONFIG.model
    assert seen.maps.shape[1:] == micrograph.shape
    labels = decode(seen.names, seen.maps, decode_config(CONFIG))
    assert np.array_equal(labels, segment_now(micrograph, CONFIG).labels)
    assert np.array_equal(seen.probability, seen.maps[seen.names.index("probability")])


def test_an_empty_image_shows_nothing():
    *_, seen = read_maps(Micrograph(np.zeros((40, 50), np.uint8), "YX"), CONFIG)
    assert not seen.maps.any()


def test_a_model_that_finds_instances_has_no_maps(stained):
    micrograph, _ = stained
    *_, seen = read_maps(micrograph, CONFIG.model_copy(update={"model": "mask-rcnn"}))
    assert seen.probability is None
    assert seen.pixels.shape[:2] == micrograph.shape
