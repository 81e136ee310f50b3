"""`drakit device`: what is remembered to be wrong with devices, and the operator's word that one is well again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from drakit.cli import FINDING, BadInput
from drakit.cli.options import config_option, output_option, overrides, root_option
from drakit.cli.output import counted, table, write
from drakit.context import read_boot_id
from drakit.errors import ConfigError, describe
from drakit.faults.clearing import clear as clear_faults
from drakit.faults.record import FILE_NAME, FaultFile, Memory
from drakit.faults.taints import first_of
from drakit.model import DeviceRef
from drakit.settings import VARIABLES, Settings, parse_settings, read_settings

directory_option = click.option(
    "--kubelet-plugins-directory-path",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help=f"Where drivers keep their state; {VARIABLES['kubelet_plugins_directory_path']} in the environment. "
    f"With it no configuration is read.",
)


@click.group()
def device() -> None:
    """Show and clear the faults of this node's devices.

    Read from the files that the agent keeps; it may run or not. Faults that end by themselves as soon as they are not
    seen any more are not in them: the metrics and the pods' status show those.
    """


@device.command("list")
@config_option
@root_option
@directory_option
@click.option("--driver", metavar="NAME", help="Only devices of this driver.")
@output_option("table")
def list_(driver: str | None, output: str, **place: Path | None) -> None:
    """Show the devices with faults, and what their counts were when they were last cleared.

    Exit code 1: a fault stands, or what a driver remembers cannot be read.
    """
    files = _files(_settings(**place), driver)
    found = [(ref, memory) for file in files for ref, memory in sorted(file.read().items())]
    write(output, [_plain(ref, memory) for ref, memory in found], lambda: _tables(found))
    if any(memory.faults for _, memory in found):
        raise SystemExit(FINDING)


@device.command()
@config_option
@root_option
@directory_option
@click.argument("driver")
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@click.option("--all", "everything", is_flag=True, help="Every device of the driver.")
@click.option("--fault", default="", metavar="NAME", help="Only faults of this name.")
def clear(driver: str, devices: Sequence[str], everything: bool, fault: str, **place: Path | None) -> None:
    """Clear the faults of devices of DRIVER: they are well again, whatever their counters say now.

    An agent that runs takes it up with its next health round. A fault that is still there begins anew.
    """
    if everything == bool(devices):
        raise click.UsageError("give the devices to clear, or --all")
    (file,) = _files(_settings(**place), driver)
    try:
        cleared = clear_faults(file, devices, fault)
    except OSError as error:
        raise click.ClickException(f"{file.path} cannot be written: {describe(error)}; nothing was cleared") from None
    for ref, name in cleared:
        click.echo(f"cleared {name} of {ref}")
    if not cleared:
        click.echo(f"driver {driver} remembers no {'fault ' + repr(fault) if fault else 'faults'}; nothing to clear")


def _settings(config: Path | None, root: Path | None, directory: Path | None) -> Settings:
    given = overrides(root=root, kubelet_plugins_directory_path=directory)
    return parse_settings("", "the command line", {}, given) if directory else read_settings(config, overrides=given)


def _files(settings: Settings, driver: str | None) -> list[FaultFile]:
    """The files of the drivers, or that of one. Raises BadInput where there is no such driver."""
    plugins, boot_id = settings.kubelet_plugins_directory_path, read_boot_id(settings.root)
    if not plugins.is_dir():
        variable = VARIABLES["kubelet_plugins_directory_path"]
        raise ConfigError(
            f"the kubelet's directory {plugins} does not exist here; run this in the agent's pod on the node, or set "
            f"{variable}"
        )
    found = {path.parent.name: path for path in sorted(plugins.glob(f"*/{FILE_NAME}"))}
    if driver is not None:
        if driver not in {path.name for path in plugins.iterdir() if path.is_dir()}:
            known = ", ".join(found) or "none"
            raise BadInput(f"no driver {driver!r} has been served from {plugins}; those that remember faults: {known}")
        found = {driver: plugins / driver / FILE_NAME}
    return [FaultFile(path, name, boot_id) for name, path in found.items()]


def _plain(ref: DeviceRef, memory: Memory) -> dict[str, Any]:
    named = [(name, memory.faults[name]) for name in first_of(memory.faults)]
    faults = [
        {"name": name, "message": fault.message, "end": str(fault.end), "since": fault.since} for name, fault in named
    ]
    counted_from = {name: count for name, count in memory.baselines.items() if count is not None}
    return {
        "driver": ref.driver,
        "pool": ref.pool,
        "device": ref.name,
        "faults": faults,
        "baselines": counted_from,
    }


def _tables(found: Sequence[tuple[DeviceRef, Memory]]) -> Iterable[Any]:
    rows = []
    for ref, memory in found:
        for name in [*first_of(memory.faults), *sorted(memory.baselines.keys() - memory.faults.keys())]:
            fault, baseline = memory.faults.get(name), memory.baselines.get(name)
            told = (str(fault.end), fault.since, fault.message) if fault else ("-", "-", "cleared")
            rows.append((ref.driver, ref.pool, ref.name, name, "-" if baseline is None else baseline, *told))
    if rows:
        yield table(("DRIVER", "POOL", "DEVICE", "FAULT", "BASELINE", "ENDS", "SINCE", "MESSAGE"), rows)
    faulty = sum(bool(memory.faults) for _, memory in found)
    yield f"{counted(faulty, 'device')} with faults." if faulty else "No faults are remembered."
