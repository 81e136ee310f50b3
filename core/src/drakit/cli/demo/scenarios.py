"""The scenarios that installed distributions offer by the entry-point group `drakit.scenarios`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from attrs import evolve, field, frozen

from drakit.errors import ConfigError, describe
from drakit.model.converters import frozen_mapping
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
    """The scenario that is meant: by name, else the first of the type of node or also for its machine, else the first.

    Raises ConfigError for a name that is none, and where there are no scenarios at all.
    """
    if not found.loaded:
        raise ConfigError(f"no installed plugin offers a scenario{_failures(found)}; install one, such as drakit-mock")
    if name is not None and name not in found.loaded:
        raise ConfigError(f"no scenario {name!r}; there are {', '.join(found.loaded)}{_failures(found)}")
    if name is not None:
        scenario = found.loaded[name]
    else:
        every = list(found.loaded.values())
        own = [one for one in every if one.node_type == node_type]
        fitting = [one for one in every if machine_type(node_type or "") in (one.node_type, *one.also_for)]
        scenario = (own or fitting or every)[0]
    return evolve(scenario, node_type=node_type or scenario.node_type, manifest=manifest or scenario.manifest)


def _failures(found: Scenarios) -> str:
    return "".join(f"; {name}: {why}" for name, why in found.failed.items())
