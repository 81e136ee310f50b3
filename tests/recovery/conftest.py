"""Nodes whose agents are real processes, made to be killed at any step, and started again by a fork."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from drakit.documents import claim_ref
from drakit.journal import Journal
from drakit.model import ClaimRef
from drakit.testing import CallFailed, FakeKubelet, InMemoryApiServer
from drakit.testing.runtime import read_devices

HERE = Path(__file__).parent
NODE = "node-1"
BOUND_SECONDS = 30.0
UNKNOWN = ClaimRef("00000000-dead", "default", "never-heard-of")
PLUGINS = """[drakit.plugins]
plain = recorder:Plain
effects = recorder:Effects
described = recorder:Described
unruly = recorder:Unruly
"""


@pytest.fixture(name="until")
def _until_fixture() -> Callable[[Callable[[], Any], str], Any]:
    """Wait for a condition, and return what it said: `(condition, what)`."""
    return until


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition, and return what it said."""
    limit = time.monotonic() + BOUND_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < limit, f"waited {BOUND_SECONDS} s for {what}"
        time.sleep(0.005)
    return answer


def _waits_for_a_lock(pid: int | None) -> bool:
    """Whether a process waits for a file's lock. Source: proc(5), /proc/locks."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {pid} " in line for line in lines)


class Launcher:
    """Forks agents. One for all tests: see launcher.py."""

    def __init__(self, plugins: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "NODE_NAME")}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "launcher.py"],
            env=environment | {"PYTHONPATH": str(plugins)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **command: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(command), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


class Died(Exception):
    """The agent has ended, and was not expected to."""


class Site:
    """One driver on one node: its directories, its kubelet, and at most one agent."""

    Died = Died

    def __init__(self, directory: Path, driver: str, api: InMemoryApiServer, launcher: Launcher) -> None:
        self.directory = directory
        self.driver = driver
        self.api = api
        self.launcher = launcher
        self.root, self.cdi = directory / "root", directory / "cdi"
        self.registry, self.plugins = directory / "reg", directory / "plugins"
        self.state = self.plugins / driver
        self.log, self.epitaph = directory / "agent.log", directory / "epitaph"
        for path in (self.root / "proc/sys/kernel/random", self.registry, self.plugins):
            path.mkdir(parents=True, exist_ok=True)
        if not self._boot_id.exists():
            self.reboot("boot-1")
        self.agent: int | None = None
        self._code: int | None = None
        self.kubelet = FakeKubelet(self.registry, retry_seconds=0.02)
        self.kubelet.start()

    @property
    def _boot_id(self) -> Path:
        return self.root / "proc/sys/kernel/random/boot_id"

    def reboot(self, boot_id: str) -> None:
        """What a reboot does to files: the CDI directory is on a tmpfs."""
        self._boot_id.write_text(boot_id)
        shutil.rmtree(self.cdi, ignore_errors=True)

    def copy(self, name: str) -> Site:
        """The same node once more, as its files are now; sockets of a dead agent are none."""
        directory = self.directory.parent / name
        shutil.copytree(self.directory, directory, ignore=shutil.ignore_patterns("*.sock", "agent.log", "epitaph"))
        return Site(directory, self.driver, self.api, self.launcher)

    def start(self, *, victim: int = 0, fault: str = "killed", armed: bool = False, **settings: Any) -> None:
        """Start an agent with a fault at its step number `victim`, counted from the start or from `arm` on.

        Returns when the kubelet has registered it and it has looked at all it found. Raises Died where it is killed
        before that.
        """
        for left in self.registry.glob("*.sock"):  # that these are replaced is proven elsewhere
            left.unlink()
        self.kubelet.wait_until_gone(self.driver)
        self._armed.unlink(missing_ok=True)
        if armed:
            self.arm()
        self.fork(victim=victim, fault=fault, **settings)
        until(lambda: self._look() is not None or self._serves(), "the agent to serve")
        if self._code is not None:
            raise Died(self.log.read_text())

    def _serves(self) -> bool:
        """Whether the agent answers: a call queues behind the restore of what it found."""
        if not self.kubelet.registered(self.driver):
            return False
        try:
            self.unprepare(UNKNOWN)
        except CallFailed:  # it was killed
            return False
        return True

    def fork(self, *, victim: int = 0, fault: str = "killed", **settings: Any) -> None:
        """Start an agent, and wait for nothing."""
        config = self.directory / "config.yaml"
        values = {
            "apiVersion": "drakit/v1alpha1",
            "kind": "AgentConfiguration",
            "nodeName": NODE,
            "root": str(self.root),
            "hostRoot": "/",
            "cdiRoot": str(self.cdi),
            "kubeletRegistrarDirectoryPath": str(self.registry),
            "kubeletPluginsDirectoryPath": str(self.plugins),
            "kubeletPodResourcesSocket": str(self.directory / "pods.sock"),
            "apiServer": self.api.url,
            "backends": [{"plugin": self.driver.partition(".")[0]}],
            **settings,
        }
        config.write_text(yaml.safe_dump(values))
        answer = self.launcher.ask(
            do="start",
            config=str(config),
            log=str(self.log),
            directories=[str(self.state), str(self.cdi), str(self.root / "effects")],
            armed=str(self._armed),
            epitaph=str(self.epitaph),
            clock=str(self.directory / "clock"),
            victim=victim,
            fault=fault,
        )
        self.agent, self._code = answer["pid"], None

    def arm(self) -> None:
        """Count steps from now on."""
        self._armed.touch()

    def jump(self, seconds: int) -> None:
        """Set the wall clock of the node's agents so far from the right time."""
        (self.directory / "clock").write_text(str(seconds))

    def disarm(self) -> None:
        """End the fault: the disk works again."""
        self._armed.unlink()

    @property
    def _armed(self) -> Path:
        return self.directory / "armed"

    def end(self, with_signal: int = signal.SIGTERM) -> int:
        """End the agent; returns its exit code."""
        assert self.agent is not None
        os.kill(self.agent, with_signal)
        return self.ended()

    def ended(self) -> int:
        """Wait for the agent's end; returns its exit code, minus the signal that killed it."""
        until(lambda: self._look() is not None, "the agent to end")
        self.agent = None
        assert self._code is not None
        return self._code

    def has_ended(self) -> bool:
        """Whether the agent has ended by itself."""
        return self._look() is not None

    def _look(self) -> int | None:
        if self._code is None:
            self._code = self.launcher.ask(do="look", pid=self.agent)["code"]
        return self._code

    def kill(self) -> None:
        """SIGKILL."""
        if self.agent is not None and self._look() is None:
            self.end(signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self.kubelet.close()

    # What there is

    def prepared(self, *claims: ClaimRef) -> dict[str, Any]:
        """Prepare, which must succeed; the devices answered, by uid."""
        answers = self.kubelet.prepare(claims, self.driver)
        assert {uid: answer.error for uid, answer in answers.items()} == {claim.uid: "" for claim in claims}
        return {uid: answer.devices for uid, answer in answers.items()}

    def refusal(self, claim: ClaimRef) -> str:
        """Prepare; the error it is answered with, "" for success."""
        return self.kubelet.prepare([claim], self.driver)[claim.uid].error

    def unprepare(self, *claims: ClaimRef) -> None:
        """Unprepare, which must succeed."""
        assert self.kubelet.unprepare(claims, self.driver) == {claim.uid: "" for claim in claims}

    def at_once(self, claims: Sequence[ClaimRef]) -> dict[str, Any]:
        """Prepare claims in one batch of the driver's thread: it is kept waiting until all of them were read."""
        with ThreadPoolExecutor() as threads, (self.state / "drakit.journal.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            waiting = threads.submit(self.kubelet.unprepare, [UNKNOWN], self.driver)
            until(lambda: _waits_for_a_lock(self.agent), "the agent to wait for the journal's lock")
            reads = len(self.api.requests)
            answers = threads.submit(self.prepared, *claims)
            names = {claim.name for claim in claims}
            until(lambda: names <= {path.rpartition("/")[2] for _, path in self.api.requests[reads:]}, "all to be read")
            fcntl.flock(lock, fcntl.LOCK_UN)
            waiting.result()
            return answers.result()

    def calls(self) -> list[str]:
        """The claims that the plugin was asked to prepare, in order."""
        path = self.root / "calls"
        return path.read_text().split() if path.exists() else []

    def files(self) -> dict[str, bytes]:
        """Every CDI file, whole or not, with this node's own directory left out of paths."""
        own = str(self.directory).encode()
        found = self.cdi.iterdir() if self.cdi.exists() else ()
        return {path.name: path.read_bytes().replace(own, b"") for path in found}

    def metadata(self) -> dict[str, bytes]:
        """Every file that describes devices to containers."""
        paths = [path for path in self.state.glob("metadata/**/*") if path.is_file()]
        return {str(path.relative_to(self.state)): path.read_bytes() for path in paths}

    def effects(self) -> dict[str, list[str]]:
        """What the plugin's side effects hold: devices by claim uid."""
        held: dict[str, list[str]] = {}
        for path in sorted(self.root.glob("effects/*")):
            held.setdefault(path.stem, []).append(path.suffix[1:])
        return held

    def entries(self) -> dict[str, str]:
        """What the journal says: the phase of each claim."""
        journal = Journal(self.state / "drakit.journal")
        try:
            with journal.locked():
                return {uid: str(entry.phase) for uid, entry in journal.entries.items()}
        finally:
            journal.close()

    def assert_whole(self) -> None:
        """No file half written, no record taken for damaged, and every CDI file one that a runtime reads."""
        assert [path.name for path in self.state.iterdir() if ".tmp" in path.name or ".damaged" in path.name] == []
        assert [name for name in self.files() if not name.endswith(".json")] == []
        read_devices(self.cdi)

    def assert_empty(self) -> None:
        """Nothing is prepared, and nothing is left of what was."""
        self.assert_whole()
        assert (self.entries(), self.files(), self.effects(), self.metadata()) == ({}, {}, {}, {})


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    plugins = tmp_path_factory.mktemp("plugins")
    shutil.copy(HERE / "recorder.py", plugins)
    info = plugins / "recorder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recorder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(PLUGINS)
    launcher = Launcher(plugins)
    yield launcher
    launcher.close()


@pytest.fixture
def api() -> Iterator[InMemoryApiServer]:
    with InMemoryApiServer() as server:
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {}}})
        yield server


