"""The scenarios that installed distributions offer by the entry-point group `drakit.scenarios`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from attrs import evolve, field, frozen

from drakit.classes import device_classes
from drakit.decoding import read_yaml, structure
from drakit.errors import ConfigError, describe
from drakit.loading import load
from drakit.model.converters import frozen_mapping
from drakit.settings import BackendSettings, Settings
from drakit.testing.manifests import read_manifest
from drakit.testing.nodes import machine_type
from drakit.testing.scenarios import Scenario

GROUP = "drakit.scenarios"


@frozen
class Scenarios:
    """What could be loaded, ordered by name, and why others could not."""

    loaded: Mapping[str, Scenario] = field(converter=frozen_mapping)
    failed: Mapping[str, str] = field(factory=dict, converter=frozen_mapping)


def load_scenarios() -> Scenarios:
    """Load every scenario; one that cannot be loaded is told of where it is missed."""
    loaded: dict[str, Scenario] = {}
    failed: dict[str, str] = {}
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            scenario = entry.load()
        except Exception as error:  # a plugin's scenario must not take the others with it
            failed[entry.name] = f"{entry.value} cannot be imported: {describe(error)}"
            continue
        if isinstance(scenario, Scenario):
            loaded[entry.name] = scenario
        else:
            failed[entry.name] = f"{entry.value} is not a Scenario"
    return Scenarios(loaded, failed)


def choose(found: Scenarios, name: str | None, node_type: str | None, manifest: Path | None) -> Scenario:
    """The scenario that is meant: by name, else the one that the manifest is of, or that suits it and the type of node.

    Raises ConfigError for a name that is none, where there are no scenarios at all, and for a manifest that needs
    classes which the named scenario has not, and another has.
    """
    if not found.loaded:
        raise ConfigError(f"no installed plugin offers a scenario{_failures(found)}; install one, such as drakit-mock")
    if name is not None and name not in found.loaded:
        raise ConfigError(f"no scenario {name!r}; there are {', '.join(found.loaded)}{_failures(found)}")
    ordered = _by_node_type(found.loaded.values(), node_type)
    if name is not None:
        scenario = found.loaded[name]
        if manifest is not None:
            _check_classes(scenario, manifest, ordered)
    else:
        scenario = ordered[0] if manifest is None else _of_manifest(ordered, manifest)
    return evolve(scenario, node_type=node_type or scenario.node_type, manifest=manifest or scenario.manifest)


def _by_node_type(scenarios: Iterable[Scenario], node_type: str | None) -> list[Scenario]:
    """Those of the type of node first, then those that are also for its machine, then the others."""
    machine = machine_type(node_type or "")

    def rank(scenario: Scenario) -> int:
        return 0 if scenario.node_type == node_type else 1 if machine in (scenario.node_type, *scenario.also_for) else 2

    return sorted(scenarios, key=rank)


def _of_manifest(ordered: Sequence[Scenario], manifest: Path) -> Scenario:
    """The first whose own the manifest is, else the first with all classes that it asks for, else the first."""
    if own := [one for one in ordered if one.manifest.resolve() == manifest.resolve()]:
        return own[0]
    wanted = read_manifest(manifest).classes
    return next((one for one in ordered if wanted <= classes_in(one)), ordered[0])


def _check_classes(scenario: Scenario, manifest: Path, others: Sequence[Scenario]) -> None:
    wanted = read_manifest(manifest).classes
    missing = wanted - classes_in(scenario)
    if missing and (suited := [one.name for one in others if wanted <= classes_in(one)]):
        raise ConfigError(
            f"{manifest}: scenario {scenario.name} has no DeviceClass {', '.join(sorted(missing))}; "
            f"leave out --scenario, or use {' or '.join(suited)}"
        )


def classes_in(scenario: Scenario) -> set[str]:
    """The names of the DeviceClasses that there are in a scenario; none where its plugins cannot be had."""
    try:
        backends = structure(tuple[BackendSettings, ...], list(map(dict, scenario.backends)), scenario.name)
        documents = device_classes(Settings(backends=backends), load(one.plugin for one in backends).loaded)
        documents += [document for path in scenario.classes for document in read_yaml(path)]
    except ConfigError:
        return set()
    return {document["metadata"]["name"] for document in documents}


def _failures(found: Scenarios) -> str:
    return "".join(f"; {name}: {why}" for name, why in found.failed.items())
