"""The profile in the README of drakit-mock is one."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from drakit import PluginContext
from drakit.host import PluginHost
from drakit.loading import inspect
from drakit_mock.plugin import MockPlugin
from drakit_mock.source import MockOptions

README = Path(__file__).parents[2] / "plugins" / "mock" / "README.md"


def test_the_printed_profile_gives_the_devices_it_describes(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    (profile,) = [block for block in blocks if "kind: MockProfile" in block]
    path = tmp_path / "profile.yaml"
    path.write_text(profile)
    host = PluginHost()
    context = PluginContext(driver="a.example.com", node="n", pool="n", options=MockOptions(profile=str(path)))
    host.add("a.example.com", inspect("mock", MockPlugin), context)
    (pool,) = host.discover("a.example.com")
    assert [device.name for device in pool.devices] == [f"card-{card}-port-{port}" for card in "01" for port in "01"]
    assert host.share("a.example.com", pool.devices[0])
    assert len(host.health("a.example.com")) == 4


def test_the_printed_settings_name_shipped_profiles():
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    (settings,) = [yaml.safe_load(block) for block in blocks if "backends:" in block]
    assert [backend["options"]["profile"] for backend in settings["backends"]] == ["generic-gpu", "generic-nic"]