@pytest.fixture(params=["plain.example.com", "effects.example.com"], ids=["cdi only", "side effects"])
def site(
    request: pytest.FixtureRequest, api: InMemoryApiServer, launcher: Launcher, short_path: Path
) -> Iterator[Site]:
    """A node for each kind of backend. What is copied from it is the test's to close."""
    site = Site(short_path / "0", request.param, api, launcher)
    yield site
    site.close()


@pytest.fixture
def new_claim(api: InMemoryApiServer, site: Site) -> Callable[..., ClaimRef]:
    """Create a claim, or allocate one anew: `(name, *devices)`."""
    return functools.partial(_new_claim, api, site.driver)


def _new_claim(api: InMemoryApiServer, driver: str, name: str, *devices: str) -> ClaimRef:
    results = [{"request": "gpu", "driver": driver, "pool": NODE, "device": device} for device in devices]
    allocation = {"devices": {"results": results, "config": []}}
    known = [document for document in api.list("ResourceClaim", "default") if document["metadata"]["name"] == name]
    if known:
        free = api.replace({**known[0], "status": {}})  # an allocation is never changed, but may be given up
        return claim_ref(api.replace({**free, "status": {"allocation": allocation}}))
    document = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "any"}}]}},
        "status": {"allocation": allocation},
    }
    return claim_ref(api.create(document))
