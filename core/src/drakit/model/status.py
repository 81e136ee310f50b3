"""What a driver may tell of an allocated device in its claim: an entry of `status.devices` (KEP-4817).

Limits are those of `resource.k8s.io/v1` validation, and of conditions in general.
"""

from __future__ import annotations

import enum
import ipaddress
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import Attribute, evolve, field, frozen
from attrs.validators import deep_iterable, instance_of, optional

from drakit.errors import LimitExceeded
from drakit.model.converters import frozen_mapping, frozen_tuple
from drakit.model.names import check_count, check_label_key, valid

MAX_CONDITIONS = 8
MAX_DATA_BYTES = 10 * 1024
MAX_IPS = 16
MAX_INTERFACE_NAME_BYTES = 256
MAX_HARDWARE_ADDRESS_BYTES = 128
MAX_REASON = 1024
MAX_MESSAGE_BYTES = 32 * 1024

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)


class ConditionStatus(enum.StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


def _check_reason(where: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > MAX_REASON or not _REASON.fullmatch(value):
        raise LimitExceeded(where, f"must be one word of at most {MAX_REASON} letters and digits", value)


def _check_bytes(where: str, value: object, limit: int) -> None:
    if not isinstance(value, str) or len(value.encode()) > limit:
        raise LimitExceeded(where, f"must be a string of at most {limit} bytes", value)


def _check_message(where: str, value: object) -> None:
    _check_bytes(where, value, MAX_MESSAGE_BYTES)


@frozen
class Condition:
    """One condition of an allocated device. `type` is a name with an optional `domain/`, `reason` one word.

    `since` is when it became so, in UTC; by default the time at which this was made. It does not count for equality.
    """

    type: str = field(validator=valid(check_label_key))
    status: ConditionStatus = field(converter=ConditionStatus)
    reason: str = field(validator=valid(_check_reason))
    message: str = field(default="", validator=valid(_check_message))
    since: str = field(default="", eq=False)

    def __attrs_post_init__(self) -> None:
        # Not a default made on the spot: what equals its default is left out of the journal.
        if not self.since:
            object.__setattr__(self, "since", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        if not _TIME.fullmatch(self.since):
            raise LimitExceeded("Condition.since", "must be a time such as 2026-01-31T12:00:00Z", self.since)


def _canonical(text: str) -> str | None:
    """The address as the API wants it; none of another notation for IPv4, nor one that only means something here."""
    try:
        address = ipaddress.ip_interface(text)
    except (ValueError, TypeError):
        return None
    if isinstance(address, ipaddress.IPv6Interface) and (address.ipv4_mapped or address.scope_id):
        return None
    return address.with_prefixlen


def _check_ip(text: str) -> None:
    canonical = _canonical(text)
    if text != canonical:
        wanted = f", here {canonical}" if canonical else ""
        raise LimitExceeded("NetworkData.ips", f"must be an address with its prefix, spelled as usual{wanted}", text)


@frozen(kw_only=True)
class NetworkData:
    """The network interface that a device is to its pod. `ips` are addresses with their prefix: `192.0.2.5/24`."""

    interface_name: str = ""
    ips: tuple[str, ...] = field(default=(), converter=frozen_tuple)
    hardware_address: str = ""

    def __attrs_post_init__(self) -> None:
        _check_bytes("NetworkData.interface_name", self.interface_name, MAX_INTERFACE_NAME_BYTES)
        _check_bytes("NetworkData.hardware_address", self.hardware_address, MAX_HARDWARE_ADDRESS_BYTES)
        check_count("NetworkData.ips", self.ips, MAX_IPS)
        if len(set(self.ips)) != len(self.ips):
            raise LimitExceeded("NetworkData.ips", "must not name an address twice", self.ips)
        for text in self.ips:
            _check_ip(text)


def _json_object(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A copy of a JSON object, as it is once it was written and read again."""
    rule = "must be a JSON object"
    if not isinstance(value, Mapping):
        raise LimitExceeded("DeviceStatus.data", rule, value)
    try:
        text = json.dumps(dict(value), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise LimitExceeded("DeviceStatus.data", f"{rule} ({error})", value) from None
    if len(text) > MAX_DATA_BYTES:
        raise LimitExceeded("DeviceStatus.data", f"must be at most {MAX_DATA_BYTES} bytes of JSON", len(text))
    return frozen_mapping(json.loads(text))


@frozen(kw_only=True)
class DeviceStatus:
    """What the claim is to say of one allocated device, for whoever reads its `status.devices`.

    `data` is a JSON object of the driver's own making. `network` is given to containers too, in the device's metadata
    file, where the driver has those.
    """

    data: Mapping[str, Any] = field(factory=dict, converter=_json_object)
    conditions: tuple[Condition, ...] = field(
        default=(), converter=frozen_tuple, validator=deep_iterable(instance_of(Condition))
    )
    network: NetworkData | None = field(default=None, validator=optional(instance_of(NetworkData)))

    @conditions.validator
    def _each_once(self, _attribute: Attribute[tuple[Condition, ...]], value: tuple[Condition, ...]) -> None:
        check_count("DeviceStatus.conditions", value, MAX_CONDITIONS)
        types = [condition.type for condition in value]
        if len(set(types)) != len(types):
            raise LimitExceeded("DeviceStatus.conditions", "must have each type once", types)

    def since(self, before: DeviceStatus) -> DeviceStatus:
        """The same, each condition whose status is as `before` with the time since when it is so."""
        times = {(condition.type, condition.status): condition.since for condition in before.conditions}
        known = [
            evolve(condition, since=times.get((condition.type, condition.status), condition.since))
            for condition in self.conditions
        ]
        return evolve(self, conditions=known)
