from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from scipy import ndimage

from napari_nucleiseg.errors import FileError, NucleisegError, ShapeError
from napari_nucleiseg.io import read_labels, read_micrograph, write_labels

SUFFIXES = [".tif", ".TIFF", ".png", ".npy"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("sample", ["fluorescence", "stained", "brightfield"])
def test_the_samples_survive(tmp_path, request, sample, suffix):
    labels = request.getfixturevalue(sample)[1]
    path = write_labels(tmp_path / f"new folder/ü {sample}{suffix}", labels)
    read = read_labels(path)
    assert read.image.dtype == np.int32
    np.testing.assert_array_equal(read.image, labels)
    assert read.notices == ()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), suffix=st.sampled_from(SUFFIXES))
def test_what_is_written_is_read(tmp_path, data, suffix):
    dtype = data.draw(st.sampled_from(["i4", "u2", "u1", "i8", "u4", ">i4", "i2", "u8"]))
    top = min(np.iinfo(dtype).max, 2**31 - 1)
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=12))
    numbers = st.integers(0, top) | st.sampled_from([0, 1, min(255, top), min(65_536, top)])
    labels = data.draw(arrays(dtype, shape, elements=numbers))
    path = tmp_path / f"a{suffix}"
    path.unlink(missing_ok=True)
    if suffix == ".png" and labels.max() > 65_535:
        with pytest.raises(FileError, match=r"above 65,535.*ends in \.tif"):
            write_labels(path, labels)
        assert not path.exists()
        return
    write_labels(path, labels)
    read = read_labels(path).image
    if len(np.unique(labels[labels > 0])) == 1:  # may be split into pieces
        np.testing.assert_array_equal(read > 0, labels > 0)
    else:
        np.testing.assert_array_equal(read, labels)


@pytest.mark.parametrize(
    ("most", "dtype"),
    [(1, "u1"), (255, "u1"), (256, "u2"), (65_535, "u2"), (65_536, "i4"), (2**31 - 1, "i4")],
)
def test_the_fewest_bits_that_are_safe(tmp_path, most, dtype):
    path = write_labels(tmp_path / "a.tif", np.array([[0, 1], [1, most]]))
    assert tifffile.imread(path).dtype == dtype
    assert int(tifffile.imread(path).max()) == most


@pytest.fixture(scope="module")
def discs() -> np.ndarray:
    """A grid of 265 x 265 discs, more than 16 bits can count."""
    side, pitch = 265, 6
    y, x = np.mgrid[:pitch, :pitch]
    disc = (y - 2) ** 2 + (x - 2) ** 2 <= 4
    numbers = np.arange(1, side * side + 1).reshape(side, side)
    return np.kron(numbers, disc)


def test_70225_nuclei_are_as_many_in_other_programs(tmp_path, discs):
    path = write_labels(tmp_path / "discs.tif", discs)
    readers = {
        "tifffile": tifffile.imread(path),
        "Pillow": np.asarray(Image.open(path)),
        "OpenCV": cv2.imread(str(path), cv2.IMREAD_UNCHANGED),
    }
    for name, read in readers.items():
        assert len(np.unique(read)) - 1 == 70_225, name
        np.testing.assert_array_equal(read, discs, err_msg=name)
    np.testing.assert_array_equal(read_labels(path).image, discs)
    np.testing.assert_array_equal(
        read_labels(write_labels(tmp_path / "discs.npy", discs)).image, discs
    )
    with pytest.raises(FileError, match=r"discs\.png would need 70,225\. Choose.*\.tif"):
        write_labels(tmp_path / "discs.png", discs)


def test_300_nuclei_survive_as_png_in_other_programs(tmp_path, discs):
    labels = discs[: 6 * 4]
    path = write_labels(tmp_path / "a.png", labels)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), labels)
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), labels)


