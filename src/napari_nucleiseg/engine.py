"""What runs a network: PyTorch, or on the CPU a copy of it in OpenVINO, which is faster.

The OpenVINO copy is made once for each model and kept in the user's cache, so that later runs need
not load PyTorch at all.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from .config import SegmentConfig
from .detections import INSTANCES
from .device import choose_device
from .errors import DependencyError, ModelError, SettingError
from .store import ModelCard, check_hash, load_network
from .tiling import Predict

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Engine:
    """A network ready to run.

    Attributes
    ----------
    predict : callable
        (B, 3, h, w) float32 to (B, K, h, w) float32 maps. Of a network that finds instances: the
        same and the least score, to a list of `Detection` for each tile.
    device : str
        ``cpu``, ``cuda`` or ``mps``.
    name : str
        What runs it, with its version.
    reason : str
        Why here.
    notices : tuple of str
        What the user should know, one sentence each.
    """

    predict: Callable[..., Any]
    device: str
    name: str
    reason: str
    notices: tuple[str, ...] = ()


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def may_have_gpu() -> bool:
    """Whether PyTorch might find a GPU here, told without loading PyTorch."""
    if find_spec("torch") is None:
        return False
    if sys.platform == "darwin":
        return True
    return any(Path(p).exists() for p in ("/dev/nvidia0", "/dev/kfd", "/dev/dxg")) or (
        sys.platform == "win32" and shutil.which("nvidia-smi") is not None
    )


def build_engine(model: ModelCard, config: SegmentConfig, is_quick: bool = False) -> Engine:
    """Get a model ready to run, or take the one got ready before; see `_build`.

    Parameters
    ----------
    model : ModelCard
    config : SegmentConfig
        ``device`` and ``engine`` count.
    is_quick : bool
        Whether OpenVINO may round to 16 bits on CPUs that are made for it. That is several times
        faster, and outlines may differ by single pixels from those of other computers.
    """
    if not model.path.is_file():
        raise ModelError("The model file is gone", str(model.path), "Put it back")
    changed = model.path.stat().st_mtime_ns
    key = (model.path, model.sha256, changed, config.device, config.engine, is_quick)
    with _lock:
        if key not in _ready:
            engine = _build(model, config, is_quick)
            while len(_ready) >= 2:
                _ready.pop(next(iter(_ready)))
            _ready[key] = engine
        return _ready[key]


def limit_threads(count: int) -> None:
    """Let networks that are got ready from now on take so many CPU threads in this process."""
    _threads.clear()
    _threads.append(count)


_threads: list[int] = []
_ready: dict[tuple[object, ...], Engine] = {}
_lock = threading.Lock()


def _build(model: ModelCard, config: SegmentConfig, is_quick: bool) -> Engine:
    """Choose where and by what a model runs, and get it ready; see `build_engine`.

    Raises
    ------
    DependencyError
        If OpenVINO is asked for and not installed.
    SettingError
        If the device asked for is not there.
    """
    check_hash(model)
    if config.engine == "openvino" and not has_openvino():
        raise DependencyError(
            "OpenVINO is not installed", "", 'Install it: pip install "napari-nucleiseg[openvino]"'
        )
    if config.engine == "openvino" and config.device not in ("auto", "cpu"):
        raise SettingError(
            "OpenVINO runs networks on the CPU here",
            f"engine openvino, device {config.device}",
            "Choose the device cpu, or the engine auto or torch",
        )
    if config.engine == "openvino" and model.finds_instances:
        raise SettingError(
            "OpenVINO runs networks that give maps, and this one gives detections",
            f"engine openvino, model {model.name}",
            "Choose the engine auto or torch",
        )
    wants_cpu = config.device == "cpu" or (config.device == "auto" and not may_have_gpu())
    if wants_cpu or config.engine == "openvino":
        device = "cpu"
        if config.device == "cpu":
            reason = "as asked for"
        else:
            reason = "no GPU found" if wants_cpu else "OpenVINO was asked for"
    else:
        device, reason = choose_device(config.device)
    notices: tuple[str, ...] = ()
    may_convert = config.engine != "torch" and not model.finds_instances
    if device == "cpu" and may_convert and has_openvino():
        try:
            predict = _openvino(model, is_quick)
            return Engine(predict, "cpu", f"OpenVINO {_version('openvino')}", reason)
        except ModelError:
            raise
        except Exception as error:
            if config.engine == "openvino":
                raise ModelError(
                    "OpenVINO cannot run the model",
                    f"{model.name} ({type(error).__name__}: {error})",
                    "Choose the engine torch",
                ) from error
            notices = (
                f"OpenVINO could not run {model.name} ({error}); PyTorch is used, which is slower",
            )
    return Engine(_torch(model, device), device, f"PyTorch {_version('torch')}", reason, notices)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _torch(model: ModelCard, device: str) -> Callable[..., Any]:
    import torch

    if _threads:
        torch.set_num_threads(_threads[0])
    network = load_network(model).to(device)
    return run_network(network.to(memory_format=torch.channels_last), device)


def run_network(network: Any, device: str) -> Callable[..., Any]:
    """Let a PyTorch network on a device run on arrays; see `Engine.predict`."""
    import torch

    finds_instances = tuple(network.map_names) == INSTANCES

    def predict(tiles: np.ndarray, *least_score: float) -> Any:
        images = torch.from_numpy(tiles).to(device).to(memory_format=torch.channels_last)
        found = network.predict(images, *least_score)
        return found if finds_instances else found.float().cpu().numpy()

    return predict


def cache_folder() -> Path:
    """Where OpenVINO copies of models are kept."""
    return platformdirs.user_cache_path("napari-nucleiseg") / "openvino"


def _import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which tells Google Analytics of every import.

    Nothing leaves this computer. OpenVINO itself does without where the package is not installed.
    """
    hidden = "openvino_telemetry"
    already = "openvino" in sys.modules or hidden in sys.modules
    if not already:
        sys.modules[hidden] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        if not already:
            del sys.modules[hidden]


