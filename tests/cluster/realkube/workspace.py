"""A namespace of a cluster for one test: what is submitted to it, what becomes of it, and how it is emptied."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import frozen

from realkube.api import Api, Document
from realkube.image import BUSYBOX
from realkube.waiting import until

DESCRIPTIONS = "/var/run/kubernetes.io/dra-device-attributes"
"""Where containers find what describes their devices."""
_MARK = "--- devices"
_FILES = "--- files"
_END = "--- that is all"
REPORT = f"""\
env
echo '{_MARK}'
find /dev -type c | sort
for device in /dev/neuron* /dev/infiniband/uverbs*; do
    test -c "$device" && echo "$device: $(head -c 1 "$device" 2>&1 | head -n 1)"
done
mknod /tmp/other c 243 99 && echo "other: $(head -c 1 /tmp/other 2>&1)"
echo '{_FILES}'
for file in $(find {DESCRIPTIONS} -type f 2>/dev/null); do echo "$file"; cat "$file"; done
echo '{_END}'
trap 'exit 0' TERM INT
while :; do sleep 86400 & wait $!; done
"""
"""What a worker does: it says what it sees and can open, and waits to be ended."""


@frozen
class Seen:
    """What a container sees: its environment, its character devices, what opening one comes to, what describes them."""

    environment: Mapping[str, str]
    devices: frozenset[str]
    opened: Mapping[str, str]
    files: Mapping[str, Sequence[str]]
    """The lines of each file below DESCRIPTIONS."""

    @classmethod
    def read(cls, log: str) -> Seen:
        """Read what REPORT wrote."""
        first, _, rest = log.partition(f"{_MARK}\n")
        told, _, described = rest.partition(f"{_END}\n")[0].partition(f"{_FILES}\n")
        lines = told.splitlines()
        environment = dict(line.split("=", 1) for line in first.splitlines() if "=" in line)
        devices = frozenset(line for line in lines if ": " not in line)
        opened = dict(line.split(": ", 1) for line in lines if ": " in line)
        return cls(environment, devices, opened, _files(described.splitlines()))


def _files(lines: Sequence[str]) -> Mapping[str, Sequence[str]]:
    files: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(DESCRIPTIONS):
            files[line] = []
        else:
            list(files.values())[-1].append(line)
    return files


class Workspace:
    """One namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def submit(self, *documents: Mapping[str, Any]) -> None:
        """Create objects in the namespace, pods as workers of the tests: see `worker`."""
        for document in documents:
            given = worker(document) if document["kind"] == "Pod" else document
            self.api.create(given, self.namespace)

    def pod(self, name: str) -> Document:
        """A pod."""
        return self.api.get("Pod", name, self.namespace)

    def pods(self) -> list[Document]:
        """All pods."""
        return self.api.list("Pod", self.namespace)

    def claims(self) -> list[Document]:
        """All claims."""
        return self.api.list("ResourceClaim", self.namespace)

    def claim(self, name: str) -> Document:
        """A claim."""
        return self.api.get("ResourceClaim", name, self.namespace)

    def allocate(self, name: str, node: str, *devices: tuple[str, str]) -> Document:
        """Allocate a claim by hand, as a scheduler that looks at nothing would; returns it.

        Each device, of a driver and in the pool of the node's name, is for the request of its place.
        """
        document = self.claim(name)
        results = [
            {"request": request["name"], "driver": driver, "pool": node, "device": device}
            for request, (driver, device) in zip(document["spec"]["devices"]["requests"], devices, strict=True)
        ]
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        selector = {"nodeSelectorTerms": [{"matchFields": [field]}]}
        document["status"] = {
            "allocation": {
                "devices": {"results": results},
                "nodeSelector": selector,
                # Without one the scheduler would add it, which the API server refuses.
                "allocationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        }
        return self.api.replace(document, "status")

    def claim_of(self, pod: str) -> Document:
        """The claim of a pod that has one."""
        (status,) = self.pod(pod)["status"]["resourceClaimStatuses"]
        return self.claim(status["resourceClaimName"])

    def running(self, name: str) -> Document:
        """Wait until a pod runs; returns it."""
        return until(f"pod {name} to run", lambda: self._in_phase(name, "Running"), seen=lambda: self.story(name))

    def seen(self, name: str, container: str = "worker") -> Seen:
        """What a container of a running pod sees."""

        def report() -> str | None:
            log = self.api.log(name, self.namespace, container)
            return log if _END in log else None

        return Seen.read(until(f"the report of {name}/{container}", report, seen=lambda: self.story(name)))

    def unschedulable(self, name: str) -> str:
        """Wait until the scheduler has found no place for a pod; returns what it says."""

        def reason() -> str | None:
            conditions = self.pod(name)["status"].get("conditions", [])
            told = [it for it in conditions if it["type"] == "PodScheduled" and it["status"] == "False"]
            return told[0].get("message") if told and told[0]["reason"] == "Unschedulable" else None

        return until(f"pod {name} to be called unschedulable", reason, seen=lambda: self.story(name))

    def event(self, name: str, about: str) -> str:
        """Wait for an event of a pod with these words; returns its message."""
        return until(
            f"an event of {name} about {about!r}",
            lambda: next((message for message in self.events(name) if about in message), None),
            seen=lambda: self.story(name),
        )

    def events(self, name: str) -> list[str]:
        """The messages of a pod's events."""
        events = self.api.list("Event", self.namespace, fieldSelector=f"involvedObject.name={name}")
        return [event.get("message", "") for event in events]

    def delete(self, *names: str) -> None:
        """Delete pods and wait until they are gone."""
        for name in names:
            self.api.delete("Pod", name, self.namespace)
        self.gone(*names)

    def gone(self, *names: str) -> None:
        """Wait until pods that are being deleted are gone."""
        until(
            f"{', '.join(names)} to be gone",
            lambda: not {pod["metadata"]["name"] for pod in self.pods()} & set(names),
            seen=lambda: "\n".join(map(self.story, names)),
        )

    def empty(self) -> None:
        """Delete everything in the namespace, and the namespace; wait until pods and claims are gone."""
        for kind in ("Job", "Pod", "ResourceClaim", "ResourceClaimTemplate"):
            for document in self.api.list(kind, self.namespace):
                self.api.delete(kind, document["metadata"]["name"], self.namespace, propagationPolicy="Background")
        until(f"{self.namespace} to be empty", lambda: not self.pods() and not self.claims(), seen=self.stories)
        self.api.delete("Namespace", self.namespace)

    def stories(self) -> str:
        """What is known of every pod."""
        return "\n".join(self.story(pod["metadata"]["name"]) for pod in self.pods())

    def story(self, name: str) -> str:
        """What is known of a pod: for messages."""
        pod = self.api.find("Pod", name, self.namespace)
        lines = [f"  {message}" for message in self.events(name)]
        return "\n".join([f"pod {name}: {pod['status'].get('phase') if pod else 'there is none'}", *lines])

    def _in_phase(self, name: str, phase: str) -> Document | None:
        pod = self.pod(name)
        return pod if pod["status"].get("phase") == phase else None


def worker(pod: Mapping[str, Any], *, node: str = "") -> Document:
    """A pod with the tests' image and command in all containers, and without limits, which name a large machine.

    Extended resources stay.
    """
    spec = dict(pod["spec"])
    spec["containers"] = [_container(container) for container in spec["containers"]]
    spec["terminationGracePeriodSeconds"] = 2
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {**pod, "spec": spec}


def _container(container: Mapping[str, Any]) -> Document:
    given = container.get("resources", {})
    extended = {name: count for name, count in given.get("limits", {}).items() if "/" in name}
    resources = {"claims": given.get("claims", []), "limits": extended, "requests": extended}
    return {"name": container["name"], "image": BUSYBOX, "command": ["sh", "-c", REPORT], "resources": resources}


def pod(name: str, claim: Mapping[str, Any], *, containers: Collection[str] = ("worker",)) -> Document:
    """A pod with one claim, given as in `spec.resourceClaims` without its name, which each container uses."""
    uses = {"claims": [{"name": "devices"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": container, "resources": uses} for container in containers],
            "resourceClaims": [{"name": "devices", **claim}],
        },
    }


def claim_spec(
    device_class: str, count: int = 1, *, selector: str = "", config: Sequence[Mapping[str, Any]] = ()
) -> Document:
    """The spec of a claim for some devices of one class."""
    exactly: Document = {"deviceClassName": device_class, "count": count}
    if selector:
        exactly["selectors"] = [{"cel": {"expression": selector}}]
    devices: Document = {"requests": [{"name": "some", "exactly": exactly}]}
    if config:
        devices["config"] = list(config)
    return {"devices": devices}


def claim(name: str, spec: Document) -> Document:
    """A claim of its own, for any number of pods."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name},
        "spec": spec,
    }


def template(name: str, spec: Document) -> Document:
    """A template, from which every pod gets a claim of its own."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name},
        "spec": {"spec": spec},
    }


def allocated(claim: Document, driver: str) -> list[str]:
    """The devices of a driver that a claim was allocated, in the order of the allocation."""
    results = claim["status"]["allocation"]["devices"]["results"]
    return [result["device"] for result in results if result["driver"] == driver]
