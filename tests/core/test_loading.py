"""Finding plugins: only what is enabled is imported, and what cannot be had is an entry of a report.

Distributions are faked as they are installed: a module and a dist-info directory on the path of a fresh interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import pytest
from attrs import define, frozen
from drakit import hookimpl
from drakit.errors import PluginContractError
from drakit.loading import HOOKS, inspect

BACKEND = """
    from drakit import hookimpl
    class Backend:
        driver_name = "gpu.example.com"
        def __init__(self, context): pass
        @hookimpl
        def discover(self): return ()
        @hookimpl
        def prepare(self, claim): return ()
        @hookimpl
        def unprepare(self, claim, prepared): pass
"""

REPORT = """
    import json, sys
    from drakit.loading import installed_names, load, load_installed
    names = json.loads(sys.argv[1])
    report = load_installed() if names is None else load(names)
    json.dump(
        {
            "loaded": {name: [p.distribution, p.version, list(p.hooks)] for name, p in report.loaded.items()},
            "failed": {name: [type(e).__name__, str(e)] for name, e in report.failed.items()},
            "missing": report.missing,
            "duplicates": {name: list(by) for name, by in report.duplicates.items()},
            "problems": {name: str(report.problem(name)) for name in names or ()},
            "installed": installed_names(),
            "imported": sorted(module for module in sys.modules if module.startswith("fake_")),
        },
        sys.stdout,
    )
