"""Rules for what a plugin says of the hardware: devices, attributes, sharing, groups, health and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from drakit.documents import API_VERSION
from drakit.errors import DRAError, PluginError
from drakit.inventory import begin, finish, with_groups, with_shares
from drakit.model import ClaimRef, DescribedDevice, Device, DeviceRef, Pool
from drakit.slices import pool_slices
from drakit.testing.apiserver import InMemoryApiServer, Refusal
from drakit.testing.conformance.rules import Broken, NotTried, rules
from drakit.testing.conformance.subject import NODE, Session, Subject

RELEASES = (34, 37)
"""The minor releases whose API servers the slices are tried on: the oldest layout and the newest."""
_CLAIM = ClaimRef("verify", "conformance", "verify")
_STRANGER = DeviceRef("stranger.example.com", NODE, "stranger-0")


def discovery_answers(subject: Subject) -> None:
    """`discover` returns a sequence of pools, with names and values within the limits of the API.

    A pool that breaks a limit is not published at all; the node then has none of these devices.
    """
    _require_backend(subject)
    with subject.session() as session:
        session.discover()


def hardware_is_found(subject: Subject) -> None:
    """There is a device in the root that the plugin is tried on.

    Most of the other rules say nothing about a plugin without devices.
    """
    _require_backend(subject)
    if not any(pool.devices for pool in subject.pools):
        raise Broken(
            f"{subject.root} has no hardware: the plugin discovers no device there",
            "give --dra-root, or the class's lay_out, a tree with the hardware that the plugin looks for",
        )


def discovery_is_stable(subject: Subject) -> None:
    """The same hardware is discovered with the same names, values and order, by one instance and by the next.

    Claims are allocated by name, and the scheduler takes devices in their order; each difference is also a write to
    the API server, in every round and on every node.
    """
    expected = subject.pools
    with subject.session() as one, subject.session() as other:
        for who, found in (("the second time", (one.discover(), one.discover())[1]), ("anew", other.discover())):
            if found != expected:
                raise Broken(
                    f"asked {who}, discover answers differently: {difference(expected, found)}",
                    "sort what is read from directories, and keep what changes by itself out of attributes",
                )


def slices_are_accepted(subject: Subject) -> None:
    """The ResourceSlices of the pools are such as API servers of the oldest and the newest release accept.

    What the server refuses is not published, and the operator learns it from the agent's log alone.
    """
    _require_backend(subject)
    current = with_shares(begin(NODE, {subject.name: subject.pools}), subject.shares)
    pools = finish(current).pools.get(subject.name, ())
    for minor in RELEASES:
        with InMemoryApiServer(git_version=f"v1.{minor}.0") as server:
            for resolved in pools:
                try:
                    slices = pool_slices(resolved, NODE, split_counters=minor > 34)
                    for number, spec in enumerate(slices.specs):
                        server.create(
                            {
                                "apiVersion": API_VERSION,
                                "kind": "ResourceSlice",
                                "metadata": {"name": f"{resolved.name.replace('/', '-')}-{number}"},
                                "spec": spec | {"pool": spec["pool"] | {"generation": 1}},
                            }
                        )
                except (Refusal, DRAError) as error:
                    raise Broken(
                        f"an API server of 1.{minor} refuses pool {resolved.name!r}: {error}",
                        "publish what every supported release accepts",
                    ) from error


def attributes_are_legal(subject: Subject) -> None:
    """Attributes are within the limits, agree with what was discovered, and are prefixed on other drivers' devices.

    An attribute without a domain belongs to the device's driver: on a foreign device it would speak in its name.
    """
    subject.require("attributes")
    with subject.session() as session:
        session.attributes(_STRANGER, Device(name=_STRANGER.name, attributes={"model": "unknown"}))
        if subject.is_backend:
            described = subject.described(session)
            if described.problems:
                raise Broken(str(described.problems[0].error), "let discover and attributes say the same")


def share_policies_are_legal(subject: Subject) -> None:
    """`share` returns a SharePolicy whose amounts are within the device's capacity, or None, and always the same.

    A policy beyond the capacity is refused by the API server, and with it the whole slice.
    """
    subject.require("share")
    with subject.session() as session:
        for ref, device in subject.found.items():
            policy = session.share(device)
            if policy != session.share(device):
                raise Broken(f"share answers differently for {ref} when it is asked again", "let it follow the device")


def groups_are_consistent(subject: Subject) -> None:
    """Groups name known devices, give a device one value of an attribute, and are the same when asked again.

    A group is stamped on all its members or on none; half of one would place devices that do not belong together.
    """
    subject.require("devicegroups")
    with subject.session() as session:
        described = subject.described(session)
        groups = session.devicegroups(described)
        if list(session.devicegroups(described)) != list(groups):
            raise Broken("devicegroups answers differently when it is asked again", "sort what groups are made from")
    stamped = with_groups(described, {subject.loaded.name: groups})
    problems = stamped.problems[len(described.problems) :]
    if problems:
        raise Broken(str(problems[0].error), "let each device be in one group of an attribute")


def health_is_within_contract(subject: Subject) -> None:
    """`health` reports on devices that were discovered, on each once.

    The kubelet shows a report by its device; one on a device that does not exist is shown nowhere.
    """
    subject.require("health")
    known = subject.found
    with subject.session() as session:
        session.discover()
        reports = session.health()
    twice = [str(ref) for ref, times in Counter(report.device for report in reports).items() if times > 1]
    unknown = [str(report.device) for report in reports if report.device not in known]
    if unknown:
        raise Broken(
            f"health reports on {unknown[0]}, which discover does not return",
            "use the context's driver, the name of the device's pool and its own",
        )
    if twice:
        raise Broken(f"health reports on {twice[0]} twice", "report on a device once, with the worst there is")


def labels_are_declared_and_stable(subject: Subject) -> None:
    """`node_labels` names labels that the class declares, and the same ones when it is asked again.

    One that is not declared is written by nobody, and one that changes with each round is written with each round, by
    every node of the cluster.
    """
    subject.require("node_labels")
    with subject.session() as session:
        _discover(subject, session)
        labels = session.node_labels()
        if session.node_labels() != labels:
            raise Broken(
                "node_labels answers differently when it is asked again", "name what lasts as long as the node"
            )


def checks_are_findings(subject: Subject) -> None:
    """`check` returns a sequence of findings.

    What it returns else, an operator does not see.
    """
    subject.require("check")
    with subject.session() as session:
        _discover(subject, session)
        session.check()


def verifications_are_findings(subject: Subject) -> None:
    """`verify` returns a sequence of findings, for a container with none of the devices and for one with all of them.

    What it returns else, whoever runs the workload does not see; and a container with nothing of this hardware is the
    usual one.
    """
    subject.require("verify")
    with subject.session() as session:
        session.verify([])
    described = [
        DescribedDevice(device=ref, claim=_CLAIM, request="any", attributes=device.attributes)
        for ref, device in (subject.found.items() if subject.is_backend else ())
    ]
    with subject.session() as session:
        session.verify(described)


def difference(expected: Sequence[Pool], found: Sequence[Pool]) -> str:
    """The first difference between two discoveries, in words."""
    before, now = ([(pool.name, device) for pool in pools for device in pool.devices] for pools in (expected, found))
    for (_, one), (_, other) in zip(before, now, strict=False):
        if one.name != other.name:
            return f"{one.name!r} stood where {other.name!r} is now"
        if one != other:
            return f"{one.name!r} was {one}, and is {other}"
    if len(before) != len(now):
        return f"{len(before)} devices before, {len(now)} now"
    return "the pools themselves, or their counters, differ"


def _discover(subject: Subject, session: Session) -> None:
    """Have a backend discover, as it has been when it is asked for more. Raises NotTried where it cannot."""
    if not subject.is_backend:
        return
    try:
        session.discover()
    except PluginError as error:
        raise NotTried("discover fails, see discovery_answers") from error


def _require_backend(subject: Subject) -> None:
    if not subject.is_backend:
        raise NotTried("the plugin is an extension: it has no driver and no devices")


RULES = rules(
    "What is discovered",
    discovery_answers,
    hardware_is_found,
    discovery_is_stable,
    slices_are_accepted,
    attributes_are_legal,
    share_policies_are_legal,
    groups_are_consistent,
    health_is_within_contract,
    labels_are_declared_and_stable,
    checks_are_findings,
    verifications_are_findings,
)
