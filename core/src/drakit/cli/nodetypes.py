"""Node types as data: what the real backends make of a faked node of a type."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import evolve, frozen

from drakit.cli.demo.scenarios import load_scenarios
from drakit.cli.offline import OfflineNode, is_configured, offline_settings, survey_node
from drakit.cli.published import node_slices
from drakit.decoding import structure
from drakit.documents import Document
from drakit.loading import load_installed
from drakit.model import ResolvedPool
from drakit.settings import BackendSettings, Settings
from drakit.testing import lay_out
from drakit.testing.nodes import VARIANT, machine_type

_BUS_ID = "resource.kubernetes.io/pciBusID"


@frozen(kw_only=True)
class NodeOfType:
    """A faked node of a type: its inventory, its ResourceSlices, and what kept others from being made.

    What plugins warn of is in `node.warnings`. `stand_ins` are the drivers for which an installed plugin stands in.
    """

    node: OfflineNode
    slices: Sequence[Document]
    problems: Sequence[tuple[str, str]] = ()
    """Whom each concerns, a driver or a plugin, and what it is."""
    stand_ins: Sequence[str] = ()


def survey_of(
    node_type: str,
    config: Path | None = None,
    *,
    node_name: str | None = None,
    options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    stand_ins: bool = False,
) -> NodeOfType:
    """Lay out a node of a type in a directory that is gone afterwards, and let the backends survey it.

    With a configuration those are the backends it has; without one, all installed that have hardware on such a node.
    `options`, by plugin, go over those that its backends have.
    The node is called `node_name`, or as its type: what this machine is called is no matter. The answer is the same
    every time, and names no path of the directory.

    With `stand_ins` and no configuration, the node also has what the scenarios for its type put there for drivers of
    others: backends of installed plugins under the name of a driver that is not theirs.

    Raises ConfigError for a type that no plugin knows, with those that are close, and for a bad configuration.
    """
    settings, problems = offline_settings(config, {})
    backends = [evolve(one, options={**one.options, **options.get(one.plugin, {})}) for one in settings.backends]
    settings = evolve(settings, backends=backends)
    with tempfile.TemporaryDirectory(prefix="drakit-node-") as directory:
        root = Path(os.path.realpath(directory)) / "root"
        layout = lay_out(node_type, root)
        others: Sequence[BackendSettings] = ()
        settings = evolve(settings, root=root, node_name=node_name or node_type.replace(VARIANT, "-"))
        problems = [*problems, *((problem.plugin, str(problem)) for problem in layout.problems)]
        if is_configured(config):
            found = survey_node(settings, _of(_plugins(settings), problems))
        else:
            failed = {problem.plugin for problem in layout.problems}
            addresses = {function.address for own in layout.functions.values() for function in own}
            others = [one for one in _stand_ins(node_type) if one.plugin in layout.functions] if stand_ins else ()
            settings = evolve(settings, backends=[*settings.backends, *others])
            found = _survey_hardware(settings, _of({*layout.functions, *failed}, problems), layout.functions, addresses)
    found = evolve(
        found,
        settings=evolve(found.settings, root=Path("/")),
        errors=_without(root, found.errors),
        warnings=_without(root, found.warnings),
    )
    documents, said = node_slices(found)
    shown = {one.driver for one in others if one.driver in found.survey.pools}
    return NodeOfType(node=found, slices=documents, problems=said, stand_ins=sorted(filter(None, shown)))


def _stand_ins(node_type: str) -> list[BackendSettings]:
    """The backends that scenarios for the type have under the name of a driver that no installed plugin has."""
    loaded = load_installed().loaded
    own = {plugin.declarations.driver_name for plugin in loaded.values()}
    machine = machine_type(node_type)
    found: dict[str, BackendSettings] = {}
    for name, scenario in load_scenarios().loaded.items():
        if machine not in (machine_type(scenario.node_type), *scenario.also_for):
            continue
        backends = structure(tuple[BackendSettings, ...], list(map(dict, scenario.backends)), f"scenario {name}")
        for one in backends:
            if one.driver is not None and one.driver not in own and one.plugin in loaded:
                found.setdefault(one.driver, one)
    return list(found.values())


def known_types() -> frozenset[str]:
    """The types of nodes that the installed plugins know."""
    plugins = load_installed().loaded.values()
    return frozenset(one for plugin in plugins if "layout" in plugin.hooks for one in plugin.declarations.node_types)


def _plugins(settings: Settings) -> set[str]:
    return {*(one.plugin for one in settings.backends), *(one.plugin for one in settings.extensions)}


def _of(plugins: Collection[str], problems: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The problems of some plugins, each once."""
    return [problem for problem in dict.fromkeys(problems) if problem[0] in plugins]


def _survey_hardware(
    settings: Settings, problems: Sequence[tuple[str, str]], plugins: Collection[str], addresses: Collection[str]
) -> OfflineNode:
    """Survey with the backends that have hardware on the node: `plugins` wrote some, at these PCI addresses.

    A backend whose devices are all at other addresses shows another machine than this one, so it is left out: it may
    know the hardware of a type, and have devices at its defaults that are not those.
    """
    settings = evolve(settings, backends=[one for one in settings.backends if one.plugin in plugins])
    found = survey_node(settings, problems)
    strange = {driver for driver, pools in found.survey.pools.items() if not _any_at(addresses, pools)}
    if not strange:
        return found
    drivers = {name: plugin.declarations.driver_name for name, plugin in load_installed().loaded.items()}
    kept = [one for one in settings.backends if (one.driver or drivers.get(one.plugin)) not in strange]
    left_out = {one.plugin for one in settings.backends} - {one.plugin for one in kept}
    return survey_node(evolve(settings, backends=kept), [problem for problem in problems if problem[0] not in left_out])


def _any_at(addresses: Collection[str], pools: Iterable[ResolvedPool]) -> bool:
    named = [device.attributes.get(_BUS_ID) for pool in pools for device in pool.devices]
    return not named or any(address is None or address in addresses for address in named)


def _without(root: Path, problems: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The directory was ours and is gone: to whoever reads it, paths begin at the root of the node."""
    return [(of, problem.replace(f"{root}/", "/").replace(str(root), "/")) for of, problem in problems]
