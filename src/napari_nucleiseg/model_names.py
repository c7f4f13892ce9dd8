"""What a fine-tuned model is called after the one it comes from."""

from __future__ import annotations

import re

NOT_BETTER = "-not-better"


def next_name(name: str) -> str:
    """Name after a parent's: nuclei, nuclei-tuned, nuclei-tuned-2."""
    name = name.removesuffix(NOT_BETTER)
    if match := re.fullmatch(r"(.*-tuned)(?:-(\d+))?", name):
        return f"{match[1]}-{int(match[2] or 1) + 1}"
    return f"{name}-tuned"
