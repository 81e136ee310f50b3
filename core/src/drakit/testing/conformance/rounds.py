"""Full rounds: the real agent as a process, between an API server in memory and a kubelet, over real sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import yaml
from attrs import evolve

from drakit.documents import claim_ref
from drakit.journal import FILE_NAME, Journal
from drakit.loading import GROUP
from drakit.model import ClaimAllocation, ClaimRef, DeviceHandle
from drakit.plan import NodePool, NodeView, read_slices
from drakit.settings import API_VERSION, KIND
from drakit.testing.apiserver import InMemoryApiServer
from drakit.testing.conformance import allocating
from drakit.testing.conformance.location import Unlocatable, location_of
from drakit.testing.conformance.rules import Broken, NotTried, rules
from drakit.testing.conformance.subject import NODE, Subject
from drakit.testing.kubelet import PROFILES, FakeKubelet
from drakit.testing.runtime import Unresolvable, container_edits

_PLUGIN = "under-conformance"
_BOUND_SECONDS = 60.0
_BOOT_ID = "proc/sys/kernel/random/boot_id"
_SHIM = """
from drakit.testing.conformance.location import locate

Plugin = locate(*{location!r})
"""

Answers = Mapping[str, Sequence[DeviceHandle]]
"""By claim uid."""


class Machine:
    """A node of its own with the agent on it, which can be killed and started anew. A context manager."""

    def __init__(self, subject: Subject, service: str) -> None:
        self._subject = subject
        self._profile = evolve(PROFILES["1.37"], dra_services=(service,))
        self._exit = contextlib.ExitStack()
        self._agent: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            # Short, for sockets are in it, and their paths have 107 bytes.
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="dk-", ignore_cleanup_errors=True))
            self._lay_out(Path(place))
            if self._subject.root != Path("/") and not (self._subject.root / _BOOT_ID).exists():
                self._new_boot()
            self.server = stack.enter_context(InMemoryApiServer())
            self.server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {}}})
            self.kubelet = stack.enter_context(
                FakeKubelet(self._registry, profile=self._profile, retry_seconds=0.05, pod_resources=self._pods)
            )
            stack.callback(self.kill)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def start(self) -> None:
        """Start the agent and wait until the kubelet has registered it. Raises Broken where it ends instead."""
        before = len(self.kubelet.history)
        config = self._directory / "agent.yaml"
        config.write_text(yaml.safe_dump(self._settings()))
        command = "import sys; from drakit.cli import main; sys.argv[0] = 'drakit'; main()"
        path = os.pathsep.join([str(self._directory), *filter(None, sys.path)])
        with self._log.open("ab") as log:
            self._agent = subprocess.Popen(  # noqa: S603 - this interpreter, and drakit
                [sys.executable, "-P", "-c", command, "agent", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_environment(), "PYTHONPATH": path},
            )
        agent = self._agent
        try:
            self.kubelet.wait_until(
                lambda: len(self.kubelet.history) > before or agent.poll() is not None,
                "the driver to register",
                _BOUND_SECONDS,
            )
        except TimeoutError as error:
            raise Broken(f"{error}; {self._told()}", "see the agent's log") from None
        if agent.poll() is not None:
            raise Broken(f"the agent ended with code {agent.returncode}; {self._told()}", "see the agent's log")

    def kill(self) -> None:
        """SIGKILL, as by a crash or a lack of memory; nothing where no agent runs."""
        if self._agent is not None:
            self._agent.kill()
            self._agent.wait()
            self._agent = None

    def stop(self) -> None:
        """SIGTERM, and wait for the drain. Raises Broken where it does not end well."""
        assert self._agent is not None
        self._agent.send_signal(signal.SIGTERM)
        code = self._agent.wait(_BOUND_SECONDS)
        if code != 0:
            raise Broken(f"the agent ended with code {code}; {self._told()}", "see the agent's log")
        self._agent = None

    def reboot(self) -> None:
        """What a reboot does to a node whose agent is not running: another boot id, and an empty CDI directory."""
        self._new_boot()
        for path in self.cdi.iterdir():
            path.unlink()

    def create(self, claim: ClaimAllocation) -> ClaimRef:
        """Have the claim on the API server, allocated, and a pod that has it in a container of its own."""
        ref = claim_ref(self.server.create(allocating.claim_document(claim)))
        self.kubelet.pods.put_in(f"pod-of-{ref.name}", [ref])
        return ref

    def prepare(self, refs: Sequence[ClaimRef]) -> Answers:
        """Prepare claims in one call. Raises Broken for an error and for CDI ids that no runtime finds."""
        answers = self.kubelet.prepare(refs, self._subject.name)
        for ref in refs:
            if answers[ref.uid].error:
                raise Broken(
                    f"claim {ref} is not prepared: {answers[ref.uid].error}; {self._told()}", "see the agent's log"
                )
            ids = [name for handle in answers[ref.uid].devices for name in handle.cdi_ids]
            try:
                container_edits(self.cdi, ids)
            except Unresolvable as error:
                raise Broken(f"claim {ref}: {error}", "give edits that CDI can hold") from error
        return {uid: answer.devices for uid, answer in answers.items()}

    def unprepare(self, refs: Sequence[ClaimRef]) -> None:
        """Undo claims in one call. Raises Broken for an error."""
        for uid, error in self.kubelet.unprepare(refs, self._subject.name).items():
            if error:
                raise Broken(f"claim {uid} is not undone: {error}; {self._told()}", "see the agent's log")

    def leftovers(self) -> list[str]:
        """What is left of claims: files in the CDI directory, and claims in the journal."""
        left = [path.name for path in self.cdi.iterdir()]
        journal = Journal(self._plugins / self._subject.name / FILE_NAME)
        try:
            with journal.locked():
                return left + [f"journalled claim {entry.claim}" for entry in journal.entries.values()]
        finally:
            journal.close()

    def _lay_out(self, directory: Path) -> None:
        self._directory = directory
        self.cdi, self._registry, self._plugins = (directory / name for name in ("cdi", "reg", "plugins"))
        for path in (self.cdi, self._registry, self._plugins):
            path.mkdir()
        self._pods = directory / "pods.sock"
        self._log = directory / "agent.log"
        info = directory / "conformance-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: conformance\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{_PLUGIN} = drakit_under_conformance:Plugin\n")
        try:
            location = location_of(self._subject.plugin)
        except Unlocatable as error:
            raise NotTried(str(error)) from None
        (directory / "drakit_under_conformance.py").write_text(_SHIM.format(location=location))

    def _new_boot(self) -> None:
        path = self._subject.root / _BOOT_ID
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{uuid.uuid4()}\n")

    def _settings(self) -> Mapping[str, object]:
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "nodeName": NODE,
            "apiServer": self.server.url,
            "root": str(self._subject.root),
            "cdiRoot": str(self.cdi),
            "kubeletRegistrarDirectoryPath": str(self._registry),
            "kubeletPluginsDirectoryPath": str(self._plugins),
            "kubeletPodResourcesSocket": str(self._pods),
            "backends": [{"plugin": _PLUGIN, "driver": self._subject.name, "options": dict(self._subject.options)}],
        }

    def _told(self) -> str:
        """The last lines of the agent's log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "its log ends:\n" + "\n".join(lines[-8:]) if lines else "its log is empty"