@pytest.mark.parametrize("most", [3, 300, 70_000])
def test_the_pixel_size_is_kept_the_way_imagej_reads_it(tmp_path, most):
    path = write_labels(tmp_path / "a.tif", np.array([[0, 1], [2, most]]), (0.25, 0.2))
    assert read_micrograph(path).pixel_size_um == pytest.approx((0.25, 0.2))
    with tifffile.TiffFile(path) as tif:
        assert tif.imagej_metadata["unit"] == "micron"
        assert tif.pages[0].resolution == (5, 4)
        assert tif.pages[0].compression.name == "ADOBE_DEFLATE"


def test_ignored_pixels_are_kept_where_the_format_can(tmp_path):
    labels = np.array([[-7, 0, 1], [2, 40_000, -1]])
    expected = np.maximum(labels, -1)
    for suffix in (".tif", ".npy"):
        np.testing.assert_array_equal(
            read_labels(write_labels(tmp_path / f"a{suffix}", labels)).image, expected
        )
    with pytest.raises(FileError, match=r"cannot hold ignored pixels.*\.tif"):
        write_labels(tmp_path / "a.png", labels)


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("highest", [200, 1 << 20, -1])
@pytest.mark.parametrize("size", [None, (0.5, 0.25)])
def test_a_stack_is_written_voxel_for_voxel(tmp_path, shape, highest, size):
    labels = np.zeros(shape, np.int32)
    labels[..., 2:4, 3:6] = np.arange(1, 7).reshape(2, 3)
    labels[-1, ..., 0, 0] = highest
    with tifffile.TiffFile(write_labels(tmp_path / "a.tif", labels, size)) as file:
        assert np.array_equal(file.asarray(), labels)
        assert file.series[0].axes == "TZYX"[-len(shape) :]
    assert np.array_equal(np.load(write_labels(tmp_path / "a.npy", labels)), labels)


def test_a_stack_needs_a_format_that_holds_one(tmp_path):
    with pytest.raises(ShapeError, match=r"a\.png, with 3 axes. Use one of \.tif"):
        write_labels(tmp_path / "a.png", np.ones((2, 3, 4), int))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.jpg", "a.bmp", "a", "a.xyz"])
def test_a_format_that_cannot_hold_labels_is_refused(tmp_path, name):
    with pytest.raises(FileError, match=r"Use one of .*\.tif"):
        write_labels(tmp_path / name, np.ones((2, 2), int))


@pytest.mark.parametrize(
    "labels", [np.zeros((2,) * 5, int), np.zeros((2, 2)), np.zeros((0, 4), int)]
)
def test_what_is_not_a_label_image_is_not_written(tmp_path, labels):
    with pytest.raises(ShapeError, match="a plane or a stack of whole numbers"):
        write_labels(tmp_path / "a.tif", labels)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_file_survives_a_failed_write(tmp_path, monkeypatch):
    path = write_labels(tmp_path / "a.tif", np.eye(4, dtype=int))
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(FileError, match="No space left"):
        write_labels(path, np.ones((4, 4), int))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "as_stored",
    [
        lambda mask: mask,
        lambda mask: mask.astype(np.uint8),
        lambda mask: mask * np.uint8(255),
        lambda mask: mask.astype(np.float32),
        lambda mask: np.dstack([mask * np.uint8(255)] * 3),
    ],
    ids=["bool", "0/1", "0/255", "float", "grey RGB"],
)
def test_a_black_and_white_mask_is_split_and_said(tmp_path, fluorescence, as_stored):
    mask = fluorescence[1] > 0
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    stored = as_stored(mask)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb" if stored.ndim == 3 else None)
    read = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.image, pieces)
    assert read.notices == (
        f"The file is a black-and-white mask: its {count} connected pieces became {count} nuclei.",
    )


@pytest.mark.parametrize("value", [1, 7, 255])
def test_one_nucleus_is_no_mask(tmp_path, fluorescence, value):
    labels = np.where(fluorescence[1] == 5, value, 0)
    read = read_labels(write_labels(tmp_path / "a.png", labels))
    np.testing.assert_array_equal(read.image, labels)
    assert read.notices == ()


def test_pieces_that_touch_at_a_corner_are_one(tmp_path):
    Image.fromarray(np.eye(9, dtype=bool)).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").image.max() == 1


