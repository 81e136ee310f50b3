"""What a kubelet knows of devices' health, and the streams it knows it from."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from attrs import frozen

from drakit.model import DeviceRef, Health, HealthStatus
from drakit.testing.kubelet.connection import Connection, failure
from drakit.testing.kubelet.profile import KubeletProfile
from drakit.testing.kubelet.rules import CallFailed, Registration, RuleBroken, check_health

DEFAULT_TIMEOUT_SECONDS = 30
_STATUS = (HealthStatus.UNKNOWN, HealthStatus.HEALTHY, HealthStatus.UNHEALTHY)


@frozen
class _Entry:
    status: HealthStatus
    message: str
    good_until: float


class HealthRecord:
    """The last report on each device. Like a kubelet's, it ages by the time of receipt, not by the driver's clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[DeviceRef, _Entry] = {}
        self.messages: Counter[str] = Counter()
        """How many messages each driver has sent."""

    def take(self, driver: str, message: Any) -> None:
        """Take one message of a stream. Devices that are not in it keep their entries, and age."""
        now = self._clock()
        for device in message.devices:
            ref = DeviceRef(driver, device.device.pool_name, device.device.device_name)
            status = _STATUS[device.health] if 0 <= device.health < len(_STATUS) else HealthStatus.UNKNOWN
            good_for = device.health_check_timeout_seconds or DEFAULT_TIMEOUT_SECONDS
            self._entries[ref] = _Entry(status, device.message, now + good_for)
        self.messages[driver] += 1

    def clear(self, driver: str) -> None:
        """Forget the driver's devices, as kubelets up to 1.36 do when a stream ends."""
        self._entries = {ref: entry for ref, entry in self._entries.items() if ref.driver != driver}

    def of(self, device: DeviceRef) -> Health:
        """The device's health; unknown if there is no report, or none recent enough."""
        entry = self._entries.get(device)
        if entry is None or self._clock() > entry.good_until:
            return Health(device, HealthStatus.UNKNOWN)
        return Health(device, entry.status, entry.message)


class HealthStreams:
    """Follows the health streams of registered drivers, each in a thread, and keeps the record.

    Told of instances by the registry's thread alone; `record` and `problems` are guarded by `changed`.
    """

    def __init__(
        self,
        profile: KubeletProfile,
        record: HealthRecord,
        changed: threading.Condition,
        problems: list[str],
        reconnect_seconds: float,
    ) -> None:
        self._profile = profile
        self._record = record
        self._changed = changed
        self._problems = problems
        self._reconnect_seconds = reconnect_seconds
        self._streams: dict[Connection, _Stream] = {}

    def follow(self, driver: str, instances: Sequence[tuple[Registration, Connection]]) -> None:
        """These are the driver's instances now, the newest last: from 1.37 on, it alone is followed."""
        followed = instances[-1:] if self._profile.negotiates_health else instances
        for registration, connection in followed:
            service = self._profile.choose_health_service(registration.versions)
            if service is not None and connection not in self._streams:
                self._streams[connection] = _Stream(self, driver, connection, service, self._reconnect_seconds)
        wanted = {connection for _, connection in followed}
        for connection in [c for c, stream in self._streams.items() if stream.driver == driver and c not in wanted]:
            self._streams.pop(connection).close()

    def take(self, driver: str, message: Any) -> None:
        """A stream brought a message."""
        with self._changed:
            try:
                check_health(driver, message)
                self._record.take(driver, message)
            except RuleBroken as error:
                self._problems.append(str(error))
            self._changed.notify_all()

    def ended(self, driver: str, end: CallFailed) -> bool:
        """A stream ended; whether to open another one in a while."""
        missing = end.code == "UNIMPLEMENTED"
        with self._changed:
            if missing:
                self._problems.append(str(end))
            if not self._profile.negotiates_health:
                self._record.clear(driver)
            self._changed.notify_all()
        return not (missing and self._profile.negotiates_health)


class _Stream:
    """One health stream, opened again where it ends, in a thread of its own."""

    def __init__(
        self, owner: HealthStreams, driver: str, connection: Connection, service: str, reconnect_seconds: float
    ) -> None:
        self.driver = driver
        self._owner = owner
        self._connection = connection
        self._service = service
        self._reconnect_seconds = reconnect_seconds
        self._closed = threading.Event()
        self._call: Any = None
        self._thread = threading.Thread(target=self._run, name=f"health stream of {driver}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the stream and its thread."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            end = self._read()
            if self._closed.is_set() or not self._owner.ended(self.driver, end):
                return
            self._closed.wait(self._reconnect_seconds)

    def _read(self) -> CallFailed:
        """Read one stream to its end."""
        what = f"{self._service} at {self._connection.path}"
        try:
            self._call = self._connection.watch_health(self._service)
            if self._closed.is_set():
                self._call.cancel()
            for message in self._call:
                self._owner.take(self.driver, message)
        except (grpc.RpcError, ValueError) as error:
            return failure(what, error)
        return CallFailed(f"{what}: the driver ended the stream", "OK")