def _environment() -> dict[str, str]:
    """Ours, without what would reach the agent's settings."""
    foreign = ("DRAKIT_", "KUBE", "NODE_NAME", "POD_UID", "CDI_ROOT", "HEALTHCHECK_PORT", "METRICS_PORT")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


@contextlib.contextmanager
def _step(service: str, what: str) -> Iterator[None]:
    """Say at which step of the round something broke."""
    try:
        yield
    except Broken as error:
        raise Broken(f"over {service}, {what}: {error.found}", error.remedy) from error.__cause__
    except (AssertionError, TimeoutError, subprocess.TimeoutExpired) as error:
        raise Broken(f"over {service}, {what}: {error}", "see the agent's log") from error


def a_full_round_over_v1(subject: Subject) -> None:
    """Over DRA v1: published, prepared, repeated, killed, rebooted, and undone, with the same answers throughout.

    It is what befalls a node in its life. A pod survives it if the answers stay what they were and CDI files come back.
    """
    _round(subject, "v1.DRAPlugin")


def a_full_round_over_v1beta1(subject: Subject) -> None:
    """Over DRA v1beta1: the same round, as a kubelet has it that speaks no v1.

    A driver serves both, for as long as kubelets of either kind are about.
    """
    _round(subject, "v1beta1.DRAPlugin")


