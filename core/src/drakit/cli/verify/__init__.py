"""`drakit verify`: inside a workload's container, whether it has what it was given, and can use it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from attrs import evolve

from drakit.cli import verdict
from drakit.cli.offline import verify_container
from drakit.cli.options import output_option
from drakit.cli.output import counted, line, pairs, table, write
from drakit.cli.verify.groups import of_groups
from drakit.context import check_root
from drakit.described import Descriptions, read_descriptions
from drakit.documents import attribute_to_api, network_to_api
from drakit.metadata import CONTAINER_ROOT
from drakit.model import DescribedDevice, Finding, Severity

_STANDARD = "resource.kubernetes.io/"
"""The domain of the attributes that are the same for all drivers: those that the table shows."""


@click.command()
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=Path("/"),
    metavar="DIR",
    help="Where the container's file system is: / by default.",
)
@output_option("table")
def verify(root: Path, output: str) -> None:
    """Say whether this container has the devices it was given and can use them, and if not, what to do.

    To be run inside a workload's container. Which devices it was given is read from files that are there if the node's
    agent has deviceMetadata set. Nothing is changed, and nobody is asked. Exit code 1: there is a finding, be it an
    error (a device cannot be used) or a warning.
    """
    check_root(root)
    described = read_descriptions(root)
    asked = verify_container(root, described.devices)
    found = [
        *_of_descriptions(described),
        *of_groups(described.devices),
        *(evolve(finding, what=f"{name}: {finding.what}") for name, finding in asked),
    ]
    document = {"devices": [_plain(device) for device in described.devices], "findings": verdict.plain(found)}
    write(output, document, lambda: _tables(described, found))
    verdict.conclude(found)


def _of_descriptions(described: Descriptions) -> Iterator[Finding]:
    what = "device metadata"
    if not described.files:
        yield Finding(
            Severity.WARNING,
            what,
            f"there is none below {CONTAINER_ROOT}: which devices this container was given is not known here, and only "
            "what it sees can be looked at; see that the container names its claims in resources.claims, and ask the "
            "operator of the node's agent to set deviceMetadata: true for the backend; then create the pod again",
        )
    yield from described.findings
    if described.devices:
        drivers = list(dict.fromkeys(device.device.driver for device in described.devices))
        yield Finding(Severity.OK, what, f"{counted(len(described.devices), 'device')} of {', '.join(drivers)}")


def _plain(device: DescribedDevice) -> dict[str, Any]:
    ref, claim = device.device, device.claim
    document: dict[str, Any] = {
        "claim": {"namespace": claim.namespace, "name": claim.name, "uid": claim.uid},
        "podClaimName": device.pod_claim_name,
        "request": device.request,
        "driver": ref.driver,
        "pool": ref.pool,
        "name": ref.name,
        "attributes": {name: attribute_to_api(value) for name, value in device.attributes.items()},
        "networkData": network_to_api(device.network),
    }
    return {key: value for key, value in document.items() if value or key == "attributes"}


def _tables(described: Descriptions, found: Sequence[Finding]) -> Iterable[Any]:
    if described.devices:
        yield line("Given:", "what the metadata files say that this container has")
        columns = ("CLAIM", "REQUEST", "DRIVER", "DEVICE", "ATTRIBUTES")
        yield table(columns, map(_row, described.devices))
    fit = "Fit to run." if described.files else "Fit to run, as far as can be seen:"
    yield from verdict.tables(found, fit, "Not fit to run:")


def _row(device: DescribedDevice) -> tuple[str, ...]:
    claim = f"{device.claim} ({device.pod_claim_name})" if device.pod_claim_name else str(device.claim)
    return claim, device.request, device.device.driver, device.device.name, pairs(_shown(device))


def _shown(device: DescribedDevice) -> Mapping[str, object]:
    """The few attributes that mean the same for every driver, and the network."""
    standard = {
        name.removeprefix(_STANDARD): value for name, value in device.attributes.items() if name.startswith(_STANDARD)
    }
    return standard | {key: value for key, value in network_to_api(device.network).items() if key != "ips"}
