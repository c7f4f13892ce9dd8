"""What a model sees is computed once for each image and its pixels, and never mixed up."""

from __future__ import annotations

import gc

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QObject

from napari_nucleiseg.gui.model_view import MOST_KEPT, ModelView
from napari_nucleiseg.model_maps import MapsRead
from napari_nucleiseg.session import Session

SHAPE = (12, 16)


class Eyes:
    """A view whose model "sees" the mean of what it looks at."""

    def __init__(self, monkeypatch):
        session = Session()
        self.looked: list[float] = []
        monkeypatch.setattr(session, "_work_in", self.look)
        self.owner = QObject()
        self.view = ModelView(session, self.owner)

    def look(self, _function, micrograph, *_):
        mean = float(np.mean(micrograph.pixels))
        self.looked.append(mean)
        yield MapsRead(("probability",), np.full((1, *SHAPE), mean), micrograph.pixels, "eyes")

    def ask(self, image, point=(0, 0)):
        seen = []
        labels = Labels(np.zeros(SHAPE, np.int32))
        self.view.ask(image, labels, point, lambda maps: seen.append(float(maps.maps.mean())))
        return seen


@pytest.fixture
def eyes(qapp, monkeypatch):
    return Eyes(monkeypatch)


def picture(value, lazy):
    pixels = np.full(SHAPE, value, np.uint8)
    pixels[0, 0] += 1
    return da.from_array(pixels) if lazy else pixels


@pytest.mark.parametrize("lazy", [False, True])
def test_an_image_is_looked_at_once(eyes, lazy):
    image = Image(picture(50, lazy))
    first = eyes.ask(image)
    assert eyes.ask(image) == first
    assert len(eyes.looked) == 1


@pytest.mark.parametrize("lazy", [False, True])
def test_other_pixels_are_looked_at_again(eyes, lazy):
    image = Image(picture(50, lazy))
    old = eyes.ask(image)
    image.data = picture(90, lazy)
    new = eyes.ask(image)
    assert round(new[0] - old[0]) == 40


def test_pixels_that_change_in_place_are_looked_at_again(eyes):
    image = Image(picture(50, False))
    eyes.ask(image)
    image.data[:] = 90
    assert eyes.ask(image) == [90.0]


@pytest.mark.parametrize("lazy", [False, True])
def test_an_image_at_the_place_of_a_gone_one_is_looked_at_itself(eyes, lazy):
    # ids are given again at once; ten of each make sure that some were
    ids = set()
    for value in range(10, 110, 10):
        image = Image(picture(value, lazy))
        ids.add(id(image.data))
        assert round(eyes.ask(image)[0]) == value
        del image
        gc.collect()
    assert len(eyes.looked) == 10


def test_the_same_lazy_picture_with_other_data_again_and_again(eyes):
    image = Image(picture(10, True))
    for value in range(20, 120, 10):
        image.data = picture(value, True)
        gc.collect()
        assert round(eyes.ask(image)[0]) == value


def test_planes_of_a_stack_are_told_apart_and_the_oldest_is_forgotten(eyes):
    stack = np.stack([picture(value, False) for value in range(10, 70, 10)])
    image = Image(stack)
    seen = [round(eyes.ask(image, (plane, 0, 0))[0]) for plane in range(MOST_KEPT + 1)]
    assert seen == [10, 20, 30, 40, 50]
    eyes.ask(image, (MOST_KEPT, 0, 0))
    assert len(eyes.looked) == MOST_KEPT + 1
    eyes.ask(image, (0, 0, 0))
    assert len(eyes.looked) == MOST_KEPT + 2
