"""Windows: parts of a picture that is too large to be looked at as a whole."""

from __future__ import annotations

from typing import NamedTuple


class Window(NamedTuple):
    """Rows and columns of a part of a picture."""

    rows: slice
    columns: slice

    def grown(self, margin: int, shape: tuple[int, int]) -> Window:
        """The same with a margin on all sides, as far as there are pixels."""
        return Window(
            *(
                slice(max(0, part.start - margin), min(length, part.stop + margin))
                for part, length in zip(self, shape, strict=True)
            )
        )

    def within(self, other: Window) -> Window:
        """Its place in another window."""
        return Window(
            *(
                slice(part.start - o.start, part.stop - o.start)
                for part, o in zip(self, other, strict=True)
            )
        )


def blocks_of(shape: tuple[int, int], block_px: int) -> list[Window]:
    """Blocks that cover a picture without overlap, row by row."""
    return [
        Window(
            slice(top, min(top + block_px, shape[0])), slice(left, min(left + block_px, shape[1]))
        )
        for top in range(0, shape[0], block_px)
        for left in range(0, shape[1], block_px)
    ]
