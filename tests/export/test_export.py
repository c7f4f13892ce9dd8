"""Label images for other programs: read back as those programs read them."""

from __future__ import annotations

import json
import sys
import zipfile

import numpy as np
import pytest
import roifile
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools.coco import COCO
from skimage.draw import polygon2mask

from napari_nucleiseg.errors import DependencyError, SettingError, ShapeError
from napari_nucleiseg.export import EXPORTERS, ending_of, endings, export_names, write_exports

# pycocotools decodes in the way of an earlier NumPy
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def hard() -> np.ndarray:
    """161 x 519, numbers with gaps: what other programs have stumbled over."""
    labels = np.zeros((161, 519), np.int32)
    labels[10:60, 500] = 3  # one pixel wide
    labels[20:40, 20:40] = 7
    labels[25:35, 25:35] = 0  # a ring
    labels[100:110, 100:110] = 9  # touches the next one in a corner,
    labels[110:120, 110:120] = 12
    labels[110:120, 100:110] = 40  # and this one along a side
    labels[80, 7] = 70_000  # a single pixel
    labels[130:135, 200:205] = labels[135:140, 205:210] = 70_001  # two pieces that touch
    labels[150:155, 300:305] = labels[150:155, 400:405] = 70_002  # two that do not
    labels[160, 518] = 70_003  # the last corner
    return labels


def written(labels, out, *exports):
    return [event.path for event in write_exports(labels, out, "a", exports, "a.png")]


def read_geojson(path, shape):
    """Masks of the features by label."""
    document = json.loads(path.read_text())
    assert document["type"] == "FeatureCollection"
    y, x = np.indices(shape) + 0.5
    masks = {}
    for feature in document["features"]:
        geometry, properties = feature["geometry"], feature["properties"]
        parts = geometry["coordinates"]
        for rings in [parts] if geometry["type"] == "Polygon" else parts:
            assert all(ring[0] == ring[-1] for ring in rings)
        polygon = shapely.geometry.shape(geometry)
        assert polygon.is_valid
        label = properties["measurements"]["Label"]
        assert properties["name"] == str(label)
        assert properties["objectType"] == "detection"
        mask = shapely.contains_xy(polygon, x, y)
        assert polygon.area == mask.sum()
        masks[label] = mask
    return masks


def read_rois(path, shape):
    """Masks of the ROIs by label, filled as ImageJ fills them: by turns, where pixels' centres."""
    masks = {}
    for roi in roifile.roiread(path):
        mask = np.zeros(shape, bool)
        for ring in roi.coordinates(multi=True):
            mask ^= polygon2mask(shape, ring[:, ::-1] - 0.5 + 1e-6)
        y, x = np.nonzero(mask)
        box = (roi.top, roi.left, roi.bottom, roi.right)
        assert box == (y.min(), x.min(), y.max() + 1, x.max() + 1)
        masks[int(roi.name)] = mask
    return masks


def read_coco(path, shape):
    """Masks of the annotations by label."""
    coco = COCO(path)
    [image] = coco.loadImgs(coco.getImgIds())
    assert (image["file_name"], image["height"], image["width"]) == ("a.png", *shape)
    masks = {}
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation).astype(bool)
        y, x = np.nonzero(mask)
        assert annotation["area"] == mask.sum()
        box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        assert annotation["bbox"] == box
        masks[annotation["label"]] = mask
    return masks


READERS = {"geojson": read_geojson, "imagej_roi": read_rois, "coco": read_coco}


def check(path, export, labels):
    masks = READERS[export](path, labels.shape)
    assert list(masks) == np.unique(labels[labels > 0]).tolist()
    for label, mask in masks.items():
        np.testing.assert_array_equal(mask, labels == label, err_msg=str(label))


@pytest.fixture(params=EXPORTERS.names())
def export(request) -> str:
    return request.param


