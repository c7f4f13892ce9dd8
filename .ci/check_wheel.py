"""Install the wheel into a folder of its own and segment a sample with it, without napari or Qt."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

BLOCK = """
import sys
sys.modules.update(dict.fromkeys(("qtpy", "napari", "magicgui", "superqt")))
import napari_nucleiseg
from napari_nucleiseg.cli import main
assert napari_nucleiseg.__file__.startswith(sys.argv[1]), napari_nucleiseg.__file__
sys.argv[1:] = ["demo", "--out", sys.argv[2]]
main()
"""


def run(wheel: str) -> int:
    """Return the exit status of the demo run from the wheel's own files."""
    with tempfile.TemporaryDirectory() as folder:
        site, out = Path(folder, "site"), Path(folder, "out")
        zipfile.ZipFile(wheel).extractall(site)
        environment = {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": folder}
        command = [sys.executable, "-c", BLOCK, str(site), str(out)]
        code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
        written = sorted(p.name for p in out.glob("*")) if out.is_dir() else []
    sys.stdout.write(f"wheel {Path(wheel).name}: wrote {', '.join(written) or 'nothing'}\n")
    return code or (0 if any(n.endswith("_labels.tif") for n in written) else 1)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
