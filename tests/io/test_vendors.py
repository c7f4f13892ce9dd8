"""Files of microscope makers, each where its extra is installed."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from napari_nucleiseg.errors import DependencyError, FileError
from napari_nucleiseg.io import open_micrograph, read_labels, read_micrograph, series_names

HEADS = {
    "czi": b"ZISRAWFILE",
    "lif": b"p\0\0\0",
    "nd2": b"\xda\xce\xbe\n",
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("read", [read_micrograph, read_labels, open_micrograph, series_names])
def test_a_broken_file_or_a_missing_package_is_said_in_one_line(tmp_path, kind, read):
    path = tmp_path / "any name"
    path.write_bytes(HEADS[kind] + bytes(90))
    if find_spec(f"bioio_{kind}") is None:
        wanted = rf'bioio-{kind}\. Install it: pip install "napari-nucleiseg\[{kind}\]"'
        with pytest.raises(DependencyError, match=wanted) as caught:
            read(path)
    else:
        with pytest.raises(FileError, match="damaged or incomplete") as caught:
            read(path)
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