"""


class Site:
    """A directory of installed distributions."""

    def __init__(self, path: Path) -> None:
        self._path = path / "site"
        self._cache = path / "cache"
        self._path.mkdir()

    def install(self, distribution: str, plugin: str, source: str, target: str = "Backend") -> None:
        module = f"fake_{distribution.replace('-', '_')}"
        (self._path / f"{module}.py").write_text(dedent(source))
        info = self._path / f"{distribution.replace('-', '_')}-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n")
        (info / "entry_points.txt").write_text(f"[drakit.plugins]\n{plugin} = {module}:{target}\n")

    def load(self, *names: str, everything: bool = False) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", dedent(REPORT), json.dumps(None if everything else names)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONPATH": str(self._path), "XDG_CACHE_HOME": str(self._cache)},
        )
        return json.loads(done.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def raising(statement: str) -> str:
    return f"import sys\n{statement}\n{dedent(BACKEND)}"


def test_an_enabled_plugin_is_loaded_with_its_distribution_and_hooks(site):
    site.install("drakit-acme", "acme", BACKEND)
    report = site.load("acme")
    assert report["loaded"] == {"acme": ["drakit-acme", "1.2.3", ["discover", "prepare", "unprepare"]]}
    assert report["failed"] == {}
    assert "acme" in report["installed"]


def test_only_what_is_enabled_is_imported(site):
    site.install("drakit-acme", "acme", BACKEND)
    site.install("drakit-other", "other", raising("sys.exit('must not be imported')"))
    assert site.load("acme")["imported"] == ["fake_drakit_acme"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("import no_such_library", "No module named 'no_such_library'"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("assert False, 'wrong kernel'", "AssertionError: wrong kernel"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise RuntimeError('no\\nhardware')", "RuntimeError: no hardware"),
        ("this is no python", "SyntaxError"),
    ],
)
def test_a_plugin_that_cannot_be_imported_costs_no_other(site, statement, said):
    site.install("drakit-acme", "acme", BACKEND)
    site.install("drakit-bad", "bad", raising(statement))
    report = site.load("bad", "acme")
    assert list(report["loaded"]) == ["acme"]
    kind, message = report["failed"]["bad"]
    assert kind == "PluginLoadError"
    assert message.startswith("plugin 'bad': cannot import fake_drakit_bad:Backend")
    assert said in message
    assert report["problems"] == {"bad": message, "acme": "None"}


def test_a_class_that_the_module_does_not_have_is_a_failed_import(site):
    site.install("drakit-acme", "acme", BACKEND, target="Frontend")
    assert "Frontend" in site.load("acme")["failed"]["acme"][1]


def test_a_plugin_that_is_not_installed_is_missing_and_the_installed_are_named(site):
    site.install("drakit-acme", "acme", BACKEND)
    report = site.load("acne", "acme")
    assert report["missing"] == ["acne"]
    assert list(report["loaded"]) == ["acme"]
    assert "plugin 'acne': not installed" in report["problems"]["acne"]
    assert "acme" in report["problems"]["acne"]


def test_a_name_that_two_distributions_offer_is_refused_naming_both(site):
    site.install("drakit-acme", "acme", BACKEND)
    site.install("acme-fork", "acme", BACKEND)
    report = site.load("acme")
    assert report["duplicates"] == {"acme": ["acme-fork", "drakit-acme"]}
    assert "acme-fork, drakit-acme; uninstall all but one" in report["failed"]["acme"][1]
    assert report["imported"] == []


def test_a_name_enabled_twice_is_loaded_once(site):
    site.install("drakit-acme", "acme", BACKEND)
    assert list(site.load("acme", "acme")["loaded"]) == ["acme"]


def test_a_plugin_that_breaks_the_contract_is_a_failure_of_its_own(site):
    site.install("drakit-acme", "acme", BACKEND.replace("@hookimpl\n        def prepare", "def prepare"))
    kind, message = site.load("acme")["failed"]["acme"]
    assert kind == "PluginContractError"
    assert "prepare: has the name of a hook but no @hookimpl" in message


def test_without_a_configuration_everything_installed_is_loaded(site):
    site.install("drakit-acme", "acme", BACKEND)
    site.install("drakit-bad", "bad", "import no_such_library")
    report = site.load(everything=True)
    assert "acme" in report["loaded"]
    assert "bad" in report["failed"]


# The contract of a plugin class


@frozen
class Options:
    size: int = 1


@frozen
class Config:
    api_version: ClassVar[str] = "gpu.example.com/v1"
    kind: ClassVar[str] = "Config"


class Backend:
    driver_name = "gpu.example.com"
    options = Options
    config_types = (Config,)
    side_effects = True
    node_types = ("big",)
    data = Path("data")

    @hookimpl
    def discover(self): ...

    @hookimpl
    def prepare(self, claim): ...

    @hookimpl
    def unprepare(self, claim, prepared): ...


def refusal(plugin: Any) -> str:
    with pytest.raises(PluginContractError) as caught:
        inspect("acme", plugin)
    return str(caught.value)


def variant(**changes: Any) -> type:
    return type("Variant", (Backend,), changes)


def test_declarations_are_read_without_constructing_the_class():
    class Unconstructable(Backend):
        def __init__(self) -> None:
            raise AssertionError("must not be constructed")

    loaded = inspect("acme", Unconstructable, "drakit-acme", "1.0")
    assert loaded.declarations.driver_name == "gpu.example.com"
    assert loaded.declarations.options is Options
    assert loaded.declarations.config_types == (Config,)
    assert loaded.declarations.side_effects
    assert loaded.declarations.node_types == ("big",)
    assert loaded.declarations.data == Path("data")
    assert loaded.hooks == ("discover", "prepare", "unprepare")


def test_a_class_that_declares_nothing_is_an_extension():
    loaded = inspect("acme", type("Extension", (), {}))
    assert loaded.declarations.driver_name is None
    assert loaded.hooks == ()


@pytest.mark.parametrize("hook", HOOKS)
def test_the_name_of_any_hook_without_the_mark_is_refused(hook):
    assert f"{hook}: has the name of a hook but no @hookimpl" in refusal(
        type("Unmarked", (), {hook: lambda self: None})
    )


@pytest.mark.parametrize("hook", ["discover", "prepare", "unprepare"])
def test_a_backend_must_implement_its_hooks(hook):
    others = {name: vars(Backend)[name] for name in ("discover", "prepare", "unprepare") if name != hook}
    backend = type("Incomplete", (), {"driver_name": "gpu.example.com"} | others)
    assert f"{hook}: a plugin with a driver_name must implement this hook" in refusal(backend)


def test_a_mark_on_what_is_no_hook_is_refused():
    assert "discovery: is marked @hookimpl, but the hooks are discover," in refusal(variant(discovery=Backend.discover))


@pytest.mark.parametrize("mark", [hookimpl(wrapper=True), hookimpl(hookwrapper=True)])
def test_a_wrapper_is_refused(mark: Callable):
    def health(self):
        yield

    assert "health: must not be a wrapper" in refusal(variant(health=mark(health)))


def test_a_plugin_that_compares_by_value_is_refused():
    """Plugins are kept apart by identity: two instances of one class are two drivers."""
    assert "give an attrs class eq=False" in refusal(define(type("Comparing", (Backend,), {})))
    inspect("acme", define(eq=False)(type("Identical", (Backend,), {})))


@pytest.mark.parametrize("factory", [lambda context: None, "Backend", None, Backend()])
def test_an_entry_point_that_is_no_class_is_refused(factory):
    assert "entry point: must name a class" in refusal(factory)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"driver_name": 1}, "driver_name: must be str or None, not 1"),
        ({"driver_name": "GPU.example.com"}, "driver_name: driver_name must be a lower-case DNS subdomain"),
        ({"options": Options()}, "options: must be type or None"),
        ({"options": int}, "options: <class 'int'> must be an attrs class"),
        ({"config_types": Config}, "config_types: must be tuple"),
        ({"config_types": (Options,)}, "class variables api_version and kind"),
        ({"config_types": (type("Plain", (), {"api_version": "v", "kind": "K"}),)}, "must be an attrs class"),
        ({"side_effects": None}, "side_effects: must be bool, not None"),
        ({"node_types": "big"}, "node_types: must be tuple, not 'big'"),
        ({"data": "data"}, "data: must be Path or None, not 'data'"),
        ({"node_label_keys": "a/b"}, "node_label_keys: must be tuple, not 'a/b'"),
        ({"node_label_keys": ("example.com/*",)}, "node_label_keys must be a label name"),
        ({"node_label_keys": (1,)}, "node_label_keys must be a label name"),
        ({"node_label_keys": ("node-restriction.kubernetes.io/a",)}, "belongs to Kubernetes; use a domain of your own"),
    ],
)
def test_a_declaration_of_another_kind_is_refused(changes, said):
    assert said in refusal(variant(**changes))


def test_a_kind_that_every_document_has_for_itself_is_refused():
    @frozen
    class Loose:
        api_version: ClassVar[str] = "v1"
        kind: str

    assert "class variables api_version and kind" in refusal(variant(config_types=(Loose,)))


@frozen
class Bare:
    api_version: ClassVar[str] = ""
    kind: ClassVar[str] = ""


def test_a_class_may_be_for_documents_without_api_version_and_kind_but_not_without_one_of_them():
    assert inspect("acme", variant(config_types=(Config, Bare))).declarations.config_types == (Config, Bare)
    for variable in ("api_version", "kind"):
        half = frozen(type("Half", (Config,), {variable: ""}))
        assert "Half must have both api_version and kind, or both empty" in refusal(variant(config_types=(half,)))
