"""Feature gates of DRA that a release has off by default, and what they need beside them.

Read from `--help` of the components of 1.34.4, 1.35.4, 1.36.3 and 1.37.2, which agree with each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

_ALPHA = (
    "DRAConsumableCapacity",
    "DRADeviceBindingConditions",
    "DRADeviceTaints",
    "DRAExtendedResource",
    "DRAPartitionableDevices",
    "ResourceHealthStatus",
)
GATES: Mapping[tuple[int, int], tuple[str, ...]] = {
    (1, 34): _ALPHA,
    (1, 35): _ALPHA,
    (1, 36): ("DRAListTypeAttributes",),
    (1, 37): ("DRAListTypeAttributes",),
}
"""What is turned on to have every feature that drakit serves, by minor release."""
RULES = "resource.k8s.io/v1alpha3"
"""The API of taint rules, which 1.34 and 1.35 want to be served where taints are on."""


def gates_of(minor: tuple[int, int], without: Collection[str] = ()) -> dict[str, object]:
    """The flag for every component of a release: empty for a release that is not known yet."""
    gates = [gate for gate in GATES.get(minor, ()) if gate not in without]
    return {"feature_gates": ",".join(f"{gate}=true" for gate in gates)} if gates else {}


def apis_of(minor: tuple[int, int]) -> tuple[str, ...]:
    """The APIs that the API server has to serve for these gates, beside those it serves by default."""
    return (RULES,) if "DRADeviceTaints" in GATES.get(minor, ()) else ()
