"""What decides an allocation in a version of Kubernetes: features, which of upstream's allocators runs, and its bugs.

Upstream keeps three allocators and runs the most stable one that has every enabled feature. Sources: the feature gates
of kubernetes 1.37.2, and `structured/` of dynamic-resource-allocation 0.34.0 to 0.34.9, 0.35.0 to 0.35.6,
0.36.0 to 0.36.3 and 0.37.2.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Mapping

import attrs
from attrs import evolve, frozen

from drakit.errors import ConfigError


@frozen(kw_only=True)
class Features:
    """What a scheduler knows: each is what upstream's allocators call a feature."""

    admin_access: bool = True
    prioritized_list: bool = True
    partitionable: bool = False
    taints: bool = False
    binding: bool = False
    consumable: bool = False
    fractional: bool = False
    lists: bool = False

    @classmethod
    def every(cls) -> Features:
        """All of them, as on a cluster where gates that are off by default are on: list attributes are one so far."""
        return cls(**dict.fromkeys(attrs.fields_dict(cls), True))

    def within(self, supported: Features) -> bool:
        """Whether an allocator that supports those has all of these."""
        ours, theirs = attrs.asdict(self), attrs.asdict(supported)
        return all(theirs[name] or not wanted for name, wanted in ours.items())


class AllocatorKind(enum.StrEnum):
    """Upstream's allocators. STABLE tries the devices of one request in permutations, the others in combinations."""

    STABLE = "stable"
    INCUBATING = "incubating"
    EXPERIMENTAL = "experimental"


class Bug(enum.Enum):
    """A wrong answer of upstream's allocators, as its threads have it."""

    REFUSED_KEEP_COUNTERS = "B1, B2: a device that a taint or constraint refuses keeps its counters (#140436)"
    POOLS_SHARE_COUNTERS = "B3: pools of one name, of different drivers, share their counters (#140434)"
    LAST_DISTINCT_ONLY = "B4: distinctAttribute knows only the last value of each request (#140438)"
    LISTS_STAY_NARROWED = "B5: a matchAttribute over lists stays narrowed when the search turns back (#140300)"
    SHARED_KEEP_COUNTERS = "B6: a shared device keeps its counters when the search turns back (#140436)"
    REFUSED_KEEP_CONSTRAINTS = "a shared device that lacks capacity for All stays in its constraints (with B2)"
    LATER_ALTERNATIVES_FOR_ALL = "a later alternative for all devices is mixed up with the first (#137347)"
    ALL_WITH_COUNTERS_CRASHES = "a request for all devices that draw counters crashes the scheduler (#138882)"
    HELD_SHARES_UNCOUNTED = "the counters of shared devices that are held count as free"
    SHARES_COUNT_AGAIN = "each share of a device takes its counters again"
    CAPACITY_OF_ANOTHER = "the capacity of another device of the slice decides too (#133705)"
    DISTINCT_BY_DEVICE = "distinctAttribute takes equal values of different devices for distinct"


_EVERY_PATCH = sys.maxsize
_BEFORE_1_36 = {"1.34": _EVERY_PATCH, "1.35": _EVERY_PATCH}
_BUGS: Mapping[Bug, Mapping[str, int]] = {
    Bug.REFUSED_KEEP_COUNTERS: _BEFORE_1_36 | {"1.36": 3},
    Bug.POOLS_SHARE_COUNTERS: {"1.35": _EVERY_PATCH, "1.36": _EVERY_PATCH},
    Bug.LAST_DISTINCT_ONLY: _BEFORE_1_36 | {"1.36": _EVERY_PATCH},
    Bug.LISTS_STAY_NARROWED: {"1.36": _EVERY_PATCH},
    Bug.SHARED_KEEP_COUNTERS: _BEFORE_1_36 | {"1.36": 3},
    Bug.REFUSED_KEEP_CONSTRAINTS: _BEFORE_1_36 | {"1.36": 3},
    Bug.LATER_ALTERNATIVES_FOR_ALL: _BEFORE_1_36,
    Bug.ALL_WITH_COUNTERS_CRASHES: {"1.35": 6, "1.36": 2},
    Bug.HELD_SHARES_UNCOUNTED: _BEFORE_1_36 | {"1.36": 2},
    Bug.SHARES_COUNT_AGAIN: {"1.34": _EVERY_PATCH},
    Bug.CAPACITY_OF_ANOTHER: {"1.34": _EVERY_PATCH},
    Bug.DISTINCT_BY_DEVICE: {"1.34": _EVERY_PATCH},
}
"""By minor release, the first patch without each bug."""


