"""The profile in the README of drakit-mock is one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attrs
import yaml
from click.testing import CliRunner
from drakit import PluginContext
from drakit.decoding import camel
from drakit.host import PluginHost
from drakit.loading import inspect
from drakit_mock.command import mock
from drakit_mock.plugin import MockPlugin
from drakit_mock.profile import DeviceSet, shipped_profiles
from drakit_mock.rehearsal import KINDS
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


def rows(heading):
    """The first cells of the table with this first heading, in backquotes."""
    (table,) = [part for part in README.read_text().split("\n\n") if part.startswith(f"| {heading} |")]
    return [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_option_profile_and_fault_has_its_row():
    assert sorted(rows("option")) == sorted(camel(field.name) for field in attrs.fields(MockOptions))
    assert sorted(rows("shipped profile")) == shipped_profiles()
    assert sorted(rows("fault")) == sorted(KINDS)


def test_every_key_of_a_device_is_shown():
    text = README.read_text()
    keys = [camel(field.name) for field in attrs.fields(DeviceSet)]
    assert [key for key in keys if not re.search(rf"\b{key}:|`{key}`", text)] == []


def test_every_linked_example_is_there():
    links = re.findall(r"\]\(([^)]+)\)", README.read_text())
    assert len(links) > 3
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_the_printed_rehearsal_says_what_is_printed(tmp_path):
    (session,) = [
        block for block in re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL) if "exec" in block
    ]
    lines = session.splitlines()
    for command, said in zip(lines[::2], lines[1::2], strict=True):
        words = shlex.split(command.partition("drakit mock ")[2].replace("--config /etc/drakit/config.yaml", ""))
        done = CliRunner(env={"DRAKIT_CONFIG": ""}).invoke(mock, [words[0], "--root", str(tmp_path), *words[1:]])
        assert (done.exit_code, done.output) == (0, f"{said}\n")
