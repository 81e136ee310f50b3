"""`drakit classes`: the DeviceClasses that a cluster needs for the drivers of a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from drakit.classes import device_classes
from drakit.cli import FINDING
from drakit.cli.offline import offline_settings
from drakit.cli.options import config_option
from drakit.cli.output import write_stream
from drakit.loading import load


@click.command()
@config_option
def classes(config: Path | None) -> None:
    """Show the DeviceClasses of the enabled plugins, for `kubectl apply -f -`.

    They have the name that a backend's `deviceClass` gives, and select the devices of its `driver`.

    Exit code 1: a plugin cannot be had, and its classes are missing; 2: the configuration is wrong.
    """
    settings, problems = offline_settings(config, {})
    names = [*(backend.plugin for backend in settings.backends), *(plugin.plugin for plugin in settings.extensions)]
    report = load(names)
    problems += [(name, str(error)) for name in dict.fromkeys(names) if (error := report.problem(name))]
    write_stream(device_classes(settings, report.loaded))
    for of, problem in problems:
        click.echo(f"Error: {of}: {problem}", err=True)
    if problems:
        raise SystemExit(FINDING)
