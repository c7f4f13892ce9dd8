"""Where networks run, and why there."""

from __future__ import annotations

from .errors import SettingError


def choose_device(wanted: str) -> tuple[str, str]:
    """Turn ``auto`` into a device that is there.

    Parameters
    ----------
    wanted : {"auto", "cpu", "cuda", "mps"}

    Returns
    -------
    (str, str)
        Name for torch, and the reason in words.

    Raises
    ------
    SettingError
        If the device asked for is not there.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    has_mps = torch.backends.mps.is_available()
    if wanted == "auto":
        if has_cuda:
            return "cuda", f"found {torch.cuda.get_device_name()}"
        if has_mps:
            return "mps", "found an Apple GPU"
        return "cpu", "no GPU found"
    if wanted == "cuda" and not has_cuda:
        raise SettingError("No CUDA GPU was found", "device cuda", "Choose auto or cpu")
    if wanted == "mps" and not has_mps:
        raise SettingError("No Apple GPU was found", "device mps", "Choose auto or cpu")
    return wanted, "as asked for"


def has_fast_bfloat16(kind: str) -> bool:
    """Whether 16-bit brain floats are computed in hardware on this kind of device."""
    import torch

    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    # the operator is missing from builds for Apple Silicon
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return asked is not None and bool(asked())
