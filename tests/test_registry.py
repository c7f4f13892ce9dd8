from __future__ import annotations

import subprocess
import sys

import pytest

from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.metrics import METRICS
from napari_nucleiseg.models import MODELS
from napari_nucleiseg.optimizers import OPTIMIZERS
from napari_nucleiseg.schedules import SCHEDULES

REGISTRIES = [MODELS, OPTIMIZERS, SCHEDULES, METRICS]


@pytest.mark.parametrize("registry", REGISTRIES)
def test_names_are_files_and_each_has_a_first_line_and_a_build(registry):
    for name in registry.names():
        assert len(registry.description(name)) > 10
        assert callable(registry[name])


@pytest.mark.parametrize("registry", REGISTRIES)
def test_unknown_name_lists_the_known_ones(registry):
    with pytest.raises(SettingError, match=registry.names()[0]):
        registry["no_such_thing"]


def test_shared_parts_are_not_listed():
    assert all(name[0] != "_" for name in METRICS.names())


def test_listing_imports_no_torch():
    code = (
        "import sys; from napari_nucleiseg.models import MODELS; MODELS.names();"
        "MODELS.description('nuclei_unet'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
