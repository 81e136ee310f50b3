"""Distributions are built and installed in every way the README names."""

from __future__ import annotations

import json
import sys
import textwrap
import zipfile

import pytest

pytestmark = [pytest.mark.packaging]

PLUGINS = ("neuron", "efa", "mock")
MEMBERS = {"drakit": "core", **{f"drakit_{name}": f"plugins/{name}" for name in PLUGINS}}
ENTRY_POINTS = "import importlib.metadata as m; print(*sorted(e.name for e in m.entry_points(group='drakit.plugins')))"


class TestWheels:
    def test_every_member_makes_one(self, wheels):
        assert sorted(wheels) == sorted(MEMBERS)

    @pytest.mark.parametrize("package", MEMBERS)
    def test_everything_in_the_package_is_shipped(self, wheels, checkout, package):
        source = checkout / MEMBERS[package] / "src"
        ours = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
        shipped = {name for name in zipfile.ZipFile(wheels[package]).namelist() if ".dist-info/" not in name}
        assert shipped == ours
        assert f"{package}/py.typed" in shipped

    @pytest.mark.parametrize("package", MEMBERS)
    def test_the_licence_is_in_the_metadata(self, wheels, package):
        wheel = zipfile.ZipFile(wheels[package])
        metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        assert "License-Expression: Apache-2.0" in wheel.read(metadata).decode().splitlines()
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())

    def test_the_command_runs(self, installed):
        assert "Usage: drakit" in installed.run("drakit", "--help")

    def test_every_plugin_is_found_once(self, installed):
        assert installed.python(ENTRY_POINTS) == "efa mock neuron"

    def test_every_entry_point_can_be_loaded(self, installed):
        code = """
            from importlib.metadata import distributions
            ours = [distribution for distribution in distributions() if distribution.name.startswith("drakit")]
            points = [point for distribution in ours for point in distribution.entry_points]
            print(*sorted({point.group for point in points if point.load()}))
        """
        assert "drakit.plugins" in installed.python(textwrap.dedent(code))

    def test_the_core_imports_without_what_only_tests_need(self, installed):
        installed.python("import drakit, drakit.testing, sys; assert 'pytest' not in sys.modules")


def test_pip_installs_from_a_checkout_what_is_asked_for_and_no_more(checkout, uv, environment):
    # Third parties come by uv, which is quicker; pip is left with what is ours.
    uv("pip", "install", "--python", environment.path, "--requirements", "core/pyproject.toml", cwd=checkout)
    environment.run("pip", "install", "--quiet", ".[neuron]", cwd=checkout)
    assert environment.python(ENTRY_POINTS) == "neuron"
    assert environment.python("import drakit; print(drakit.__file__)").startswith(str(environment.path))


def test_uv_syncs_a_checkout(checkout, uv):
    uv("sync", "--python", sys.executable, cwd=checkout)
    listed = json.loads(uv("pip", "list", "--editable", "--format", "json", "--python", ".venv", cwd=checkout))
    assert sorted(package["name"].replace("-", "_") for package in listed) == sorted(MEMBERS)
