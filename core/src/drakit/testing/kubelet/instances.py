"""The driver instances that a kubelet has registered."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from drakit.kubelet import is_alive
from drakit.testing.kubelet.connection import Connection
from drakit.testing.kubelet.health import HealthStreams
from drakit.testing.kubelet.profile import KubeletProfile
from drakit.testing.kubelet.registry import RegistrationRefused
from drakit.testing.kubelet.rules import CallFailed, Registration, RuleBroken, check_info


class Instances:
    """Decides which drivers are registered and holds a connection to each instance. Guarded by `changed`."""

    def __init__(
        self, profile: KubeletProfile, streams: HealthStreams, changed: threading.Condition, problems: list[str]
    ) -> None:
        self.history: list[Registration] = []
        self.refused: dict[str, str] = {}
        """Drivers that may not register, and why."""
        self._profile = profile
        self._streams = streams
        self._changed = changed
        self._problems = problems
        self._instances: list[tuple[Registration, Connection]] = []

    def of(self, driver: str) -> list[Registration]:
        """The driver's instances, the newest last."""
        with self._changed:
            return [registration for registration, _ in self._instances if registration.driver == driver]

    def drivers(self) -> list[str]:
        """The names of all registered drivers."""
        with self._changed:
            return sorted({registration.driver for registration, _ in self._instances})

    def choose(self, driver: str) -> tuple[Registration, Connection]:
        """The newest instance that accepts connections, or the newest of all. Raises CallFailed if there is none."""
        with self._changed:
            newest_first = [one for one in reversed(self._instances) if one[0].driver == driver]
        if not newest_first:
            raise CallFailed(f"DRA driver {driver} is not registered")
        return next((one for one in newest_first if is_alive(one[0].endpoint)), newest_first[0])

    def admit(self, info: Any, socket: Path) -> Registration:
        """As the registry asks: whether this may be registered."""
        check_info(info)
        service = self._profile.choose_dra_service(info.supported_versions)
        if service is None:
            raise RuleBroken(
                f"{info.name} supports {list(info.supported_versions)}, and the kubelet knows none but "
                f"{list(self._profile.dra_services)}"
            )
        endpoint = Path(info.endpoint or socket)
        with self._changed:
            if info.name in self.refused:
                raise RegistrationRefused(self.refused[info.name])
            if any(registration.endpoint == endpoint for registration in self.of(info.name)):
                raise RegistrationRefused(f"driver {info.name} is registered already with the endpoint {endpoint}")
        return Registration(info.name, endpoint, service, tuple(info.supported_versions), socket)

    def add(self, registration: Registration) -> None:
        """As the registry says: connect, and follow its health."""
        with self._changed:
            self._instances.append((registration, Connection(registration.endpoint)))
            self.history.append(registration)
            self._changed.notify_all()
        self._follow_health(registration.driver)

    def remove(self, registration: Registration) -> None:
        """As the registry says: close the connection; calls under way fail."""
        with self._changed:
            removed = [connection for known, connection in self._instances if known is registration]
            self._instances = [one for one in self._instances if one[0] is not registration]
            self._changed.notify_all()
        self._follow_health(registration.driver)
        for connection in removed:
            connection.close()

    def complain(self, problem: str) -> None:
        """As the registry says: remember what went wrong."""
        with self._changed:
            self._problems.append(problem)
            self._changed.notify_all()

    def _follow_health(self, driver: str) -> None:
        with self._changed:
            instances = [one for one in self._instances if one[0].driver == driver]
        self._streams.follow(driver, instances)
