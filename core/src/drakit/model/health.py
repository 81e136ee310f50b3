"""How devices are: what a backend's `health` reports, and what is wrong with them."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

from attrs import field, frozen
from attrs.validators import ge, instance_of, optional

from drakit.errors import LimitExceeded
from drakit.model.converters import frozen_mapping, frozen_tuple
from drakit.model.device import DeviceRef, Taint

MAX_HEALTH_MESSAGE = 1024
_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", re.ASCII)


def _cut(text: str) -> str:
    return str(text)[:MAX_HEALTH_MESSAGE]


def _check_name(_instance: object, _attribute: object, name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise LimitExceeded(
            "fault name", "must be 1 to 63 of a-z, 0-9, - and _, beginning and ending with neither", name
        )


class HealthStatus(enum.StrEnum):
    """The three states of the kubelet's health stream."""

    UNKNOWN = "Unknown"
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"


class FaultEnd(enum.StrEnum):
    """When a fault is over."""

    GONE = "gone"
    """As soon as it is no longer reported."""
    STEADY = "steady"
    """When it has not been reported for a time (`faultSteadySeconds`): what comes and goes must not flap."""
    CLEARED = "cleared"
    """When the report has another `epoch`, the node was rebooted, or an operator cleared it."""


@frozen
class Fault:
    """Something wrong with a device.

    `name` tells faults of a device apart and becomes the value of its taint. With a `count`, which only grows and
    begins again at 0 with an epoch, it is a fault where that is `threshold` or more above what it was when the fault
    was last cleared; without one it is a fault whenever it is reported.
    """

    name: str = field(validator=_check_name)
    message: str = field(converter=_cut)
    end: FaultEnd = field(default=FaultEnd.GONE, converter=FaultEnd, kw_only=True)
    count: int | None = field(default=None, validator=optional(ge(0)), kw_only=True)
    threshold: int = field(default=1, validator=ge(1), kw_only=True)


@frozen
class Health:
    """The health of one device: shown in the pod's status; `taint` keeps new claims away from it as well.

    A device with a fault is Unhealthy whatever `status` says, which then speaks of the device without its faults. They
    outlast the report, and the process, as their `end` says. `counters` are what the device has counted, by name, for
    the metrics: each only grows, or begins again. `epoch` is whatever differs once the device's kernel module was
    loaded anew, or the device was reset to be well again, as far as the backend can tell; "" where it cannot.
    """

    device: DeviceRef = field(validator=instance_of(DeviceRef))
    status: HealthStatus = field(converter=HealthStatus)
    message: str = field(default="", converter=_cut)
    taint: Taint | None = field(default=None, validator=optional(instance_of(Taint)))
    faults: tuple[Fault, ...] = field(default=(), converter=frozen_tuple, kw_only=True)
    counters: Mapping[str, int] = field(factory=dict, converter=frozen_mapping, kw_only=True)
    epoch: str = field(default="", kw_only=True)
