"""A driver that is known by its sockets alone."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
from attrs import define, field, frozen

from drakit.decoding import read_yaml
from drakit.errors import ConfigError
from drakit.kubelet.proto import pluginregistration_pb2
from drakit.model import ClaimRef
from drakit.testing.blackbox.claims import AllocatedClaim
from drakit.testing.conformance.rules import Broken, NotTried
from drakit.testing.kubelet.connection import Connection, failure
from drakit.testing.kubelet.registry import GET_INFO_SECONDS, NOTIFY_SECONDS
from drakit.testing.kubelet.rules import CallFailed

DRA_SERVICES = ("v1.DRAPlugin", "v1beta1.DRAPlugin")
HEALTH_SERVICES = ("v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth")
_LOOK_AGAIN_SECONDS = 0.1


@frozen
class Answer:
    """One device as a driver answered it; `share_id` is empty where the service has none."""

    requests: tuple[str, ...]
    pool: str
    device: str
    cdi_ids: tuple[str, ...]
    share_id: str = ""


Answers = Mapping[str, tuple[Answer, ...]]
"""By claim uid."""


@define(eq=False, kw_only=True)
class ForeignDriver:
    """A driver under examination. It is only called as a kubelet calls it.

    `registry` is the kubelet's plugin registry, `cdi` where runtimes look for CDI files, `claims` what is to be
    prepared, `seconds` how long a call may take. `restart` restarts the driver, and raises NotTried where it cannot.
    """

    name: str
    registry: Path
    cdi: Sequence[Path] = ()
    claims: Sequence[AllocatedClaim] = ()
    seconds: float = 45.0
    restart: Callable[[], None] | None = None
    prepared: Answers | None = field(default=None, init=False)
    """The answer to the first Prepare; None before it, and where it failed."""
    broken: set[str] = field(factory=set, init=False)
    """The names of the rules that were found broken so far."""

    @cached_property
    def registration(self) -> tuple[Path, Any]:
        """The registration socket and its PluginInfo. Raises NotTried where none answers for the driver."""
        try:
            return self.find()
        except Broken:
            raise NotTried("the driver was not found, see registration_answers") from None

    def needs(self, *names: str) -> None:
        """Raise NotTried where one of these rules is broken: the same fault would break another one by it."""
        for name in names:
            if name in self.broken:
                raise NotTried(f"it would fail by another rule, see {name}")

    def find(self) -> tuple[Path, Any]:
        """Look for the driver's registration socket. Raises Broken."""
        said = []
        for path in self._sockets():
            try:
                with Connection(path) as connection:
                    info = connection.call(
                        "Registration", "GetInfo", pluginregistration_pb2.InfoRequest(), GET_INFO_SECONDS
                    )
            except CallFailed as error:
                said.append(f"{path.name}: {error}")
                continue
            if info.name == self.name:
                return path, info
            said.append(f"{path.name} is of {info.name}")
        raise Broken(
            f"no socket in {self.registry} answers for {self.name} ({'; '.join(said) or 'there are none'})",
            "serve the Registration service on a socket there, and answer GetInfo within 1 s",
        )

    def notify(self) -> None:
        """Tell the driver that it is registered. Raises CallFailed."""
        status = pluginregistration_pb2.RegistrationStatus(plugin_registered=True)
        with Connection(self.registration[0]) as connection:
            connection.call("Registration", "NotifyRegistrationStatus", status, NOTIFY_SECONDS)

    @property
    def versions(self) -> tuple[str, ...]:
        """What the driver advertises."""
        return tuple(self.registration[1].supported_versions)

    @property
    def endpoint(self) -> Path:
        """Where the driver says it serves."""
        socket, info = self.registration
        return Path(info.endpoint or socket)

    @property
    def service(self) -> str:
        """The service a kubelet would use. Raises NotTried where there is none."""
        for name in self.versions:
            if name in DRA_SERVICES:
                return name
        raise NotTried("the driver advertises no service that kubelets know, see versions_are_known")

    def call(self, method: str, claims: Sequence[ClaimRef], service: str = "") -> Mapping[str, Any]:
        """Call Prepare or Unprepare; the answers by uid. Raises Broken where the call fails or misses a claim."""
        service = service or self.service
        try:
            with Connection(self.endpoint) as connection:
                answers: Mapping[str, Any] = connection.call_claims(service, method, claims, self.seconds).claims
        except CallFailed as error:
            raise Broken(
                str(error), "answer each claim by an entry of its own, with its error where it has one"
            ) from None
        wanted = {claim.uid for claim in claims}
        if wanted != set(answers):
            raise Broken(
                f"{method} of {service} was asked about {sorted(wanted)} and answered {sorted(answers)}",
                "answer with exactly one entry for each uid",
            )
        return answers

    def prepare(self, service: str = "") -> Answers:
        """Prepare all claims in one call. Raises Broken for an error."""
        answers = self.call("NodePrepareResources", self.refs, service)
        for ref in self.refs:
            if answers[ref.uid].error:
                raise Broken(f"claim {ref} is not prepared: {answers[ref.uid].error}", "see the driver's log")
        return {uid: tuple(_read(device) for device in answer.devices) for uid, answer in answers.items()}

    def unprepare(self, claims: Sequence[ClaimRef]) -> None:
        """Undo claims in one call. Raises Broken for an error."""
        for uid, answer in self.call("NodeUnprepareResources", claims).items():
            if answer.error:
                raise Broken(f"claim {uid} is not undone: {answer.error}", "let Unprepare succeed whatever came before")

    @property
    def refs(self) -> list[ClaimRef]:
        """The claims. Raises NotTried without any."""
        if not self.claims:
            raise NotTried("no claims were given (--claims)")
        return [claim.ref for claim in self.claims]

    def answers(self) -> Answers:
        """The answer to the first Prepare. Raises NotTried where there is none."""
        if not self.refs or self.prepared is None:
            raise NotTried("the claims could not be prepared, see claims_are_prepared")
        return self.prepared

    def restart_it(self) -> None:
        """Restart the driver, and wait until it answers again. Raises NotTried where nobody knows how."""
        if self.restart is None:
            raise NotTried("no command was given that restarts the driver (--restart-command)")
        self.restart()
        limit = time.monotonic() + self.seconds
        while True:
            try:
                self.registration = self.find()
            except Broken:
                if time.monotonic() > limit:
                    raise
                time.sleep(_LOOK_AGAIN_SECONDS)
            else:
                return

    def cdi_files(self) -> dict[Path, set[str]]:
        """Every CDI file that a runtime would read, and the devices in it."""
        paths = [path for directory in self.cdi for path in sorted(directory.glob("*"))]
        return {path: _devices(path) for path in paths if path.suffix in (".json", ".yaml") and path.is_file()}

    def cdi_devices(self) -> set[str]:
        """Every CDI device that a runtime would find."""
        return set[str]().union(*self.cdi_files().values())

    def first_health_message(self, service: str) -> Any:
        """Open a health stream and wait for what comes first. Raises Broken where nothing does."""
        end = "it ended"
        with Connection(self.endpoint) as connection:
            stream = connection.watch_health(service)
            bound = threading.Timer(self.seconds, stream.cancel)
            bound.start()
            try:
                for message in stream:
                    return message
            except grpc.RpcError as error:
                end = str(failure(service, error))
            finally:
                bound.cancel()
                stream.cancel()
        raise Broken(f"the health stream brought nothing: {end}", "send what there is at once, and again every 10 s")

    def _sockets(self) -> list[Path]:
        entries = [self.registry / name for name in sorted(os.listdir(self.registry)) if not name.startswith(".")]
        return [path for path in entries if stat.S_ISSOCK(path.stat().st_mode)]


def _read(device: Any) -> Answer:
    share_id = getattr(device, "share_id", "")  # v1beta1 has none
    return Answer(
        tuple(device.request_names), device.pool_name, device.device_name, tuple(device.cdi_device_ids), share_id
    )


def _devices(path: Path) -> set[str]:
    """The CDI devices of one file; none of a file that no runtime could read."""
    try:
        (spec,) = read_yaml(path)  # JSON is YAML
        return {f"{spec['kind']}={device['name']}" for device in spec["devices"]}
    except (ConfigError, ValueError, KeyError, TypeError):
        return set()