def _openvino(model: ModelCard, is_quick: bool) -> Predict:
    """Run the OpenVINO copy of a model, made now if there is none yet."""
    openvino = _import_openvino()
    # hashed: the texts come from a card and must not lead out of the cache
    key = hashlib.sha256(f"{model.sha256} {_version('openvino')}".encode()).hexdigest()[:32]
    kept = cache_folder() / key / "network.xml"
    core = openvino.Core()
    # some CPUs would round to bfloat16 by themselves, and then differ from other computers
    rounds = is_quick and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if rounds else "f32"}
    if _threads:
        settings["INFERENCE_NUM_THREADS"] = _threads[0]
    compiled: Any = None
    if kept.parent.exists():
        try:
            compiled = core.compile_model(str(kept), "CPU", settings)
        except RuntimeError:
            # a damaged copy is made again
            shutil.rmtree(kept.parent, ignore_errors=True)
    if compiled is None:
        compiled = core.compile_model(_convert(model, kept), "CPU", settings)

    # one request serves one thread at a time
    requests = threading.local()

    def predict(tiles: np.ndarray) -> np.ndarray:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        maps: np.ndarray = next(iter(requests.own.infer(tiles).values()))
        return maps

    return predict


def _convert(model: ModelCard, kept: Path) -> Any:
    """Make the OpenVINO copy, compare it with PyTorch, and keep it where that is possible."""
    import torch

    openvino = _import_openvino()
    network: Any = load_network(model)
    side = model.fixed_tile or max(64, 2 * model.multiple)
    example = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), warnings.catch_warnings():
        # OpenVINO still traces with torch.jit, of which torch warns
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        # what a network asks of its input's shape while it is traced is not asked again later
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        converted = openvino.convert_model(network, example_input=example)
        expected = network(example).numpy()
    compiled = openvino.Core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    difference = float(np.abs(compiled(example.numpy())[0] - expected).max())
    if not difference <= TOLERANCE:
        raise ArithmeticError(f"its maps differ from PyTorch's by {difference:.2g}")
    try:
        kept.parent.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent.parent) as folder:
            fresh = Path(folder, "fresh")
            fresh.mkdir()
            openvino.save_model(converted, fresh / kept.name, compress_to_fp16=False)
            if not kept.parent.exists():
                os.replace(fresh, kept.parent)
        return str(kept)
    except OSError:
        # a read-only home only costs the time of converting again
        return converted