def _round(subject: Subject, service: str) -> None:
    expected = {str(ref) for ref in subject.found}
    claims = _claims(subject)
    with Machine(subject, service) as machine:
        with _step(service, "when the agent starts"):
            machine.start()
        with _step(service, "when it publishes"):
            _check_published(machine, expected)
        refs = [machine.create(claim) for claim in claims]
        with _step(service, "when claims are prepared in one call"):
            answers = _check_answers(claims, refs, machine.prepare(refs))
        with _step(service, "when they are prepared again"):
            _check_same(answers, machine.prepare(refs))
        with _step(service, "when the agent was killed and started again"):
            machine.kill()
            machine.start()
            _check_same(answers, machine.prepare(refs))
        if subject.root != Path("/"):  # the boot of this very machine cannot be another one
            with _step(service, "after a reboot"):
                machine.kill()
                machine.reboot()
                machine.start()
                _check_same(answers, machine.prepare(refs))
        with _step(service, "when they are undone, twice"):
            machine.unprepare(refs)
            machine.unprepare(refs)
        with _step(service, "when the agent is stopped"):
            machine.stop()
        if left := machine.leftovers():
            raise Broken(f"over {service}, in the end there is left: {', '.join(left)}", "see the agent's log")


def _claims(subject: Subject) -> list[ClaimAllocation]:
    """A claim with one device, and one with all others that can be held beside it; two shares where there are any."""
    refs = allocating.holdable(subject)
    claims = [allocating.allocation(subject, "one", refs[:1])]
    with contextlib.suppress(NotTried):
        first, second = allocating.two_shares(subject)
        claims = [evolve(first, claim=allocating.claim_ref("one")), evolve(second, claim=allocating.claim_ref("share"))]
    if others := [ref for ref in refs if ref != claims[0].devices[0].device]:
        claims.append(allocating.allocation(subject, "others", others))
    for claim in claims:
        with subject.session() as session:
            session.release(claim.claim, session.prepare_or_skip(claim))
    return claims


def _check_published(machine: Machine, expected: set[str]) -> None:
    def published() -> set[str]:
        return {
            f"{pool.driver}/{pool.name}/{offer.device.name}"
            for pool in pools()
            for one in pool.slices
            for offer in one.content.offers
        }

    def pools() -> tuple[NodePool, ...]:
        return read_slices(machine.server.list("ResourceSlice")).pools(NodeView(NODE))

    try:
        machine.kubelet.wait_until(lambda: expected <= published(), "the devices to be published", 20.0)
    except TimeoutError:
        lacking = sorted(expected - published())
        problems = [pool.problem for pool in pools() if pool.problem]
        why = f" ({problems[0]})" if problems else ""
        raise Broken(f"{lacking[0]} is in no usable pool{why}", "see the agent's log, and `drakit slices`") from None


def _check_answers(claims: Sequence[ClaimAllocation], refs: Sequence[ClaimRef], answers: Answers) -> Answers:
    for claim, ref in zip(claims, refs, strict=True):
        expected = [(device.base_request, device.device) for device in claim.devices]
        found = [(handle.request, handle.device) for handle in answers[ref.uid]]
        if found != expected:
            raise Broken(f"the answer for claim {ref} is for {found}, not for {expected}", "see prepare")
    return answers


def _check_same(expected: Answers, found: Answers) -> None:
    for uid, devices in expected.items():
        if list(found[uid]) != list(devices):
            raise Broken(
                f"claim {uid} is answered with {found[uid]}, and was with {devices}", "see prepare_is_idempotent"
            )


RULES = rules("Over sockets", a_full_round_over_v1, a_full_round_over_v1beta1)
