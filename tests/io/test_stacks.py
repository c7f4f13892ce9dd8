"""Stacks, several pictures in a file, pyramids and files larger than the memory, in TIFF."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tifffile

from napari_nucleiseg.errors import FileError, SettingError, ShapeError
from napari_nucleiseg.io import (
    _lazy,
    in_order,
    name_of_stack,
    open_micrograph,
    open_stack,
    read_micrograph,
    series_names,
)
from napari_nucleiseg.micrograph import Micrograph


@pytest.fixture
def lazy(monkeypatch):
    """Everything but the smallest stays in its file."""
    from napari_nucleiseg.io import _tiff_stack

    pytest.importorskip("zarr")
    monkeypatch.setattr(_tiff_stack, "LAZY_BYTES", 1000)


def numbers(*shape: int, dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


KINDS = {
    "ImageJ hyperstack": (
        (2, 3, 4, 30, 40),
        "TZCYX",
        {"imagej": True, "metadata": {"axes": "TZCYX", "unit": "um", "spacing": 2.0}},
    ),
    "OME": ((2, 3, 4, 30, 40), "TZCYX", {"ome": True, "metadata": {"axes": "TZCYX"}}),
    "OME, big and tiled": (
        (2, 3, 4, 40, 50),
        "TCZYX",
        {"ome": True, "bigtiff": True, "tile": (16, 16), "metadata": {"axes": "TCZYX"}},
    ),
    "OME, compressed": (
        (5, 30, 40),
        "TYX",
        {"ome": True, "compression": "zlib", "metadata": {"axes": "TYX"}},
    ),
    "unnamed": ((9, 30, 40), "ZYX", {"photometric": "minisblack"}),
}


@pytest.mark.parametrize(("shape", "axes", "options"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("where", ["in memory", "in its file"])
def test_stacks_open_with_all_their_axes(tmp_path, request, shape, axes, options, where):
    if where == "in its file":
        request.getfixturevalue("lazy")
    pixels = numbers(*shape)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    opened = open_micrograph(tmp_path / "a.tif")
    wanted = "".join(a for a in "TCZYX" if a in axes)
    expected = np.transpose(pixels, [axes.index(a) for a in wanted])
    assert opened.axes == wanted
    assert opened.is_lazy == (where == "in its file")
    np.testing.assert_array_equal(opened.loaded().pixels, expected)
    if "imagej" in options:
        assert opened.z_step_um == 2.0


def test_planes_are_chosen_by_number_or_taken_together(tmp_path):
    pixels = numbers(2, 5, 3, 30, 40)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "TZCYX"}, ome=True)
    for z, expected in (
        (2, pixels[0, 1]),
        ("middle", pixels[0, 2]),
        ("max", pixels[0].max(axis=0)),
        ("mean", pixels[0].mean(axis=0, dtype=np.float32)),
    ):
        read = read_micrograph(tmp_path / "a.ome.tif", z=z, t=1)
        assert read.axes == "CYX"
        np.testing.assert_allclose(read.pixels, expected)
    with pytest.raises(SettingError, match=r"no focal plane 6.*1 to 5"):
        read_micrograph(tmp_path / "a.ome.tif", z=6, t=1)
    with pytest.raises(ShapeError, match=r"2 time points.*Choose by --t"):
        read_micrograph(tmp_path / "a.ome.tif", z=1)


def test_a_picture_is_chosen_by_name_or_number(tmp_path):
    first, second = numbers(30, 40), numbers(3, 20, 25)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(first, metadata={"axes": "YX", "Name": "overview"})
        file.write(
            second,
            metadata={"axes": "ZYX", "Name": "detail", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
        )
    path = tmp_path / "a.ome.tif"
    assert series_names(path) == ("overview", "detail")
    np.testing.assert_array_equal(read_micrograph(path).pixels, first)
    for which in ("detail", "Detail", 2, "2"):
        opened = open_micrograph(path, series=which)
        assert (opened.axes, opened.series, opened.pixel_size_um) == ("ZYX", "detail", (0.5, 0.5))
        np.testing.assert_array_equal(opened.loaded().pixels, second)
    with pytest.raises(SettingError, match=r"no picture third.*overview, detail"):
        open_micrograph(path, series="third")


@pytest.mark.usefixtures("lazy")
@pytest.mark.parametrize("shape", [(300, 400), (300, 400, 3)], ids=["grey", "colour"])
def test_a_pyramid_keeps_its_levels_and_the_finest_counts(tmp_path, shape):
    pixels = numbers(*shape, dtype=np.uint8)
    options = {"tile": (64, 64), "photometric": "rgb" if len(shape) == 3 else "minisblack"}
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=True) as file:
        file.write(pixels, subifds=2, **options)
        for step in (2, 4):
            file.write(pixels[::step, ::step], subfiletype=1, **options)
    opened = open_micrograph(tmp_path / "a.tif")
    assert opened.axes == ("YXS" if len(shape) == 3 else "YX")
    np.testing.assert_array_equal(opened.loaded().pixels, pixels)
    assert len(opened.levels) == 2
    for level, step in zip(opened.levels, (2, 4), strict=True):
        np.testing.assert_array_equal(np.asarray(level), pixels[::step, ::step])
    # one region of one level
    np.testing.assert_array_equal(
        np.asarray(opened.levels[0][10:20, 30:50]), pixels[::2, ::2][10:20, 30:50]
    )


def test_an_aperio_slide_opens_with_pixel_size_and_without_its_thumbnail(tmp_path, lazy):
    pixels = numbers(200, 300, 3, dtype=np.uint8)
    description = (
        "Aperio Image Library v1\n300x200 [0,0 300x200] (64x64) JPEG|AppMag = 20|MPP = 0.5"
    )
    options = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.svs") as file:
        file.write(pixels, tile=(64, 64), description=description, **options)
        file.write(pixels[::4, ::4], description="Aperio Image Library v1\nthumbnail", **options)
    opened = open_micrograph(tmp_path / "a.svs")
    assert opened.axes == "YXS"
    assert opened.pixel_size_um == (0.5, 0.5)
    np.testing.assert_array_equal(opened.loaded().pixels, pixels)


def test_fifty_gigabytes_open_and_one_region_is_read(tmp_path):
    """The file is sparse: it has this size, and holds nothing but one bright square."""
    shape = (160_000, 160_000)
    array = tifffile.memmap(tmp_path / "a.tif", shape=shape, dtype=np.uint16, bigtiff=True)
    array[70_000:70_010, 90_000:90_010] = 500
    array.flush()
    del array
    assert (tmp_path / "a.tif").stat().st_size > 50e9
    opened = open_micrograph(tmp_path / "a.tif")
    assert opened.is_lazy
    assert opened.shape == shape
    region = np.asarray(opened.pixels[69_990:70_020, 89_990:90_020])
    assert region.sum() == 500 * 100
    assert (region[10:20, 10:20] == 500).all()


@pytest.mark.usefixtures("lazy")
def test_large_pixels_can_be_sent_to_another_process(tmp_path):
    pixels = numbers(3, 80, 90)
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata={"axes": "ZYX"})
    copy: Micrograph = pickle.loads(pickle.dumps(open_micrograph(tmp_path / "a.tif")))
    np.testing.assert_array_equal(copy.loaded().pixels, pixels)


@pytest.mark.usefixtures("lazy")
def test_damage_inside_a_large_file_is_told_when_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers(1200, 700), tile=(256, 256), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        start, size = tif.pages[0].dataoffsets[-1], tif.pages[0].databytecounts[-1]
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
    opened = open_micrograph(path)
    assert np.asarray(opened.pixels[:64, :64]).any()
    with pytest.raises(FileError, match=r"damaged or incomplete: a\.tif"):
        opened.loaded()


@pytest.mark.parametrize("axis", ["Z", "T", "C"])
def test_several_files_are_one_stack(tmp_path, axis):
    pixels = numbers(3, 30, 40)
    paths = [tmp_path / f"plane{i}.tif" for i in range(3)]
    for path, plane in zip(paths, pixels, strict=True):
        tifffile.imwrite(path, plane)
    stack = open_stack(paths, axis)
    assert stack.axes == f"{axis}YX"
    assert stack.is_lazy
    assert stack.channel_names == (("plane0", "plane1", "plane2") if axis == "C" else ())
    np.testing.assert_array_equal(stack.loaded().pixels, pixels)


def test_files_of_a_stack_must_be_alike(tmp_path):
    for name, pixels in (
        ("a", numbers(30, 40)),
        ("b", numbers(30, 41)),
        ("c", numbers(30, 40, dtype=np.uint8)),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
    with pytest.raises(ShapeError, match=r"differ in size: b\.tif"):
        open_stack([tmp_path / "a.tif", tmp_path / "b.tif"])
    with pytest.raises(ShapeError, match=r"differ in depth: c\.tif"):
        open_stack([tmp_path / "a.tif", tmp_path / "c.tif"])
    with pytest.raises(FileError, match="needs files"):
        open_stack([])


def test_what_is_missing_is_said_with_the_command_that_installs_it(monkeypatch):
    from napari_nucleiseg.errors import DependencyError

    def gone(name):
        raise ImportError(name)

    monkeypatch.setattr(_lazy, "import_module", gone)
    with pytest.raises(DependencyError, match=r'pip install "napari-nucleiseg\[czi\]"'):
        _lazy.needed("bioio_czi", "A Zeiss CZI file (a.czi)", "czi")


def test_files_are_ordered_as_people_count(tmp_path):
    names = ["a10.tif", "a2.tif", "a1.tif"]
    assert [p.name for p in in_order(tmp_path / n for n in names)] == names[::-1]


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["img_001", "img_002"], "img"),
        (["t09", "t10"], "t"),
        (["1", "2"], "1"),
        (["a_0.5", "a_0.7"], "a_0"),
        (["only_3"], "only_3"),
    ],
)
def test_a_stack_is_called_what_its_files_share(names, name):
    assert name_of_stack(names) == name


def test_what_files_differ_in_is_assumed_and_can_be_said(tmp_path):
    planes = numbers(3, 2, 30, 40)
    for n, pixels in enumerate(planes):
        tifffile.imwrite(tmp_path / f"a{n}.tif", pixels, imagej=True, metadata={"axes": "CYX"})
    stack = open_stack(in_order(tmp_path.iterdir()), None)
    assert (stack.axes, stack.unnamed, stack.name) == ("CZYX", "Z", "a")
    assert "3 files differ; they were taken as focal planes" in stack.notices[-1]
    movie = stack.with_axes("tcyx")
    assert (movie.axes, movie.unnamed, movie.notices) == ("TCYX", "", ())
    np.testing.assert_array_equal(movie.loaded().pixels, planes)


def test_an_axis_that_no_file_names_can_be_named(tmp_path):
    pixels = numbers(9, 30, 40)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    tifffile.imwrite(tmp_path / "c.tif", pixels[:3], photometric="minisblack")
    tifffile.imwrite(tmp_path / "z.tif", pixels, imagej=True, metadata={"axes": "ZYX"})
    planes = open_micrograph(tmp_path / "a.tif")
    assert (planes.axes, planes.unnamed) == ("ZYX", "Z")
    channels = open_micrograph(tmp_path / "c.tif")
    assert (channels.axes, channels.unnamed) == ("CYX", "C")
    movie = channels.with_axes("TYX")
    assert (movie.axes, movie.notices) == ("TYX", ())
    np.testing.assert_array_equal(movie.pixels, pixels[:3])
    assert planes.with_axes("ZYX").notices == ()
    named = open_micrograph(tmp_path / "z.tif")
    assert named.with_axes("ZYX").axes == "ZYX"
    for micrograph, wrong in ((named, "TYX"), (planes, "TZYX"), (planes, "YX")):
        with pytest.raises(SettingError, match=f"not {wrong}.*--axes"):
            micrograph.with_axes(wrong)


def test_a_pixel_size_is_taken_where_the_file_states_none():
    none = Micrograph(numbers(30, 40), "YX")
    assert none.with_pixel_size(0.3).pixel_size_um == (0.3, 0.3)
    stated = none.with_pixel_size(0.3)
    assert stated.with_pixel_size(0.3).notices == ()
    other = stated.with_pixel_size(0.5)
    assert other.pixel_size_um == (0.3, 0.3)
    assert "states a pixel of 0.3 µm, which counts" in other.notices[0]
