"""The processes of a benchmark: an API server, a driver under test, a load; each started, asked and ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from drakit.kubelet.proto import pluginregistration_pb2 as registration

HERE = Path(__file__).parent
PROTOTYPE = HERE.parent.parent / "shared" / "bench" / "pydrv.py"
DRIVER = "gpu.example.com"
START_SECONDS = 30.0
_PLAIN = {"PYTHONDONTWRITEBYTECODE": ""}
"""Bytecode is kept, as in an image, whatever the shell of the developer says."""


def mock_gpus(count: int) -> str:
    """The configuration of a backend with this many devices."""
    devices = f"[{{name: 'gpu-{{index}}', count: {count}, attributes: {{index: '{{index}}'}}}}]"
    return f"\n- {{plugin: mock, driver: {DRIVER}, options: {{inline: {{devices: {devices}}}}}}}\n"


class Process:
    """A child process that ends with the block it is used in."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process lives
        self.child = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **_PLAIN, **(environment or {})},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        if self.child.stdout is not None:
            self.child.stdout.close()

    def said(self) -> str:
        """What it wrote to its standard error."""
        self.log.seek(0)
        return self.log.read()[-2000:]

    def memory(self) -> dict[str, float]:
        """Resident memory, in MiB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        values = dict(line.split(":", 1) for line in status)
        return {name: int(values[key].split()[0]) / 1024 for name, key in (("rss", "VmRSS"), ("anon", "RssAnon"))}

    def cpu_milliseconds(self) -> float:
        """CPU time used since it started."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")


class ApiServer(Process):
    """The lean API server of `apiserver.py`."""

    def __init__(self, devices: int = 128) -> None:
        super().__init__([sys.executable, str(HERE / "apiserver.py"), f"--devices={devices}"])
        assert self.child.stdout is not None
        self.url = f"http://127.0.0.1:{self.child.stdout.readline().strip()}"

    def counts(self) -> dict[str, int]:
        """How often what was asked."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=5) as answer:
            counts: dict[str, int] = json.load(answer)
        return counts


class Driver(Process):
    """A driver in a directory of its own, registered as a kubelet would. `registered` is milliseconds after exec."""

    def __init__(
        self, api: ApiServer, *, prototype: bool = False, backends: str = mock_gpus(128), drivers: int = 1
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="drakit-bench-"))
        self.registry = self.directory / "reg"
        # CDI files belong on tmpfs, as /run is; state on a disk.
        self.cdi = Path(tempfile.mkdtemp(prefix="drakit-bench-cdi-", dir="/dev/shm"))
        for path in (self.registry, self.directory / "plugins" / DRIVER):
            path.mkdir(parents=True)
        arguments = self._prototype(api) if prototype else self._agent(api, backends)
        start = time.perf_counter()
        super().__init__(arguments, {"MALLOC_ARENA_MAX": "2"})
        self.endpoints = self._register(drivers)
        self.registered = (time.perf_counter() - start) * 1e3

    def __exit__(self, *details: object) -> None:
        super().__exit__(None, None, None)
        shutil.rmtree(self.directory)
        shutil.rmtree(self.cdi)

    @property
    def endpoint(self) -> str:
        """The DRA socket of the driver that claims are for."""
        return self.endpoints[DRIVER]

    def load(self, **options: object) -> dict[str, Any]:
        """Run a load on it; any failed call ends the benchmark."""
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        done = subprocess.run(
            [sys.executable, str(HERE / "load.py"), self.endpoint, *flags], capture_output=True, text=True, check=False
        )
        result: dict[str, Any] = json.loads(done.stdout or '{"failed": 1}')
        if result["failed"]:
            raise SystemExit(f"load failed: {result.get('errors')} {done.stderr[-1000:]}\ndriver: {self.said()}")
        return result

    def _agent(self, api: ApiServer, backends: str) -> list[str]:
        config = self.directory / "config.yaml"
        head = "apiVersion: drakit/v1alpha1\nkind: AgentConfiguration\nnodeName: node-1\nlogLevel: warning\n"
        paths = {
            "apiServer": api.url,
            "cdiRoot": self.cdi,
            "kubeletRegistrarDirectoryPath": self.registry,
            "kubeletPluginsDirectoryPath": self.directory / "plugins",
        }
        config.write_text(head + "".join(f"{k}: {v}\n" for k, v in paths.items()) + f"backends:{backends}")
        return [str(Path(sys.executable).with_name("drakit")), "agent", "--config", str(config)]

    def _prototype(self, api: ApiServer) -> list[str]:
        options = {"--api": api.url, "--dir": self.directory / "plugins", "--reg": self.registry, "--cdi": self.cdi}
        flags = [str(part) for pair in options.items() for part in pair]
        return [sys.executable, str(PROTOTYPE), *flags, "--devices", "128"]

    def _register(self, drivers: int) -> dict[str, str]:
        endpoints: dict[str, str] = {}
        limit = time.perf_counter() + START_SECONDS
        seen: set[Path] = set()
        while len(endpoints) < drivers:
            if self.child.poll() is not None or time.perf_counter() > limit:
                raise SystemExit(f"the driver did not start: {self.said()}")
            for path in set(self.registry.glob("*.sock")) - seen:
                info = self._introduce(path, limit)
                endpoints[info.name] = info.endpoint
                seen.add(path)
            time.sleep(0.0005)
        return endpoints

    def _introduce(self, path: Path, limit: float) -> registration.PluginInfo:
        """Ask who is there, and say that it is registered; a socket may be there before anyone answers at it."""
        service = "/pluginregistration.Registration/"
        with grpc.insecure_channel(f"unix:{path}") as channel:
            ask = channel.unary_unary(
                f"{service}GetInfo",
                registration.InfoRequest.SerializeToString,
                registration.PluginInfo.FromString,
            )
            tell = channel.unary_unary(
                f"{service}NotifyRegistrationStatus",
                registration.RegistrationStatus.SerializeToString,
                registration.RegistrationStatusResponse.FromString,
            )
            info: registration.PluginInfo = ask(
                registration.InfoRequest(), timeout=limit - time.perf_counter(), wait_for_ready=True
            )
            tell(registration.RegistrationStatus(plugin_registered=True), timeout=5)
        return info
