"""A node as the read commands see it: the same plugins and the same survey as the agent's, without the agent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from attrs import evolve, field, frozen

from drakit.assembly import Assembly, assemble
from drakit.errors import ConfigError, DRAError
from drakit.host import PluginHost
from drakit.inventory import Survey
from drakit.loading import LoadedPlugin, load_installed
from drakit.model import DescribedDevice, Finding, Health, Severity
from drakit.settings import (
    CONFIG_VARIABLE,
    BackendSettings,
    ExtensionSettings,
    Settings,
    decode_options,
    read_settings,
)
from drakit.survey import Observer, taints_of

UNNAMED_NODE = "this-node"
"""What a node is called for whom nobody has given a name."""

PATIENCE_SECONDS = 20.0
"""How long one plugin may take for one phase. The agent waits less, for it can come back to it."""


@frozen(kw_only=True)
class OfflineNode:
    """What the plugins make of a node, and everything that went wrong on the way."""

    settings: Settings
    assembly: Assembly
    survey: Survey
    health: Mapping[str, Sequence[Health]] = field(factory=dict)
    """By driver, of those that report it."""
    errors: Sequence[tuple[str, str]] = ()
    """What keeps a driver from running or publishing: whom it concerns (a driver or a plugin), and what it is."""
    warnings: Sequence[tuple[str, str]] = ()
    """What plugins warn of in their log, in the same form: a part of their hardware is lacking."""
    findings: Sequence[tuple[str, Finding]] = ()
    """What plugins found where they were asked to check this node: whose finding it is (a driver or a plugin)."""


def offline_settings(config: Path | None, overrides: Mapping[str, str]) -> tuple[Settings, list[tuple[str, str]]]:
    """The settings of a read command, and the plugins that could not be enabled.

    Without a configuration every installed plugin is enabled, with its default driver. Raises ConfigError.
    """
    settings = read_settings(config, overrides=overrides)
    if is_configured(config):
        return settings, []
    backends, extensions, problems = _everything_installed()
    return evolve(settings, backends=backends, extensions=extensions), problems


def is_configured(config: Path | None) -> bool:
    """Whether there is a configuration that says which plugins to use."""
    return config is not None or bool(os.environ.get(CONFIG_VARIABLE))


def read_node(config: Path | None, overrides: Mapping[str, str]) -> OfflineNode:
    """Load the plugins and survey the node. Raises ConfigError; what a plugin does wrong is a problem, not an error."""
    settings, problems = offline_settings(config, overrides)
    return survey_node(settings, problems)


def survey_node(
    settings: Settings,
    problems: Sequence[tuple[str, str]] = (),
    *,
    check: bool = False,
    node_labels: Mapping[str, str] = MappingProxyType({}),
) -> OfflineNode:
    """Construct the enabled plugins and ask each of them, once; with `check`, also what they find of this node.

    `node_labels`: what plugins are to take for the labels of the Node, beside those that they would give it.
    """
    named = evolve(settings, node_name=settings.node_name or UNNAMED_NODE)
    with _warnings() as said:
        labels = dict(node_labels)
        assembly = assemble(named, node_labels=MappingProxyType(labels))
        survey, health, found, failures = asyncio.run(_ask(assembly, named.node_name, labels, check=check))
        closing = assembly.host.close()
    return OfflineNode(
        settings=named,
        assembly=assembly,
        survey=survey,
        health=health,
        errors=[
            *problems,
            *((name, str(error)) for name, error in assembly.failures.items()),
            *((name, str(error)) for name, error in failures.items()),
            *((problem.driver, str(problem.error)) for problem in survey.problems),
            *((failure.plugin, str(failure)) for failure in closing),
        ],
        warnings=_not_found(said, found, assembly.host),
        findings=found,
    )


def verify_container(root: Path, devices: Sequence[DescribedDevice]) -> list[tuple[str, Finding]]:
    """What every installed plugin finds of the container whose file system is at `root`, and whose finding it is.

    `devices` are those that it was given. A plugin that cannot be had or fails at this is a finding itself.
    """
    backends, extensions, problems = _everything_installed("verify")
    assembly = assemble(Settings(root=root, backends=backends, extensions=extensions))
    found, failures = asyncio.run(
        Observer(assembly.host, UNNAMED_NODE, patience_seconds=PATIENCE_SECONDS).verify(devices)
    )
    failed = {**assembly.failures, **failures, **{failure.plugin: failure for failure in assembly.host.close()}}
    problems += [(name, str(error)) for name, error in failed.items()]
    return [
        *((name, finding) for name, findings in found.items() for finding in findings),
        *((name, Finding(Severity.WARNING, "its own verification", problem)) for name, problem in problems),
    ]


async def _ask(
    assembly: Assembly, node: str, labels: dict[str, str], *, check: bool
) -> tuple[Survey, Mapping[str, Sequence[Health]], list[tuple[str, Finding]], Mapping[str, DRAError]]:
    observer = Observer(assembly.host, node, patience_seconds=PATIENCE_SECONDS)
    survey = await observer.survey()
    health, failures = await observer.health()
    if taints := taints_of(report for reports in health.values() for report in reports):
        survey = await observer.survey(taints=taints)
    found = await _check(observer, labels) if check else []
    return survey, health, found, {**failures, **survey.failures}


async def _check(observer: Observer, labels: dict[str, str]) -> list[tuple[str, Finding]]:
    """What plugins find. One that fails at this is found wanting itself, though its driver may well run."""
    given, unlabelled = await observer.node_labels()
    for own in given.values():
        labels.update(own)
    found, failures = await observer.check()
    failures = unlabelled | failures
    failed = [(name, Finding(Severity.WARNING, "its own check", str(error))) for name, error in failures.items()]
    return [*((name, finding) for name, findings in found.items() for finding in findings), *failed]


def _everything_installed(
    hook: str = "",
) -> tuple[list[BackendSettings], list[ExtensionSettings], list[tuple[str, str]]]:
    """Every installed plugin, as far as it can be enabled without a configuration; with `hook`, that implements it."""
    report = load_installed()
    problems = [(name, str(error)) for name, error in report.failed.items()]
    backends: list[BackendSettings] = []
    extensions: list[ExtensionSettings] = []
    owners: dict[str, str] = {}
    able = {name: plugin for name, plugin in report.loaded.items() if not hook or hook in plugin.hooks}
    for name, plugin in able.items():
        driver = plugin.declarations.driver_name
        if (why := _needs_configuration(plugin, owners.get(driver or ""))) is not None:
            problems.append((name, f"{why}; give a configuration with --config"))
        elif driver is None:
            extensions.append(ExtensionSettings(plugin=name))
        else:
            owners[driver] = name
            backends.append(BackendSettings(plugin=name))
    return backends, extensions, problems


def _needs_configuration(plugin: LoadedPlugin, owner: str | None) -> str | None:
    """Why a plugin cannot be enabled as it is; the others are, all the same. `owner` has its driver already."""
    if owner is not None:
        return f"its driver {plugin.declarations.driver_name!r} is also that of plugin {owner!r}"
    try:
        decode_options(plugin.declarations.options, {}, f"options of plugin {plugin.name!r}")
    except ConfigError as error:
        return str(error)
    return None


@frozen
class _Warning:
    """What a plugin warned of in its log, and as what its `check` says the same; "" for nothing."""

    plugin: str
    message: str
    finding: str


def _not_found(
    said: Sequence[_Warning], found: Sequence[tuple[str, Finding]], host: PluginHost
) -> list[tuple[str, str]]:
    """The warnings that the findings of their plugin do not say as well."""
    known = {(host.instances[name].plugin, finding.what) for name, finding in found}
    return [(one.plugin, one.message) for one in said if (one.plugin, one.finding) not in known]


@contextlib.contextmanager
def _warnings() -> Iterator[list[_Warning]]:
    """Collect what plugins warn of in their log: on a command line it is part of the result."""
    said: list[_Warning] = []
    plugins = logging.getLogger("drakit.plugins")

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            plugin, finding = record.name.removeprefix("drakit.plugins."), getattr(record, "finding", "")
            said.append(_Warning(plugin, record.getMessage(), finding))

    handler, propagate = Collect(logging.WARNING), plugins.propagate
    plugins.addHandler(handler)
    plugins.propagate = False
    try:
        yield said
    finally:
        plugins.removeHandler(handler)
        plugins.propagate = propagate
