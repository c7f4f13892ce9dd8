"""``nucleiseg demo``."""

from __future__ import annotations

import pytest
from running import finish, start

from napari_nucleiseg.io import read_labels


@pytest.mark.slow
def test_the_demo_works_without_a_home_or_a_network(tmp_path):
    # no socket can be opened, each attempt is told, and what would be cached goes to an empty home
    code = (
        "import socket, sys\n"
        "def refuse(*args, **options):\n"
        "    print('TRIED', file=sys.stderr)\n"
        "    raise OSError('no network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse"
    )
    folders = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    env = {name: str(tmp_path / name) for name in folders}
    text, err = finish(start("demo", "--out", tmp_path / "out", code=code, env=env))
    assert "TRIED" not in err
    assert not (tmp_path / "HOME" / "intel").exists()  # where OpenVINO's telemetry keeps its books
    labels = read_labels(tmp_path / "out" / "fluorescence_labels.tif").image
    assert f"{labels.max()} nuclei" in text
    for name in ("fluorescence_labels.tif", "fluorescence_overlay.png"):
        assert str(tmp_path / "out" / name) in text
        assert (tmp_path / "out" / name).is_file()
