"""An agent that may be asked over HTTP how it is, with a plugin that does as the files beside it say."""

from __future__ import annotations

import http.client
import re
import socket
import time

from drakit.vitals.metrics import CATALOGUE
from prometheus_client.parser import text_string_to_metric_families

DRIVER, POOL, BESIDE = "watched.example.com", "node-1", "beside.example.com"
BACKENDS = "[{plugin: watched}, {plugin: watched, driver: beside.example.com}]"
WATCHED = """
import sys, time
from pathlib import Path
from drakit import ClaimError, ContainerEdits, Device, DeviceRef, Health, Pool, PreparedDevice, hookimpl

HERE = Path(__file__).parent

class Plugin:
    driver_name = "watched.example.com"

    def __init__(self, context):
        self.context = context

    @hookimpl
    def discover(self):
        while (HERE / "blind").exists():
            time.sleep(0.002)
        return [Pool([Device(name="one"), Device(name="two")])]

    @hookimpl
    def prepare(self, claim):
        (HERE / "modules").write_text(" ".join(sys.modules))
        while claim.claim.name == "hangs" and not (HERE / "gate").exists():
            time.sleep(0.002)
        if claim.claim.name == "refused":
            raise ClaimError("not this one")
        return [PreparedDevice.of(device, ContainerEdits(env={"A": "1"})) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        pass

    @hookimpl
    def health(self):
        return [Health(DeviceRef(self.context.driver, self.context.pool, "two"), "Unhealthy", "worn out")]
"""


class Watched:
    """A node with an agent that may be asked how it is."""

    def __init__(self, node, until) -> None:
        self.node = node
        self._until = until
        with socket.create_server(("", 0)) as free:
            self.port = free.getsockname()[1]
        node.root.mkdir()
        node.install("watched", WATCHED)

    def start(self, backends: str = BACKENDS, **settings) -> None:
        self.node.start(backends, **{"healthcheckPort": self.port, "metricsPort": self.port, **settings})

    def get(self, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
        """Ask, from the moment on at which the port is bound."""
        limit = time.monotonic() + 30
        while True:
            connection = http.client.HTTPConnection(host, self.port, timeout=30)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read().decode()
            except ConnectionRefusedError:
                assert time.monotonic() < limit
                time.sleep(0.01)
            finally:
                connection.close()

    def until_ready(self) -> None:
        self._until(lambda: self.get("/readyz")[0] == 200, "the agent to be ready")

    def until_unready(self, why: str) -> None:
        def unready() -> bool:
            status, body = self.get("/readyz")
            assert status == (503 if "not ready" in body else 200)
            return re.search(why, body) is not None

        self._until(unready, f"readiness to say {why!r}")

    def metrics(self) -> dict[str, list]:
        """Every sample, by the name of its family."""
        return {family.name: family.samples for family in text_string_to_metric_families(self.get("/metrics")[1])}

    def without_series(self) -> set[str]:
        """The metrics of the catalogue that no sample is exposed of."""
        found = {sample.name.removesuffix("_bucket") for samples in self.metrics().values() for sample in samples}
        return {family.name for family in CATALOGUE.families} - found

    def value(self, family: str, /, **labels: str) -> float:
        (value,) = [
            sample.value
            for sample in self.metrics()[family.removesuffix("_total")]
            if labels.items() <= sample.labels.items() and sample.name == family
        ]
        return value


def modules(watched: Watched) -> set[str]:
    """What the agent had imported when it last prepared a claim."""
    return set((watched.node.directory / "modules").read_text().split())
