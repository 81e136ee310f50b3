"""`drakit plugins`: what is installed, what is enabled, and what became of it; and installing more from wheels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs
import click
from attrs import frozen

from drakit.assembly import Assembly, assemble
from drakit.cli import FINDING
from drakit.cli.offline import offline_settings
from drakit.cli.options import config_option, output_option, overrides, root_option
from drakit.cli.output import line, table, write
from drakit.loading import GROUP, LoadReport
from drakit.settings import BackendSettings, ExtensionSettings, Settings


@frozen(kw_only=True)
class PluginState:
    """One plugin: as an enabled backend or extension, or as merely installed.

    `state` is loaded, failed, missing or duplicate for what is enabled, `installed` for what is not: that is not even
    imported. `why` says what is wrong, and what to do.
    """

    name: str
    state: str
    driver: str | None = None
    version: str = ""
    distribution: str = ""
    hooks: Sequence[str] = ()
    why: str = ""

    @property
    def is_finding(self) -> bool:
        """Whether the plugin is enabled and not there."""
        return self.state not in ("loaded", "installed")


@click.group(invoke_without_command=True)
@config_option
@root_option
@output_option("table")
@click.pass_context
def plugins(context: click.Context, config: Path | None, root: Path | None, output: str) -> None:
    """Show the installed and the enabled plugins.

    With a configuration only what it enables is imported. Exit code 1: an enabled plugin is not loaded.
    """
    if context.invoked_subcommand is None:
        _show(config, root, output)


@plugins.command()
@click.option(
    "--wheels", type=click.Path(path_type=Path), required=True, metavar="DIRECTORY", help="Where the wheels are."
)
@click.option(
    "--requirements",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What to install of them: lines of the form name==version --hash=sha256:..., as `pip-compile` writes them.",
)
@click.option("--all", "everything", is_flag=True, help="Install all of them, whatever they hold.")
@click.option(
    "--target",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIRECTORY",
    help="Where to: a directory for these alone, which is emptied first. Name it in PYTHONPATH.",
)
def install(wheels: Path, requirements: Path | None, everything: bool, target: Path) -> None:
    """Install plugins from wheels into a directory, without pip and without a network.

    Each has to be there with all it needs that this installation of drakit has not. Exit code 2: something is not as
    it is required, and nothing was installed.
    """
    # Late, for `drakit plugins` itself does without.
    from drakit.cli.plugins.wheels import Installation, read_pins, wheels_in

    if everything is (requirements is not None):
        raise click.UsageError("give either --requirements or --all")
    there, installation = wheels_in(wheels), Installation(target)
    found = installation.pinned(read_pins(requirements), there) if requirements else installation.all(there)
    for one in found:
        offers = f", plugins: {', '.join(one.plugins)}" if one.plugins else ""
        click.echo(f"{one.name} {one.version}{offers}")


def _show(config: Path | None, root: Path | None, output: str) -> None:
    settings, problems = offline_settings(config, overrides(root=root))
    states = plugin_states(settings, dict(problems))

    def tables() -> Iterable[Any]:
        columns = ("NAME", "STATE", "DRIVER", "VERSION", "DISTRIBUTION", "HOOKS")
        yield table(
            columns, [(s.name, s.state, s.driver or "-", s.version, s.distribution, ", ".join(s.hooks)) for s in states]
        )
        yield from (line(f"{state.name}:", state.why) for state in states if state.why)

    write(output, [attrs.asdict(state) | {"hooks": list(state.hooks)} for state in states], tables)
    if any(state.is_finding for state in states):
        raise SystemExit(FINDING)


def plugin_states(settings: Settings, problems: Mapping[str, str]) -> list[PluginState]:
    """Every enabled plugin in the order of the configuration, then the others. Raises ConfigError.

    `problems` are of plugins that would be enabled, but cannot be.
    """
    assembly = assemble(settings)
    enabled: list[BackendSettings | ExtensionSettings] = [*settings.backends, *settings.extensions]
    states = [_enabled(item, assembly) for item in enabled]
    states += [_installed(name, "failed", why) for name, why in problems.items()]
    named = {state.name for state in states}
    others = sorted({entry.name for entry in metadata.entry_points(group=GROUP)} - named)
    return [*states, *(_installed(name, "installed") for name in others)]


def _enabled(item: BackendSettings | ExtensionSettings, assembly: Assembly) -> PluginState:
    loaded = assembly.report.loaded.get(item.plugin)
    given = item.driver if isinstance(item, BackendSettings) else None
    if loaded is None:
        problem = assembly.report.problem(item.plugin)
        return _installed(item.plugin, _state(assembly.report, item.plugin), str(problem), given)
    driver = given or loaded.declarations.driver_name
    failure = assembly.failures.get(driver or item.plugin)
    return PluginState(
        name=item.plugin,
        state="failed" if failure else "loaded",
        driver=driver,
        version=loaded.version,
        distribution=loaded.distribution,
        hooks=loaded.hooks,
        why=str(failure or ""),
    )


def _state(report: LoadReport, name: str) -> str:
    if name in report.missing:
        return "missing"
    return "duplicate" if name in report.duplicates else "failed"


def _installed(name: str, state: str, why: str = "", driver: str | None = None) -> PluginState:
    """What is known of a plugin without importing it."""
    offered = [entry.dist for entry in metadata.entry_points(group=GROUP, name=name) if entry.dist]
    return PluginState(
        name=name,
        state=state,
        driver=driver,
        version=", ".join(dict.fromkeys(distribution.version for distribution in offered)),
        distribution=", ".join(dict.fromkeys(distribution.name for distribution in offered)),
        why=why,
    )
