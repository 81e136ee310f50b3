"""From settings to plugins: what is wrong in the settings stops the agent, what is wrong in a plugin costs its driver.

Plugins are found as they are in production: by the entry points of distributions, here faked in a fresh interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

PLUGINS = """
    import logging, sys
    from attrs import frozen
    from drakit import hookimpl

    @frozen
    class Options:
        size: int = 1

    class Backend:
        driver_name = "gpu.example.com"
        options = Options
        def __init__(self, context):
            self.context = context
            if context.options.size == 13:
                raise ValueError("no such size of bus")
            if context.options.size == 14:
                sys.exit("no licence")
        @hookimpl
        def discover(self): return ()
        @hookimpl
        def prepare(self, claim): return ()
        @hookimpl
        def unprepare(self, claim, prepared): pass
        @hookimpl
        def close(self):
            c = self.context
            print(c.driver, c.node, c.pool, c.root, c.host_root, c.options.size, c.boot_id, c.log.name, file=sys.stderr)
            c.changed()

    class Labelling(Backend):
        driver_name = "label.example.com"
        node_label_keys = ("example.com/rack",)
        @hookimpl
        def node_labels(self): return {}

    class Extension:
        node_label_keys = ("example.com/rack",)
        def __init__(self, context):
            assert context.driver == ""
        @hookimpl
        def node_labels(self): return {"example.com/rack": "r7"}
"""

ASSEMBLE = """
    import json, sys
    from drakit.assembly import assemble
    from drakit.errors import ConfigError
    from drakit.settings import parse_settings
    text = "apiVersion: drakit/v1alpha1\\nkind: AgentConfiguration\\n" + sys.argv[1]
    changes = []
    try:
        assembly = assemble(parse_settings(text, "cfg"), changed=lambda: changes.append(1))
    except ConfigError as error:
        json.dump({"refused": str(error)}, sys.stdout)
    else:
        assembly.host.close()
        json.dump(
            {
                "instances": {name: i.plugin for name, i in assembly.host.instances.items()},
                "failures": {name: [type(e).__name__, str(e)] for name, e in assembly.failures.items()},
                "changes": len(changes),
                "labelling": [instance.name for instance in assembly.host.implementing("node_labels")],
            },
            sys.stdout,
        )
"""


class Site:
    def __init__(self, path: Path) -> None:
        self.root = path / "host"
        self._path = path
        (path / "acme_plugins.py").write_text(dedent(PLUGINS))
        (path / "acme_broken.py").write_text("import no_such_library")
        info = path / "acme-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[drakit.plugins]\nacme = acme_plugins:Backend\nracks = acme_plugins:Extension\nbroken = acme_broken:X\n"
            "labelling = acme_plugins:Labelling\n"
        )
        (self.root / "proc/sys/kernel/random").mkdir(parents=True)
        (self.root / "proc/sys/kernel/random/boot_id").write_text("b00t\n")

    def assemble(self, text: str) -> dict[str, Any]:
        settings = f"nodeName: node-1\nroot: {self.root}\nhostRoot: /seen/by/runtime\n{text}"
        done = subprocess.run(
            [sys.executable, "-c", dedent(ASSEMBLE), settings],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONPATH": str(self._path), "XDG_CACHE_HOME": str(self._path / "cache")},
        )
        return json.loads(done.stdout) | {"said": done.stderr}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_every_enabled_plugin_is_constructed_with_its_context(site):
    made = site.assemble(
        """
backends:
- {plugin: acme}
- {plugin: acme, driver: other.example.com, options: {size: 2}}
extensions:
- {plugin: racks}
"""
    )
    assert made["instances"] == {"gpu.example.com": "acme", "other.example.com": "acme", "racks": "racks"}
    assert made["failures"] == {}
    assert made["said"].splitlines() == [
        f"gpu.example.com node-1 node-1 {site.root} /seen/by/runtime 1 b00t drakit.plugins.acme",
        f"other.example.com node-1 node-1 {site.root} /seen/by/runtime 2 b00t drakit.plugins.acme",
    ]
    assert made["changes"] == 2


@pytest.mark.parametrize(
    ("broken", "name", "kind", "said"),
    [
        ("{plugin: broken}", "broken", "PluginLoadError", "No module named 'no_such_library'"),
        ("{plugin: broken, driver: x.io}", "x.io", "PluginLoadError", "No module named 'no_such_library'"),
        ("{plugin: absent}", "absent", "PluginLoadError", "not installed; install the distribution"),
        (
            "{plugin: acme, driver: x.io, options: {size: 13}}",
            "x.io",
            "PluginLoadError",
            "cannot be constructed: ValueError: no such size of bus",
        ),
        ("{plugin: acme, driver: x.io, options: {size: 14}}", "x.io", "PluginLoadError", "SystemExit: no licence"),
    ],
)
def test_a_plugin_that_cannot_be_had_is_a_failure_of_its_own_driver(site, broken, name, kind, said):
    made = site.assemble(f"backends: [{broken}, {{plugin: acme}}]")
    assert made["instances"] == {"gpu.example.com": "acme"}
    assert list(made["failures"]) == [name]
    assert made["failures"][name][0] == kind
    assert said in made["failures"][name][1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "backends: [{plugin: acme, options: {sise: 1}}]",
            "options of plugin 'acme': unknown key 'sise'; known keys are size",
        ),
        (
            "backends: [{plugin: acme, options: {size: '1'}}]",
            "options of plugin 'acme'.size: must be an integer, not '1'",
        ),
        (
            "backends: [{plugin: acme}, {plugin: acme, driver: gpu.example.com}]",
            "driver 'gpu.example.com' is served by plugin 'acme' and by 'acme'; give one another `driver`",
        ),
        ("backends: [{plugin: racks}]", "plugin 'racks' has no driver; list it under extensions"),
        (
            "extensions: [{plugin: acme}]",
            "plugin 'acme' serves driver 'gpu.example.com'; list it under backends",
        ),
        (
            "backends: [{plugin: acme, nodeLabels: true}]",
            "plugin 'acme' names no labels for its Node; remove its nodeLabels",
        ),
        ("extensions: [{plugin: racks, options: {a: 1}}]", "options of plugin 'racks': takes no options; remove 'a'"),
    ],
)
def test_settings_that_are_wrong_stop_the_agent_with_what_to_do(site, text, said):
    assert site.assemble(text)["refused"] == said


def test_only_backends_that_are_enabled_to_are_asked_for_labels(site):
    extensions = "extensions: [{plugin: racks}]"
    assert site.assemble(f"backends: [{{plugin: labelling}}]\n{extensions}")["labelling"] == []
    enabled = site.assemble(f"backends: [{{plugin: labelling, nodeLabels: true}}]\n{extensions}")
    assert enabled["labelling"] == ["label.example.com"]


def test_a_root_that_is_not_there_stops_the_agent(site):
    site.root = site.root / "nowhere"
    assert "nowhere' is not a directory" in site.assemble("")["refused"]
