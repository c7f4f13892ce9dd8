from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
import torch

from napari_nucleiseg import engine
from napari_nucleiseg.config import SegmentConfig
from napari_nucleiseg.engine import build_engine
from napari_nucleiseg.errors import DependencyError, ModelError, SettingError
from napari_nucleiseg.store import BUNDLED, find_model


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(engine, "_ready", {})


@pytest.fixture
def tiles():
    return np.random.default_rng(0).random((1, 3, 96, 64), np.float32)


def run(wanted):
    return build_engine(find_model("nuclei"), SegmentConfig(device="cpu", engine=wanted))


@pytest.mark.slow
def test_openvino_equals_torch_and_is_kept_for_the_next_time(tiles, tmp_path, monkeypatch):
    first = run("openvino")
    expected = run("torch").predict(tiles)
    np.testing.assert_allclose(first.predict(tiles), expected, atol=1e-3)
    assert list((tmp_path / "cache").rglob("network.xml"))

    monkeypatch.setattr(engine, "_ready", {})
    monkeypatch.setattr(engine, "load_network", lambda _: pytest.fail("was converted again"))
    np.testing.assert_array_equal(run("openvino").predict(tiles), first.predict(tiles))


@pytest.mark.slow
def test_only_the_quick_way_may_round_and_both_are_kept(fluorescence):
    pixels = fluorescence[0].pixels[:96, :96].astype(np.float32) / 255
    picture = np.ascontiguousarray(np.broadcast_to(pixels, (1, 3, 96, 96)))
    model, config = find_model("nuclei"), SegmentConfig(device="cpu", engine="openvino")
    exact = build_engine(model, config)
    quick = build_engine(model, config, is_quick=True)
    np.testing.assert_allclose(quick.predict(picture), exact.predict(picture), atol=0.1)
    assert build_engine(model, config) is exact
    assert build_engine(model, config, is_quick=True) is quick


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["network.xml", "network.bin", "all"])
def test_a_damaged_copy_is_made_again(tiles, tmp_path, monkeypatch, damage):
    expected = run("openvino").predict(tiles)
    (folder,) = (tmp_path / "cache").iterdir()
    for path in folder.iterdir():
        if damage == "all":
            path.unlink()
        elif path.name == damage:
            path.write_bytes(path.read_bytes()[:100])
    monkeypatch.setattr(engine, "_ready", {})
    np.testing.assert_array_equal(run("openvino").predict(tiles), expected)
    assert (folder / "network.bin").stat().st_size > 1_000_000


def test_openvino_on_a_gpu_is_refused_in_words():
    with pytest.raises(SettingError, match="engine openvino, device cuda"):
        build_engine(find_model("nuclei"), SegmentConfig(device="cuda", engine="openvino"))


def test_damaged_weights_are_noticed_although_a_copy_is_kept(tmp_path, monkeypatch):
    for suffix in (".safetensors", ".yaml"):
        shutil.copy(BUNDLED / f"nuclei{suffix}", tmp_path / f"mine{suffix}")
    config = SegmentConfig(device="cpu")
    monkeypatch.setattr(engine, "_openvino", lambda *_: lambda tiles: tiles)
    build_engine(find_model(tmp_path / "mine.safetensors"), config)
    (tmp_path / "mine.safetensors").write_bytes(b"stub")
    monkeypatch.setattr(engine, "_ready", {})
    with pytest.raises(ModelError, match="damaged"):
        build_engine(find_model(tmp_path / "mine.safetensors"), config)


@pytest.mark.slow
def test_where_the_cache_cannot_be_written_it_works_all_the_same(tiles, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    assert run("openvino").predict(tiles).shape == (1, 2, 96, 64)


def test_a_failing_openvino_falls_back_to_torch_with_a_notice(tiles, monkeypatch):
    def broken(*_):
        raise RuntimeError("this CPU is too old")

    monkeypatch.setattr(engine, "_openvino", broken)
    fallen = run("auto")
    assert fallen.name.startswith("PyTorch")
    assert "this CPU is too old" in fallen.notices[0]
    assert fallen.predict(tiles).shape == (1, 2, 96, 64)


@pytest.mark.slow
def test_a_copy_that_differs_from_torch_is_not_used(tiles, monkeypatch):
    monkeypatch.setattr(engine, "TOLERANCE", -1.0)
    fallen = run("auto")
    assert fallen.name.startswith("PyTorch")
    assert "differ" in fallen.notices[0]


def test_a_missing_openvino_is_named_with_its_install_command(monkeypatch):
    monkeypatch.setattr(engine, "has_openvino", lambda: False)
    assert run("auto").name.startswith("PyTorch")
    with pytest.raises(DependencyError, match=r'pip install "napari-nucleiseg\[openvino\]"'):
        run("openvino")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_a_missing_gpu_is_said_and_auto_says_why_the_cpu():
    with pytest.raises(SettingError, match="No CUDA GPU"):
        build_engine(find_model("nuclei"), SegmentConfig(device="cuda"))
    chosen = build_engine(find_model("nuclei"), SegmentConfig(engine="torch"))
    assert (chosen.device, chosen.reason) == ("cpu", "no GPU found")


def test_is_built_once_for_a_model_and_its_settings():
    assert run("torch") is run("torch")


@pytest.mark.slow
def test_serves_several_threads_at_once(tiles):
    built, results = run("openvino"), []
    threads = [
        threading.Thread(target=lambda: results.append(built.predict(tiles))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU was found")
def test_gpu_equals_cpu(tiles):
    on_gpu = build_engine(find_model("nuclei"), SegmentConfig(device="cuda"))
    assert on_gpu.device == "cuda"
    np.testing.assert_allclose(on_gpu.predict(tiles), run("torch").predict(tiles), atol=1e-2)