def test_an_empty_label_image_is_empty(tmp_path):
    read = read_labels(write_labels(tmp_path / "a.png", np.zeros((5, 5), int)))
    assert not read.image.any()
    assert read.notices == ()


def test_each_colour_becomes_nuclei_and_that_is_said(tmp_path, fluorescence):
    labels = fluorescence[1]
    table = np.random.default_rng(3).integers(1, 256, (labels.max() + 1, 3)).astype(np.uint8)
    table[0] = 0
    table[2] = table[1]  # two nuclei of one colour that do not touch
    Image.fromarray(table[labels]).save(tmp_path / "a.png")
    read = read_labels(tmp_path / "a.png")
    assert read.notices == (
        "The file is coloured: the connected pieces of its 21 colours became 22 nuclei.",
    )
    pairs = np.unique(np.stack([labels.ravel(), read.image.ravel()]), axis=1)
    assert pairs.shape[1] == 23  # each nucleus is one number, and each number one nucleus


def test_gaps_and_negative_numbers(tmp_path):
    labels = np.array([[0, 3, 3], [90, -1, -5]], np.int16)
    tifffile.imwrite(tmp_path / "a.tif", labels)
    assert read_labels(tmp_path / "a.tif").image.tolist() == [[0, 3, 3], [90, -1, -1]]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([[0, 0.5]], np.float32), "must be whole.*0.5"),
        (np.array([[0, np.nan]], np.float32), "must be whole.*nan"),
        (np.array([[0, 2**31]], np.uint32), "2,147,483,648"),
        (np.array([[0, np.inf]], np.float32), "too large"),
    ],
)
def test_numbers_that_cannot_be_labels(tmp_path, labels, words):
    tifffile.imwrite(tmp_path / "a.tif", labels)
    with pytest.raises(FileError, match=words):
        read_labels(tmp_path / "a.tif")


def test_channels_are_no_label_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 9, 9), np.uint16), photometric="minisblack")
    with pytest.raises(ShapeError, match="one plane"):
        read_labels(tmp_path / "a.tif")


def test_a_micrograph_given_as_labels_is_doubted(tmp_path, fluorescence):
    Image.fromarray(fluorescence[0].pixels).save(tmp_path / "a.png")
    assert "may be a micrograph" in read_labels(tmp_path / "a.png").notices[0]


def test_a_folder_of_masks_one_file_per_nucleus(tmp_path, fluorescence):
    labels = fluorescence[1]
    for number in range(1, labels.max() + 1):
        mask = (labels == number) * np.uint8(255)
        Image.fromarray(mask).save(tmp_path / f"{number:03}.png")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    read = read_labels(tmp_path)
    np.testing.assert_array_equal(read.image, labels)
    assert read.notices == ("The folder's 22 mask files became 22 nuclei.",)


def test_a_folder_of_masks_that_overlap_or_are_empty(tmp_path):
    for number, rows in enumerate([(0, 3), (2, 5), (0, 0)]):
        mask = np.zeros((6, 4), np.uint8)
        mask[rows[0] : rows[1]] = 255
        Image.fromarray(mask).save(tmp_path / f"{number}.png")
    read = read_labels(tmp_path)
    assert read.image[:, 0].tolist() == [1, 1, 1, 2, 2, 0]
    assert read.notices[1:] == (
        "4 pixels in two masks stayed with the first.",
        "1 empty mask files were left out.",
    )


def test_folders_that_are_not_masks(tmp_path):
    with pytest.raises(FileError, match="holds no mask files"):
        read_labels(tmp_path)
    Image.fromarray(np.array([[0, 1, 2]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(FileError, match="several numbers"):
        read_labels(tmp_path)
    Image.fromarray(np.ones((2, 2), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.ones((2, 3), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(ShapeError, match=r"b\.png is 2×3, a\.png is 2×2"):
        read_labels(tmp_path)
    (tmp_path / "b.png").write_bytes(b"broken")
    with pytest.raises(NucleisegError, match=r"b\.png"):
        read_labels(tmp_path)
