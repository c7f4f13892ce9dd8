"""One session for each viewer."""

from __future__ import annotations

import importlib.util

from napari_nucleiseg.events import Notice
from napari_nucleiseg.gui import bridge
from napari_nucleiseg.gui.bridge import bridge_of, session_of


def test_one_session_for_a_viewer_and_its_proxies(viewer, make_napari_viewer):
    assert session_of(viewer) is session_of(viewer.__wrapped__)
    assert bridge_of(viewer).viewer is viewer.__wrapped__
    assert session_of(make_napari_viewer()) is not session_of(viewer)


def test_work_runs_where_there_is_no_pandas(monkeypatch):
    class Here:
        def run(self, function, *args):
            return function(*args)

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "pandas" else find(name, *a)
    )
    imported = []
    monkeypatch.setattr(bridge.importlib, "import_module", imported.append)
    assert list(bridge.run_in_child(Here(), lambda: iter([Notice("done")]))) == [Notice("done")]
    assert imported == []
