"""Reading micrographs and label images, writing label images."""
from pathlib import Path
import numpy as np
from PIL import Image
from ..micrograph import Micrograph

def read_micrograph(path):
    a = np.asarray(Image.open(path))
    return Micrograph(a[..., :3] if a.ndim == 3 else a, "YXS" if a.ndim == 3 else "YX", name=Path(path).stem, path=Path(path))

def read_labels(path):
    return np.asarray(Image.open(path)).astype(np.int32), ()
