"""The demo on the screen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.syntax import Syntax
from rich.text import Text

from drakit.cli import FINDING
from drakit.cli.demo.run import perform
from drakit.cli.demo.scenarios import Scenarios
from drakit.cli.demo.steps import Allocated, LaidOut, Prepared, Published, Released, Started, Step, Submitted
from drakit.cli.inventory import columns_of, shown
from drakit.cli.output import counted, fitting, show, table
from drakit.documents import claim_ref, device_from_api
from drakit.errors import ConfigError, DRAError
from drakit.testing.scenarios import Scenario

MAX_COLUMNS = 5
_INDENT = 3


def show_one(scenario: Scenario, keep: Path | None) -> None:
    """Perform one scenario and show every step. Raises what `perform` raises."""
    begun = time.monotonic()
    agreements: list[str] = []
    with contextlib.closing(perform(scenario, keep)) as steps:  # whatever happens here, the stage is struck
        for number, step in enumerate(steps, start=1):
            if number == 1:  # now that the input has been found good
                show(Text(f"{scenario.title or scenario.name} ({scenario.name} on {scenario.node_type})", "bold"))
            title, *parts = render(step)
            show(Text(f"\n{number}. {title}", "bold cyan"))
            for part in parts:
                show(part, indent=_INDENT)
            if isinstance(step, Allocated):
                agreements += [f"{one.devices} devices share {one.attribute} = {one.value}" for one in step.agreements]
    seconds = time.monotonic() - begun
    show(Text("; ".join([f"\nAll as it must be, in {seconds:.1f} s", *agreements]), "bold green"))
    if keep is not None:
        show(Text(f"Left for a look: {keep}"))


def show_all(found: Scenarios, keep: Path | None) -> None:
    """Perform every scenario; one that fails does not keep the others from being shown."""
    if not found.loaded and not found.failed:
        raise ConfigError("no installed plugin offers a scenario; install one, such as drakit-mock")
    failures = dict(found.failed)
    for name, scenario in found.loaded.items():
        try:
            show_one(scenario, keep and keep / name)
        except DRAError as error:
            failures[name] = str(error)
        show("")
    total = len(found.loaded.keys() | found.failed.keys())
    show(Text(f"{total - len(failures)} of {total} scenarios went as they must", "bold"))
    for name, why in failures.items():
        click.echo(f"Error: scenario {name}: {why}", err=True)
    if failures:
        raise SystemExit(FINDING)


Lines = Iterator[RenderableType]


@singledispatch
def render(step: Step) -> Lines:
    """A step as it is shown: its title, then what it has to show."""
    raise TypeError(f"no such step: {step!r}")


@render.register
def _(step: LaidOut) -> Lines:
    yield f"A faked {step.layout.node_type}"
    yield Text(f"all files of this demo are in {step.layout.root.parent}, and named below as seen from there")
    yield Text(f"{step.layout.root.name}/ has what the plugins would read on the real machine")
    for plugin, functions in step.layout.functions.items():
        if functions:
            written = counted(len(functions), "PCI function")
            yield Text(f"by plugin {plugin}: {written} with their drivers, such as {functions[0].address}")


@render.register
def _(step: Started) -> Lines:
    yield "API server, kubelet and agent run; the kubelet has registered the drivers"
    yield Text(f"API server in memory: {step.url}")
    yield Text(f"DeviceClasses, from the plugins: {', '.join(step.classes)}")
    yield Text(f"one agent, configured by {step.settings.name}")
    rows = [(one.driver, one.service, ", ".join(one.versions)) for one in step.registrations]
    yield _table(("DRIVER", "CALLED BY", "OFFERED"), rows)
    for one in step.registrations:
        yield Text(f"socket {_seen_from(step.settings.parent, one.endpoint)}")


@render.register
def _(step: Published) -> Lines:
    yield "The drivers have published ResourceSlices; read back from the API server"
    for driver, documents in step.slices.items():
        devices = [device_from_api(entry)[0] for one in documents for entry in one["spec"].get("devices") or ()]
        slices = ", ".join(one["metadata"]["name"] for one in documents)
        yield Text(f"{driver}: {counted(len(devices), 'device')} in {slices}")
        wanted = [name for name in step.attributes if any(name in device.attributes for device in devices)]
        others = [name for name in columns_of(devices).names if name not in wanted]
        names = [*wanted, *others][:MAX_COLUMNS]
        columns = ("DEVICE", *(_short(name) for name in names))
        rows = [(device.name, *(shown(device.attributes.get(name)) for name in names)) for device in devices]
        if rows:
            count = fitting(columns, rows, _INDENT)
            yield _table(columns[:count], [row[:count] for row in rows])


@render.register
def _(step: Submitted) -> Lines:
    yield f"Submitted {step.path.name}; the claims are made from their templates"
    yield Syntax(step.text.strip(), "yaml", background_color="default", word_wrap=True)
    for claim in step.claims:
        yield Text(f"claim {claim_ref(claim)}")


@render.register
def _(step: Allocated) -> Lines:
    yield "Allocated as the scheduler would, and written to the claim's status"
    for claim in step.claims:
        yield Text(f"claim {claim_ref(claim)}")
        results = claim["status"]["allocation"]["devices"]["results"]
        yield _table(("REQUEST", "DRIVER", "DEVICES"), _grouped(results))
    for agreement in step.agreements:
        requests = " and ".join(agreement.requests)
        yield Text.assemble(
            f"all {agreement.devices} devices of {requests} have {agreement.attribute} = ",
            (agreement.value, "bold green"),
        )


def _grouped(results: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """One row for each request and driver."""
    rows: dict[tuple[str, str], list[str]] = {}
    for result in results:
        rows.setdefault((result["request"], result["driver"]), []).append(result["device"])
    return [(request, driver, "  ".join(devices)) for (request, driver), devices in rows.items()]


@render.register
def _(step: Prepared) -> Lines:
    yield f"The kubelet had {' and '.join(step.handles)} prepare the claim; what its containers get"
    ids = [(handle.request, "\n".join(handle.cdi_ids)) for own in step.handles.values() for handle in own]
    yield _table(("REQUEST", "CDI ID"), ids)
    yield Text("What the ids stand for is in")
    for path in step.files:
        yield Text(f"  {path.parent.name}/{path.name}")
    nodes = [
        (node["path"], _seen_from(step.directory, node.get("hostPath", node["path"])), node.get("permissions", ""))
        for node in step.edits.device_nodes
    ]
    if nodes:
        yield _table(("DEVICE NODE", "ON THE HOST", "PERMISSIONS"), nodes)
    if step.edits.env:
        yield _table(("ENVIRONMENT",), [(entry,) for entry in step.edits.env])


@render.register
def _(step: Released) -> Lines:
    yield "Released: the pod has ended, and nothing is left"
    yield Text(f"unprepared by {' and '.join(step.drivers)}; CDI directory empty, journals empty, claims deallocated")
    yield Text("the agent has stopped, and its sockets are gone")


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> RenderableType:
    return table(columns, rows, _INDENT)


def _seen_from(directory: Path, path: str | Path) -> str:
    """A path below the demo's directory by what follows that, any other as it is."""
    return str(Path(path).relative_to(directory)) if Path(path).is_relative_to(directory) else str(path)


def _short(name: str) -> str:
    return name.rpartition("/")[2]
