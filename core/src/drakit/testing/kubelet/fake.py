"""FakeKubelet: finds drivers by their registration sockets, and calls them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drakit.model import ClaimRef, DeviceHandle, DeviceRef, Health
from drakit.testing.kubelet.claims import ClaimCache
from drakit.testing.kubelet.health import HealthRecord, HealthStreams
from drakit.testing.kubelet.instances import Instances
from drakit.testing.kubelet.podresources import PodResourcesServer
from drakit.testing.kubelet.profile import PROFILES, KubeletProfile
from drakit.testing.kubelet.registry import PluginRegistry
from drakit.testing.kubelet.rules import Prepared, Registration, read_prepared, read_unprepared

PREPARE_SECONDS = 45.0
"""How long a kubelet waits for Prepare and Unprepare."""
_LOOK_AGAIN_SECONDS = 0.02


class FakeKubelet:
    """A kubelet's dealings with DRA drivers, over real gRPC on real unix sockets.

        with FakeKubelet(registry_directory) as kubelet:
            kubelet.wait_for("gpu.example.com")
            answers = kubelet.prepare([claim], "gpu.example.com")

    It registers what appears in the directory, in a thread of its own, and follows health streams. Every method may
    be called from any thread and blocks until it is done; from a coroutine, call it by `asyncio.to_thread`. A driver
    that breaks a rule of the contract raises RuleBroken from the call that shows it; what goes wrong in the
    background is in `problems`. `profile` is a minor release, or habits of your own; `clock` ages the health.
    With a path for `pod_resources`, it says there which claims are in pods: those it prepared, and those it is told of.
    """

    def __init__(
        self,
        registry: Path,
        *,
        profile: KubeletProfile | str = "1.37",
        pod_resources: Path | None = None,
        retry_seconds: float = 0.5,
        health_reconnect_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.profile = PROFILES[profile] if isinstance(profile, str) else profile
        self.problems: list[str] = []
        """What went wrong in the background: failed registrations, bad health messages, missing services."""
        self._changed = threading.Condition(threading.RLock())
        self._health = HealthRecord(clock)
        streams = HealthStreams(self.profile, self._health, self._changed, self.problems, health_reconnect_seconds)
        self._instances = Instances(self.profile, streams, self._changed, self.problems)
        self._claims = ClaimCache(appends_on_repeat=self.profile.appends_on_repeat)
        self._pods = PodResourcesServer(pod_resources, self._in_pods) if pod_resources is not None else None
        self._registry = PluginRegistry(
            registry, self._instances, retries=self.profile.retries_registration, retry_seconds=retry_seconds
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start looking for drivers. Once."""
        if self._pods is not None:
            self._pods.start()
        self._registry.start()

    def close(self) -> None:
        """Drop all connections and stop. Drivers are not told, as they are not by a kubelet that ends."""
        self._registry.close()
        if self._pods is not None:
            self._pods.close()

    def restart(self) -> None:
        """Do as a kubelet that was restarted: drop all connections, then register what is still in the directory.

        Claims stay known, as by a kubelet's checkpoint. That a real one deletes the node's ResourceSlices as well is
        left to who has the API server.
        """
        self._registry.forget()

    @property
    def history(self) -> Sequence[Registration]:
        """Every registration that was made, in order."""
        return tuple(self._instances.history)

    def registered(self, driver: str) -> Sequence[Registration]:
        """The instances of a driver that are registered now, the newest last."""
        return self._instances.of(driver)

    def wait_for(self, driver: str, timeout: float = 10.0) -> Registration:
        """Wait until the driver is registered; returns its newest instance. Raises TimeoutError saying what went on."""
        self.wait_until(lambda: bool(self.registered(driver)), f"driver {driver} to register", timeout)
        return next(one for one in reversed(self.history) if one.driver == driver)

    def wait_until_gone(self, driver: str, timeout: float = 10.0) -> None:
        """Wait until no instance of the driver is registered. Raises TimeoutError."""
        self.wait_until(lambda: not self.registered(driver), f"driver {driver} to deregister", timeout)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
        """Wait for anything: what is read from this kubelet, or a file that is to appear. Raises TimeoutError.

        `condition` is asked at each change here, and often besides.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"waited {timeout} s for {what}; registered: {self._instances.drivers()}; "
                        f"problems: {self.problems or 'none'}"
                    )
                self._changed.wait(_LOOK_AGAIN_SECONDS)

    def refuse(self, driver: str, reason: str) -> None:
        """From now on, refuse to register the driver, for this reason."""
        with self._changed:
            self._instances.refused[driver] = reason

    def accept(self, driver: str) -> None:
        """Register the driver after all, at the next attempt."""
        with self._changed:
            self._instances.refused.pop(driver, None)

    def prepare(
        self, claims: Sequence[ClaimRef], driver: str, timeout: float = PREPARE_SECONDS
    ) -> Mapping[str, Prepared]:
        """Call NodePrepareResources; returns the answers by claim uid. Claims may be prepared already.

        Raises CallFailed where there is no answer in time, RuleBroken for one that no kubelet would take, or that
        differs from the one before.
        """
        answers = read_prepared(driver, claims, self._call(driver, "NodePrepareResources", claims, timeout))
        with self._changed:
            for claim in claims:
                self._claims.prepared(driver, claim, answers[claim.uid])
        return answers

    def unprepare(self, claims: Sequence[ClaimRef], driver: str, timeout: float = PREPARE_SECONDS) -> Mapping[str, str]:
        """Call NodeUnprepareResources; returns the errors by claim uid, "" for success. Raises as `prepare`."""
        errors = read_unprepared(driver, claims, self._call(driver, "NodeUnprepareResources", claims, timeout))
        with self._changed:
            for uid in [uid for uid, error in errors.items() if not error]:
                self._claims.unprepared(driver, uid)
        return errors

    def cdi_ids(self, uid: str, request: str | None = None) -> tuple[str, ...]:
        """What the container runtime is told for a claim: the CDI ids of all drivers, or those for one request.

        A kubelet that appends on repeat tells it of the devices of every answer so far.
        """
        with self._changed:
            return self._claims.cdi_ids(uid, request)

    def forget(self, uid: str) -> None:
        """Forget a claim, as a kubelet whose state was deleted: its next Prepare counts as the first."""
        with self._changed:
            self._claims.forget(uid)

    @property
    def pods(self) -> PodResourcesServer:
        """Its PodResources service, to be told of pods with claims that another driver prepared, or to fail."""
        if self._pods is None:
            raise LookupError("this kubelet was given no path for its PodResources socket")
        return self._pods

    def health(self, device: DeviceRef) -> Health:
        """What a pod's status would say of the device: unknown without a report, or when the last is too old."""
        with self._changed:
            return self._health.of(device)

    def health_messages(self, driver: str) -> int:
        """How many messages the driver's health streams have brought."""
        with self._changed:
            return self._health.messages[driver]

    def _in_pods(self) -> Sequence[tuple[ClaimRef, Sequence[DeviceHandle]]]:
        with self._changed:
            return self._claims.in_pods()

    def _call(self, driver: str, method: str, claims: Sequence[ClaimRef], timeout: float) -> Any:
        registration, connection = self._instances.choose(driver)
        return connection.call_claims(registration.service, method, claims, timeout)