def test_every_nucleus_comes_back_pixel_for_pixel(hard, export, tmp_path):
    [path] = written(hard, tmp_path, export)
    assert path.name == f"a{ending_of(export)}"
    check(path, export, hard)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_real_nuclei_come_back(stained, export, tmp_path):
    [path] = written(stained[1], tmp_path, export)
    check(path, export, stained[1])


@pytest.mark.parametrize("name", ["imagej_roi", "coco"])
@given(
    labels=arrays(
        np.int32, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(-1, 2)
    )
)
def test_whatever_the_shapes(name, labels, tmp_path_factory):
    [path] = written(labels, tmp_path_factory.mktemp("any"), name)
    if (labels > 0).any():
        check(path, name, labels)


def test_written_again_it_holds_what_is_there_now(hard, export, tmp_path):
    written(hard, tmp_path, export)
    hard[hard == 9] = 0
    [path] = written(hard, tmp_path, export)
    check(path, export, hard)


def test_equal_nuclei_give_equal_files(hard, export, tmp_path):
    [path] = written(hard, tmp_path / "one", export)
    [other] = written(hard.astype(np.int64), tmp_path / "two", export)
    assert path.read_bytes() == other.read_bytes()


def test_an_image_without_nuclei(export, tmp_path):
    [path] = written(np.array([[0, -1]]), tmp_path, export)
    if path.suffix == ".zip":
        assert zipfile.ZipFile(path).namelist() == []
    else:
        document = json.loads(path.read_text())
        assert [v for k, v in document.items() if k in ("features", "annotations")] == [[]]


@pytest.mark.slow
def test_more_nuclei_than_sixteen_bits_hold(export, tmp_path):
    y, x = np.ogrid[: 265 * 5, : 265 * 5]
    inside = (np.abs(y % 5 - 2) < 2) & (np.abs(x % 5 - 2) < 2)
    labels = np.where(inside, 265 * (y // 5) + x // 5 + 1, 0)
    [path] = written(labels, tmp_path, export)
    if export == "imagej_roi":
        with zipfile.ZipFile(path) as folder:
            names = [name.removesuffix(".roi") for name in folder.namelist()]
            last = roifile.ImagejRoi.frombytes(folder.read("70225.roi"))
        assert last.name == "70225"
        found = list(map(int, names))
    elif export == "geojson":
        features = json.loads(path.read_text())["features"]
        found = [feature["properties"]["measurements"]["Label"] for feature in features]
    else:
        annotations = json.loads(path.read_text())["annotations"]
        found = [annotation["label"] for annotation in annotations]
        assert {annotation["area"] for annotation in annotations} == {9}
    assert found == list(range(1, 70_226))


def test_names_are_taken_as_people_write_them():
    assert export_names(["imagej-roi", "geojson", "imagej_roi"]) == ("imagej_roi", "geojson")
    with pytest.raises(SettingError, match="Known: coco, geojson, imagej_roi"):
        export_names(["shapefile"])


def test_no_two_exports_share_a_name():
    assert len(set(endings())) == len(EXPORTERS.names())


@pytest.mark.parametrize(
    ("name", "module"), [("imagej_roi", "roifile"), ("coco", "pycocotools.mask")]
)
def test_what_is_not_installed_is_named_with_the_command(name, module, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError, match=r'pip install "napari-nucleiseg\[export\]"'):
        written(np.ones((2, 2), int), tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_stack_is_refused(export, tmp_path):
    with pytest.raises(ShapeError, match="a is int32 with 3 axes"):
        written(np.ones((2, 3, 4), np.int32), tmp_path, export)


def test_an_image_too_long_for_imagej_is_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"60,535.*GeoJSON"):
        written(np.ones((1, 60_536), np.int32), tmp_path, "imagej_roi")
    far = np.zeros((1, 60_535), np.int32)
    far[0, 60_000:60_010] = 5
    [path] = written(far, tmp_path, "imagej_roi")
    [roi] = roifile.roiread(path)
    assert (roi.left, roi.right) == (60_000, 60_010)
