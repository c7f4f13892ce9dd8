"""Files of microscope makers, each where its extra is installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from napari_nucleiseg.errors import DependencyError, FileError
from napari_nucleiseg.io import open_micrograph, read_labels, read_micrograph, series_names

HEADS = {
    "czi": b"ZISRAWFILE",
    "lif": b"p\0\0\0",
    "nd2": b"\xda\xce\xbe\n",
}


READERS = [read_micrograph, read_labels, open_micrograph, series_names]


@pytest.fixture
def broken(tmp_path, kind):
    """A file of which there is the beginning alone, under a name that says nothing."""
    path = tmp_path / "any name"
    path.write_bytes(HEADS[kind] + bytes(90))
    return path


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("read", READERS)
def test_a_missing_package_is_said_with_the_command_that_installs_it(
    broken, kind, read, monkeypatch
):
    monkeypatch.setitem(sys.modules, f"bioio_{kind}", None)
    with pytest.raises(DependencyError) as caught:
        read(broken)
    assert str(caught.value).endswith(
        f'bioio-{kind}. Install it: pip install "napari-nucleiseg[{kind}]".'
    )
    assert "any name" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", READERS)
def test_zarr_is_missed_in_the_same_words(tmp_path, read, monkeypatch):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(DependencyError, match=r'pip install "napari-nucleiseg\[zarr\]"') as caught:
        read(tmp_path / "a.zarr")
    assert "a.zarr" in str(caught.value)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("read", READERS)
def test_a_broken_file_is_named_in_one_line(broken, kind, read):
    pytest.importorskip(f"bioio_{kind}")
    with pytest.raises(FileError, match="damaged or incomplete") as caught:
        read(broken)
    assert "any name" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_czi_with_axes_names_and_sizes(tmp_path):
    pytest.importorskip("bioio_czi")
    czi = pytest.importorskip("pylibCZIrw.czi")
    pixels = np.random.default_rng(0).integers(0, 60_000, (2, 3, 70, 90)).astype(np.uint16)
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for c, z in np.ndindex(2, 3):
            file.write(data=pixels[c, z][..., None], plane={"C": c, "Z": z, "T": 0})
        file.write_metadata(
            "a", channel_names={0: "actin", 1: "DAPI"}, scale_x=2e-7, scale_y=2e-7, scale_z=1e-6
        )
    opened = open_micrograph(path)
    assert opened.axes == "CZYX"
    assert opened.is_lazy
    assert opened.channel_names == ("actin", "DAPI")
    assert opened.pixel_size_um == pytest.approx((0.2, 0.2))
    assert opened.z_step_um == pytest.approx(1.0)
    np.testing.assert_array_equal(opened.loaded().pixels, pixels)
    np.testing.assert_array_equal(read_micrograph(path, z=2).pixels, pixels[:, 1])
