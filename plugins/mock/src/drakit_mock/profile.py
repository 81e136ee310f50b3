"""Profiles: mock hardware, declared. What may stand in a profile's YAML, and where profiles are found.

Keys are camelCase in YAML. `template.py` says how entries are repeated and what placeholders mean.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from attrs import field, frozen
from drakit import (
    BindingConditions,
    Condition,
    HealthStatus,
    NodeSelectorRequirement,
    Quantity,
    RequestPolicy,
    Taint,
    read_document,
)
from drakit.errors import ConfigError

from drakit_mock.functions import FunctionMatch
from drakit_mock.template import Axis

API_VERSION = "mock.drakit/v1alpha1"
PROFILES = Path(__file__).parent / "profiles"
DEFAULT_PROFILE = "generic-gpu"


@frozen(kw_only=True)
class CounterSets:
    """Counters that devices of the pool share. `name` is a template."""

    name: str
    counters: Mapping[str, Quantity]
    count: int | None = None
    for_each: tuple[Axis, ...] = ()


@frozen(kw_only=True)
class Consumption:
    """What a device takes of one counter set. `counter_set` is a template."""

    counter_set: str
    counters: Mapping[str, Quantity]


@frozen(kw_only=True)
class Node:
    """A device node a container gets at `path`, a template.

    Without a `host_path` it is the machine's own /dev/null under another name, which every container runtime has.
    """

    path: str
    host_path: str | None = None
    permissions: str = "rw"


@frozen(kw_only=True)
class Container:
    """What a container gets with a device. Names and values of `env` are templates."""

    env: Mapping[str, str] = field(factory=dict)
    device_nodes: tuple[Node, ...] = ()


@frozen(kw_only=True)
class Network:
    """The network interface a device is to its pod. All strings are templates."""

    interface_name: str = ""
    ips: tuple[str, ...] = ()
    hardware_address: str = ""


@frozen(kw_only=True)
class Status:
    """What a claim says of a device that was prepared for it. The strings in `data` are templates."""

    data: Mapping[str, Any] = field(factory=dict)
    network: Network | None = None
    conditions: tuple[Condition, ...] = ()


@frozen(kw_only=True)
class DeviceSet:
    """Devices that are alike. `name`, and the strings among the attributes, are templates.

    `functions` makes a device of every PCI function of the node that matches, with the function's standard attributes.
    `share` makes several claims share a device: an empty mapping allows it, an entry is the request policy of a
    capacity. Without it a device is exclusive. `nodes` are the requirements on the nodes that can use a device, none
    meaning every node; where it is absent that is the agent's own node, and if one device of a profile has it all must.
    `admin` is what a container gets besides, where its claim has admin access. See `template.attribute_value` for how
    attributes are spelled.
    """

    name: str
    count: int | None = None
    for_each: tuple[Axis, ...] = ()
    functions: FunctionMatch | None = None
    attributes: Mapping[str, Any] = field(factory=dict)
    capacity: Mapping[str, Quantity] = field(factory=dict)
    share: Mapping[str, RequestPolicy] | None = None
    consumes: tuple[Consumption, ...] = ()
    taints: tuple[Taint, ...] = ()
    binding: BindingConditions | None = None
    nodes: tuple[NodeSelectorRequirement, ...] | None = None
    container: Container = field(factory=Container)
    admin: Container = field(factory=Container)
    status: Status | None = None

    def __attrs_post_init__(self) -> None:
        if self.functions is not None and (self.count is not None or self.for_each):
            raise ConfigError("has functions beside count or forEach; give one, functions says how many there are")


@frozen(kw_only=True)
class GroupSet:
    """Groups of devices that are stamped with one value of `attribute` each. Exactly one of three says who is in.

    `size`: this many of the profile's devices, in order. `members`: lists of their names. `by`: the devices of any
    driver that have one value of this attribute, where at least one of them is the profile's. `value` is a template
    over `{index}`, the number of the group, and with `by` over `{value}`.
    """

    attribute: str
    value: Any = "{index}"
    size: int | None = None
    members: tuple[tuple[str, ...], ...] | None = None
    by: str | None = None

    def __attrs_post_init__(self) -> None:
        if [self.size, self.members, self.by].count(None) != 2:
            raise ConfigError(f"group {self.attribute!r} must have exactly one of size, members and by")
        if self.size is not None and self.size < 1:
            raise ConfigError(f"group {self.attribute!r}: size must be at least 1, not {self.size}")
        if self.by is not None and "/" not in self.by:
            raise ConfigError(
                f"group {self.attribute!r}: by must name an attribute with its domain, such as example.com/rack, "
                f"to mean the same on every driver; not {self.by!r}"
            )


@frozen(kw_only=True)
class Report:
    """The health of one device: the status in its pods, and a taint that keeps new claims away."""

    status: HealthStatus
    message: str = ""
    taint: Taint | None = None


@frozen(kw_only=True)
class MockProfile:
    """One pool of mock devices, in the order they are published. `health` is by device name; others are healthy."""

    api_version: ClassVar[str] = API_VERSION
    kind: ClassVar[str] = "MockProfile"

    devices: tuple[DeviceSet, ...]
    counters: tuple[CounterSets, ...] = ()
    groups: tuple[GroupSet, ...] = ()
    health: Mapping[str, Report] = field(factory=dict)


def shipped_profiles() -> list[str]:
    """The names of the profiles that come with this distribution."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def locate_profile(profile: str) -> Path:
    """The file of a shipped profile's name, or of a path. Raises ConfigError for a name that is not shipped."""
    if "/" in profile or profile.endswith((".yaml", ".yml")):
        return Path(profile)
    names = shipped_profiles()
    if profile in names:
        return PROFILES / f"{profile}.yaml"
    close = difflib.get_close_matches(profile, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"no profile {profile!r}; {hint}shipped are {', '.join(names)}; or give the path of a YAML file")


def read_profile(path: Path) -> MockProfile:
    """Read a profile. Raises ConfigError with the file and the place."""
    return read_document(path, MockProfile, MockProfile.api_version, MockProfile.kind)
