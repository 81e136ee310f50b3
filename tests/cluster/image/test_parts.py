"""Parts of the image, made of what package archives have: only what has changed is another, and nothing is unpinned."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from imagery.cache import default_directory
from imagery.commands import BuildError
from imagery.parts import Workshop
from imagery.platforms import native
from imagery.wheels import runtime_requirements
from realkube.built import LOCK

from tests.packaging.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]


def test_a_requirement_that_is_not_locked_is_refused(checkout: Path, tmp_path: Path):
    other = shutil.copytree(checkout, tmp_path / "other")
    lock = (ROOT / "requirements.lock").read_text()
    (other / "requirements.lock").write_text(re.sub(r"\npluggy==\S+", "\nplugged==1.0", lock))
    with pytest.raises(BuildError, match=r"requirements\.lock does not pin pluggy==.*run `make lock`"):
        runtime_requirements(other, native())


def test_an_upgrade_of_drakit_leaves_the_layers_below_as_they_are(checkout: Path):
    """So that nodes fetch the smallest layer alone."""
    before = Workshop(ROOT, LOCK, default_directory()).parts(native()).layers
    (checkout / "core/src/drakit/another.py").write_text("ANOTHER = 1\n")
    after = Workshop(checkout, LOCK, default_directory()).parts(native()).layers
    assert [layer.digest for layer in before[:2]] == [layer.digest for layer in after[:2]]
    assert before[2].digest != after[2].digest
