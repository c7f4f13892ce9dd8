"""``python -m napari_nucleiseg`` is ``nucleiseg``."""

from .cli import main

if __name__ == "__main__":
    main()
