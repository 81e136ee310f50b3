"""The rules a kubelet holds a driver to, and what it learns from answers that keep them.

Source: the kubelet's DRA manager and plugin registration, Kubernetes 1.34 to 1.37.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from drakit.errors import DRAError, LimitExceeded
from drakit.kubelet import PLUGIN_TYPE
from drakit.model import ClaimRef, DeviceHandle, DeviceRef
from drakit.model.names import check_driver_name

MAX_HEALTH_MESSAGE = 1024

CDI_ID = re.compile(
    r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?"
    r"/[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?"
    r"=[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?",
    re.ASCII,
)


class RuleBroken(AssertionError):
    """The driver broke a rule of the kubelet's contract; the message says which, and how."""


class CallFailed(Exception):
    """A call did not end in an answer: no such driver, or a gRPC status, whose name is `code`."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(f"{message} ({code})" if code else message)
        self.code = code


@frozen
class Registration:
    """One registered instance of a driver. `service` is the DRA service that was negotiated."""

    driver: str
    endpoint: Path
    service: str
    versions: tuple[str, ...]
    socket: Path
    """The registration socket it was found at."""


@frozen
class Prepared:
    """A driver's answer for one claim: its devices, or an error."""

    devices: tuple[DeviceHandle, ...] = ()
    error: str = ""


def check_info(info: Any) -> None:
    """Raise RuleBroken unless a PluginInfo can be registered."""
    if info.type != PLUGIN_TYPE:
        raise RuleBroken(f"a DRA driver registers with the type {PLUGIN_TYPE!r}, not {info.type!r}")
    try:
        check_driver_name("the driver's name", info.name)
    except LimitExceeded as error:
        raise RuleBroken(str(error)) from error
    if info.endpoint and not os.path.isabs(info.endpoint):
        raise RuleBroken(
            f"the endpoint of {info.name} must be an absolute path without a scheme, not {info.endpoint!r}"
        )


def read_prepared(driver: str, claims: Sequence[ClaimRef], response: Any) -> Mapping[str, Prepared]:
    """The answers by claim uid. Raises RuleBroken for an answer that a kubelet would not take."""
    _check_uids("NodePrepareResources", driver, claims, response.claims)
    return {uid: _read_claim(driver, uid, answer) for uid, answer in response.claims.items()}


def read_unprepared(driver: str, claims: Sequence[ClaimRef], response: Any) -> Mapping[str, str]:
    """The errors by claim uid, "" for success. Raises RuleBroken where a claim has no answer."""
    _check_uids("NodeUnprepareResources", driver, claims, response.claims)
    return {uid: answer.error for uid, answer in response.claims.items()}


def check_repeat(driver: str, uid: str, before: Prepared, now: Prepared) -> None:
    """Raise RuleBroken unless a repeated Prepare gives the same devices, with the same CDI ids, in the same order."""
    if before.devices != now.devices:
        raise RuleBroken(
            f"{driver} answered a repeated Prepare of claim {uid} differently: "
            f"first {before.devices}, now {now.devices}"
        )


def check_health(driver: str, message: Any) -> None:
    """Raise RuleBroken for a health message that a kubelet would not take as it is."""
    for device in message.devices:
        name = f"{device.device.pool_name}/{device.device.device_name}"
        if not device.device.pool_name or not device.device.device_name:
            raise RuleBroken(f"{driver} reports the health of a device without a pool or a name: {name!r}")
        if len(device.message.encode()) > MAX_HEALTH_MESSAGE:
            raise RuleBroken(f"{driver} reports on {name} with a message over {MAX_HEALTH_MESSAGE} bytes")
        if device.health_check_timeout_seconds < 0:
            raise RuleBroken(f"{driver} reports on {name} with a negative health_check_timeout_seconds")


def _check_uids(call: str, driver: str, claims: Sequence[ClaimRef], answers: Mapping[str, Any]) -> None:
    asked, answered = {claim.uid for claim in claims}, set(answers)
    if asked - answered:
        raise RuleBroken(f"{call}: {driver} skipped {len(asked - answered)} ResourceClaims: {sorted(asked - answered)}")
    if answered - asked:
        raise RuleBroken(f"{call}: {driver} answered for claims it was not asked about: {sorted(answered - asked)}")


def _read_claim(driver: str, uid: str, answer: Any) -> Prepared:
    if answer.error:
        return Prepared(error=answer.error)
    handles = [handle for device in answer.devices for handle in _read_device(driver, uid, device)]
    return Prepared(tuple(handles))


def _read_device(driver: str, uid: str, device: Any) -> list[DeviceHandle]:
    """One handle for each request that the device is for."""
    where = f"{driver}, claim {uid}, device {device.pool_name}/{device.device_name}"
    try:
        ref = DeviceRef(driver, device.pool_name, device.device_name)
    except DRAError as error:
        raise RuleBroken(f"{where}: {error}") from error
    for request in device.request_names:
        if not request or "/" in request:
            raise RuleBroken(f"{where}: request names are base names, not {request!r}")
    for cdi_id in device.cdi_device_ids:
        if not CDI_ID.fullmatch(cdi_id):
            raise RuleBroken(f"{where}: {cdi_id!r} is not a CDI device id (vendor/class=name)")
    share_id = getattr(device, "share_id", "") or None  # v1beta1 has none
    requests = list(device.request_names) or [""]  # none stands for all requests of the claim
    return [DeviceHandle(request, ref, tuple(device.cdi_device_ids), share_id) for request in requests]
