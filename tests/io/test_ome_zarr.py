"""OME-Zarr as written by zarr itself: versions, levels, labels, series, plates, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg.errors import FileError, NucleisegError, SettingError, ShapeError
from napari_nucleiseg.io import (
    open_labels,
    open_micrograph,
    read_labels,
    read_micrograph,
    series_names,
)

zarr = pytest.importorskip("zarr", minversion="3")

UNITS = {"z": "micrometer", "y": "micrometer", "x": "nanometer"}


def write(group, pixels, axes: str, version: str = "0.5", levels: int = 1, omero=None, **options):
    """Write a picture into a group, with every second pixel in each further level."""
    scale = {"t": 1.0, "c": 1.0, "z": 2.0, "y": 0.25, "x": 250.0}
    datasets = []
    for n in range(levels):
        steps = tuple(slice(None, None, 2**n if a in "yx" else 1) for a in axes)
        chunks = tuple(16 if a in "yx" else 1 for a in axes)
        group.create_array(str(n), data=np.ascontiguousarray(pixels[steps]), chunks=chunks)
        factors = [scale[a] * (2**n if a in "yx" else 1) for a in axes]
        datasets.append(
            {
                "path": str(n),
                "coordinateTransformations": [{"type": "scale", "scale": factors}],
            }
        )
    described = {
        "multiscales": [
            {
                "version": version,
                "axes": [
                    {"name": a, "type": "space", **({"unit": UNITS[a]} if a in UNITS else {})}
                    for a in axes
                ],
                "datasets": datasets,
            }
        ],
        **({"omero": {"channels": [{"label": name} for name in omero]}} if omero else {}),
        **options,
    }
    describe(group, described, version)


def describe(group, described, version: str = "0.5"):
    group.attrs.update(
        {"ome": {"version": version, **described}} if version == "0.5" else described
    )


def create(path: Path, version: str = "0.5"):
    return zarr.open_group(str(path), mode="w", zarr_format=3 if version == "0.5" else 2)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 200, shape).astype(np.uint16)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_both_versions_open_with_axes_sizes_names_and_levels(tmp_path, version):
    pixels = numbers(2, 3, 4, 40, 50)
    path = tmp_path / "a.ome.zarr"
    write(create(path, version), pixels, "tczyx", version, levels=3, omero=["a", "DAPI", "c"])
    opened = open_micrograph(path)
    assert (opened.name, opened.axes) == ("a", "TCZYX")
    assert opened.channel_names == ("a", "DAPI", "c")
    assert opened.pixel_size_um == (0.25, 0.25)
    assert opened.z_step_um == 2.0
    assert not opened.notices
    np.testing.assert_array_equal(opened.loaded().pixels, pixels)
    assert [level.shape for level in opened.levels] == [(2, 3, 4, 20, 25), (2, 3, 4, 10, 13)]
    plane = read_micrograph(path, z=2, t=1)
    np.testing.assert_array_equal(plane.pixels, pixels[0, :, 1])
    with pytest.raises(ShapeError, match=r"a\.ome\.zarr has 2 time points, 3 channels, 4 focal"):
        read_micrograph(path)


def test_labels_inside_are_read_and_aligned(tmp_path):
    pixels, labels = numbers(40, 50), np.zeros((40, 50), np.int32)
    labels[3:9, 4:9], labels[20:30, 20:30] = 4, 9
    path = tmp_path / "a.zarr"
    group = create(path)
    write(group, pixels, "yx")
    inside = group.create_group("labels")
    describe(inside, {"labels": ["nuclei"]})
    write(inside.create_group("nuclei"), labels, "yx", **{"image-label": {}})
    ((name, found),) = open_labels(path)
    assert (name, found.axes, found.pixel_size_um) == ("nuclei", "YX", (0.25, 0.25))
    np.testing.assert_array_equal(found.loaded().pixels, labels)
    np.testing.assert_array_equal(read_labels(path).image, labels)


def test_a_series_is_chosen_by_name_or_number(tmp_path):
    path = tmp_path / "a.zarr"
    group = create(path, "0.4")
    group.attrs["bioformats2raw.layout"] = 3
    pictures = numbers(2, 20, 30)
    for n, pixels in enumerate(pictures):
        write(group.create_group(str(n)), pixels, "yx", "0.4")
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"/><Image ID="Image:1"/></OME>'
    )
    (path / "OME").mkdir()
    (path / "OME" / "METADATA.ome.xml").write_text(xml)
    assert series_names(path) == ("0", "1")
    np.testing.assert_array_equal(read_micrograph(path, series="1").pixels, pictures[1])
    np.testing.assert_array_equal(read_micrograph(path, series=2).pixels, pictures[1])
    first = read_micrograph(path)
    np.testing.assert_array_equal(first.pixels, pictures[0])
    assert "holds 2 pictures" in first.notices[0]
    with pytest.raises(SettingError, match="no picture 7"):
        read_micrograph(path, series=7)


def plate(path: Path) -> dict[str, np.ndarray]:
    group = create(path)
    describe(group, {"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}})
    fields = {}
    for well in ("A/1", "B/2"):
        inner = group.create_group(well)
        describe(inner, {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
        for field in ("0", "1"):
            fields[f"{well}/{field}"] = numbers(20, 30 + len(fields))
            write(inner.create_group(field), fields[f"{well}/{field}"], "yx")
    return fields


def test_fields_of_a_plate_are_its_pictures(tmp_path):
    fields = plate(tmp_path / "p.zarr")
    assert series_names(tmp_path / "p.zarr") == tuple(fields)
    for name, pixels in fields.items():
        found = read_micrograph(tmp_path / "p.zarr", series=name)
        np.testing.assert_array_equal(found.pixels, pixels)


def test_a_well_that_is_missing_is_damage(tmp_path):
    import shutil

    plate(tmp_path / "p.zarr")
    shutil.rmtree(tmp_path / "p.zarr" / "B")
    with pytest.raises(FileError, match=r"p\.zarr \(B/2 is listed and missing\)"):
        series_names(tmp_path / "p.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("how", ["cut", "empty", "noise"])
def test_a_damaged_chunk_is_told_and_not_taken_as_zeros(tmp_path, version, how):
    path = tmp_path / "a.zarr"
    write(create(path, version), numbers(40, 50), "yx", version)
    chunk = path / "0" / ("c/1/1" if version == "0.5" else "1.1")
    content = chunk.read_bytes()
    chunk.write_bytes({"cut": content[:20], "empty": b"", "noise": b"\xff" * 90}[how])
    with pytest.raises(FileError, match=r"damaged or incomplete: a\.zarr"):
        read_micrograph(path)


def test_a_chunk_that_is_gone_is_said(tmp_path):
    path = tmp_path / "a.zarr"
    write(create(path), numbers(40, 50), "yx")
    (path / "0" / "c" / "1" / "1").unlink()
    read = read_micrograph(path)
    assert "1 of 12 chunks of a.zarr/0 are missing" in read.notices[0]


BROKEN = {
    "no levels": lambda path: describe(
        create(path), {"multiscales": [{"axes": [], "datasets": []}]}
    ),
    "no picture": lambda path: create(path).create_group("else"),
    "level gone": lambda path: describe(
        create(path),
        {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}]},
    ),
    "no metadata": lambda path: path.mkdir(),
    "broken metadata": lambda path: (path.mkdir(), (path / "zarr.json").write_text("{")),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_what_is_no_picture_is_named_in_one_line(tmp_path, make):
    path = tmp_path / "a.zarr"
    make(path)
    with pytest.raises(NucleisegError, match=r"a\.zarr") as caught:
        read_micrograph(path)
    assert "\n" not in str(caught.value)
