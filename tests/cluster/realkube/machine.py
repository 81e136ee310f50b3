"""A machine of a cluster: namespaces and cgroups of its own, and the processes in them.

Only the file system below / is shared with this machine, and of that /run, /var/lib and /var/log are the machine's own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from realkube.errors import ClusterFailure

HIERARCHIES = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
_NAMESPACES = ("mount", "cgroup", "net", "pid", "ipc", "uts")
_PREFIX = "drakit-test"
_BOUND_SECONDS = 30.0


class Process:
    """One process in a machine. `pid` is what this machine calls it."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen

    @property
    def pid(self) -> int:
        """The process itself, not the one that brought it into the machine. Raises ClusterFailure if it has ended."""
        with contextlib.suppress(OSError, ValueError):
            return int(Path(f"/proc/{self._popen.pid}/task/{self._popen.pid}/children").read_text().split()[0])
        raise ClusterFailure(f"{self.name} has ended with {self._popen.poll()}; the end of its log:\n{self.tail()}")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        with contextlib.suppress(ClusterFailure, ProcessLookupError, IndexError):
            os.kill(self.pid, number)
        return self._popen.wait(_BOUND_SECONDS)

    def said(self, words: str) -> bool:
        """Whether these words are in its log."""
        return words in self.log.read_text(errors="replace")

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


class Machine:
    """Started when it is made, and gone after `stop`, with all that ran in it.

    `state` is kept from one start to the next of a machine of the same name: it is the machine's disk.
    """

    def __init__(self, name: str, state: Path, boot_id: str = "") -> None:
        self.name = name
        self.state = state
        self.boot_id = boot_id or str(uuid.uuid4())
        self.processes: dict[str, Process] = {}
        self._cgroups = _make_cgroups(f"{_PREFIX}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        state.mkdir(parents=True, exist_ok=True)
        with (state / "machine.log").open("ab") as log:
            self._init = subprocess.Popen(
                self._enter_cgroups(["unshare", *(f"--{kind}" for kind in _NAMESPACES), *self._first()]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # an interrupt is for the tests, which then clean up
            )
        assert self._init.stdout
        if self._init.stdout.readline() != b"ready\n":
            said = (state / "machine.log").read_text(errors="replace")
            self.stop()
            raise ClusterFailure(f"machine {name} does not start: {said}")
        self.pid = int(Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()[0])

    @property
    def network(self) -> Path:
        """Its network namespace."""
        return Path(f"/proc/{self.pid}/ns/net")

    def path(self, path: str | Path) -> Path:
        """A path in the machine, as this process reaches it. Absolute symlinks on the way lead astray."""
        return Path(f"/proc/{self.pid}/root{path}")

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
        """Start a process; its output goes to <name>.log of the machine's /var/log."""
        log = self.state / "log" / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                self._enter_cgroups(self._inside(command)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": os.environ["PATH"], **(environment or {})},
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self.processes[name] = process
        return process

    def run(self, *command: str, path: str = "") -> str:
        """Run a command in the machine to its end; returns its output. Raises ClusterFailure if it fails."""
        environment = {"PATH": os.pathsep.join(filter(None, [path, os.environ["PATH"]]))}
        done = subprocess.run(
            self._enter_cgroups(self._inside(command)),
            env=environment,
            capture_output=True,
            text=True,
            timeout=_BOUND_SECONDS,
            check=False,
        )
        if done.returncode:
            raise ClusterFailure(f"{self.name}: {' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def stop(self) -> None:
        """End everything in the machine at once, as a power failure does. May be called again."""
        if self._init.poll() is None:
            self._init.kill()  # the first process dies with it, and the kernel ends the rest
        self._init.wait(_BOUND_SECONDS)
        for process in self.processes.values():
            process.end(signal.SIGKILL)
        self.processes.clear()
        for stream in (self._init.stdin, self._init.stdout):
            if stream:
                stream.close()
        for cgroup in self._cgroups:
            _remove_cgroup(cgroup)

    def _first(self) -> list[str]:
        script = str(Path(__file__).with_name("machine.sh"))
        command = ["sh", script, self.name, str(self.state), self.boot_id]
        return ["--fork", "--kill-child", "--mount-proc", *command]

    def _inside(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", f"--target={self.pid}", *(f"--{kind}" for kind in _NAMESPACES), *command]

    def _enter_cgroups(self, command: Sequence[str]) -> list[str]:
        files = [f"{cgroup}/cgroup.procs" for cgroup in self._cgroups]
        script = f'for f in {" ".join(files)}; do echo $$ > "$f"; done; exec "$@"'
        return ["sh", "-ec", script, "sh", *command]


def remove_cgroups() -> None:
    """Remove the cgroups of test runs that were killed."""
    for directory in _own_cgroups():
        for cgroup in directory.glob(f"{_PREFIX}-*"):
            owner = cgroup.name.removeprefix(f"{_PREFIX}-").partition("-")[0]
            if not Path(f"/proc/{owner}").exists():
                _remove_cgroup(cgroup)


def _make_cgroups(name: str) -> list[Path]:
    """A sub-cgroup in every hierarchy: nothing in it escapes the limits this process has itself."""
    made = []
    for parent in _own_cgroups():
        cgroup = parent / name
        cgroup.mkdir()
        for inherited in ("cpuset.cpus", "cpuset.mems"):
            if (parent / inherited).is_file():
                (cgroup / inherited).write_text((parent / inherited).read_text())
        made.append(cgroup)
    return made


def _own_cgroups() -> Iterator[Path]:
    """The cgroup of this process in each hierarchy."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, hierarchy, path = line.split(":", 2)
        name = hierarchy.removeprefix("name=")
        if name in (*HIERARCHIES, "systemd"):
            yield Path(f"/sys/fs/cgroup/{name}{path}")


def _remove_cgroup(cgroup: Path) -> None:
    """Remove a cgroup and all below it, once the kernel has ended what was in it."""
    limit = time.monotonic() + _BOUND_SECONDS
    directories = [Path(root) for root, _, _ in os.walk(cgroup, topdown=False)]
    for directory in directories:
        while directory.is_dir():
            try:
                directory.rmdir()
            except OSError:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.02)