@frozen(kw_only=True, cache_hash=True)
class KubeProfile:
    """How one version allocates. `version` is the minor release, such as `1.36`.

    `ordered`: pools are tried by driver and name, slices by name; otherwise pools come in random order, slices as they
    are listed, and an answer is one of several. `combinations`: a device of a request comes after the one before it.
    `all_by_size`: All leaves out devices that are too small, not those that are too full. `empties_requests`: the
    configuration that is for every request is written as being for all. `counters_reach`: a slice with counter sets
    counts for every node, whatever nodes it is for. `binding_last`: devices with binding conditions come after others.
    `pools_by_slice`: a pool is what the slices for a node say of it, each with counters of its own; devices of an
    incomplete one are given out, except to a request for all, and to come to an invalid one is an error.
    `results_tolerate`: results say what taints their request tolerates.
    `lists_fail`: a selector fails on a device that has a list.
    `cel_without`: what its selectors lack.
    """

    version: str
    allocator: AllocatorKind
    features: Features
    bugs: frozenset[Bug] = frozenset()
    ordered: bool = True
    combinations: bool = True
    all_by_size: bool = True
    empties_requests: bool = True
    counters_reach: bool = False
    binding_last: bool = True
    pools_by_slice: bool = False
    results_tolerate: bool = True
    lists_fail: bool = False
    cel_without: frozenset[str] = frozenset()

    def fixed(self) -> KubeProfile:
        """The same version without its known bugs."""
        return evolve(self, bugs=frozenset())


_BETA = Features()
_CONSUMABLE = Features(partitionable=True, taints=True, binding=True, consumable=True)
_FRACTIONAL = evolve(_CONSUMABLE, fractional=True)
_GATES = {"1.34": _BETA, "1.35": _BETA, "1.36": _CONSUMABLE, "1.37": _FRACTIONAL}
"""The features that are on by default. The fields a gate of 1.34 and 1.35 governs are dropped by its API server."""

_NONE = Features(admin_access=False, prioritized_list=False)
_PARTITIONS = Features(partitionable=True, taints=True)
_SUPPORTED: dict[str, dict[AllocatorKind, Features]] = {
    version: {
        AllocatorKind.STABLE: _NONE if version < "1.36" else _PARTITIONS,
        AllocatorKind.INCUBATING: _PARTITIONS if version < "1.36" else _GATES[version],
        AllocatorKind.EXPERIMENTAL: evolve(_GATES[version], lists=True) if version >= "1.36" else _CONSUMABLE,
    }
    for version in _GATES
}

NEWEST = max(_GATES)
VERSIONS = tuple(_GATES)
"""The versions there are profiles of."""


def kube_profile(
    version: str = NEWEST,
    *,
    bugs: str = "as-is",
    features: Features | None = None,
    allocator: AllocatorKind | None = None,
) -> KubeProfile:
    """The profile of a version: `1.36`, `v1.36.2` or `newest`, its bugs `as-is` or `fixed`.

    A minor release alone stands for its first patches: later ones have fewer bugs.
    `features` are those of its gates by default, and `allocator` is the one it would choose for them. A server drops
    what a gate that is off governs, so slices of a cluster that hold list attributes tell that `lists` is on. The
    scheduler of 1.36 lets selectors look into lists then, but never tells its allocator: constraints know no lists
    there, unless an `allocator` that has them is asked for. Raises ConfigError for a version or a choice there is none
    of.
    """
    minor, patch = _parsed(version)
    if bugs not in ("as-is", "fixed"):
        raise ConfigError(f"bugs must be 'as-is' or 'fixed', not {bugs!r}")
    wanted = features or _GATES[minor]
    selected = wanted.lists
    if allocator is None and minor == "1.36":
        wanted = evolve(wanted, lists=False)
    kind = allocator or _chosen(minor, wanted)
    combining = minor >= "1.36" and kind is not AllocatorKind.STABLE
    found = KubeProfile(
        version=minor,
        allocator=kind,
        features=wanted,
        bugs=_bugs(minor, patch),
        ordered=combining,
        combinations=combining,
        all_by_size=minor > "1.36",
        empties_requests=minor > "1.36",
        counters_reach=minor <= "1.36" or kind is AllocatorKind.STABLE,
        binding_last=minor >= "1.36" or kind is AllocatorKind.EXPERIMENTAL,
        pools_by_slice=minor < "1.35",
        results_tolerate=minor > "1.34",
        lists_fail=minor <= "1.36" and not selected,
        cel_without=frozenset({"includes"}) if minor < "1.36" else frozenset(),
    )
    return found.fixed() if bugs == "fixed" else found


def _bugs(minor: str, patch: int) -> frozenset[Bug]:
    return frozenset(bug for bug, mended in _BUGS.items() if patch < mended.get(minor, 0))


def _parsed(version: str) -> tuple[str, int]:
    """The minor release and the patch, 0 if there is none."""
    match = re.fullmatch(r"v?(1\.\d+)(?:\.(\d+))?(?:[-+].*)?", NEWEST if version == "newest" else version)
    if match is None or match[1] not in _GATES:
        raise ConfigError(f"no profile of Kubernetes {version!r}; there are {', '.join(VERSIONS)} and newest")
    return match[1], int(match[2] or 0)


def _chosen(version: str, features: Features) -> AllocatorKind:
    supported: Mapping[AllocatorKind, Features] = _SUPPORTED[version]
    for kind, known in supported.items():
        if features.within(known):
            return kind
    raise ConfigError(f"no allocator of Kubernetes {version} has these features together: {features}")
