"""The agent as a DaemonSet: the chart installed by the real helm, the built image run by the real kubelet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from realkube import artifacts
from realkube.api import Document
from realkube.built import BuiltImage, build
from realkube.cluster import Cluster
from realkube.daemonset import (
    HARDWARE,
    HEALTH,
    METRICS,
    agent_on,
    agents,
    install,
    prepare,
    rolled_out,
    run_in,
    told,
    values_for,
)
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, allocated, claim_spec, pod, template

pytestmark = [pytest.mark.cluster, pytest.mark.node]

EXAMPLE = Path(__file__).parents[3] / "docs/examples/aligned-efa-neuron.yaml"
KUBELET = "/var/lib/kubelet"
WRITABLE = {f"{KUBELET}/plugins", f"{KUBELET}/plugins_registry", "/var/run/cdi"}
GIVEN_TO_ALL = {
    "/dev",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/dev/termination-log",
    "/etc/hosts",
    "/proc",
    "/sys/fs/cgroup",
}
"""What the kubelet and the runtime mount into every container: nothing of it is the node's."""
BELOW_DEV = {"/host/dev/hugepages", "/host/dev/mqueue"}
"""What docs/security.md says of older runtimes."""
PODS = 16
"""How many pods come and go during an update, two at a time."""


def values(image: BuiltImage) -> dict[str, object]:
    return values_for(image, config={"backends": [{"plugin": "neuron"}, {"plugin": "efa"}], "drainSeconds": 5})


@pytest.fixture(scope="module")
def installed(components, drakit_image: BuiltImage, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A trn2.48xlarge node with the chart installed."""
    with Cluster(*components) as cluster, artifacts.kept_on_failure(cluster, request.session):
        for node in cluster.nodes:
            node.lay_out("trn2.48xlarge")
        cluster.start_nodes()
        for node in cluster.nodes:
            prepare(node, drakit_image)
        cluster.make_namespace()
        install(cluster, values(drakit_image))
        yield cluster


@pytest.fixture
def cluster(installed: Cluster) -> Cluster:
    return installed


@pytest.fixture
def node(cluster: Cluster) -> Node:
    (node,) = cluster.nodes
    return node


@pytest.fixture
def agent(cluster: Cluster, node: Node) -> Document:
    """The agent's pod."""
    return agent_on(cluster, node)


def status(cluster: Cluster, agent: Document) -> Mapping[str, str]:
    """What the kernel says of the agent's process."""
    lines = run_in(cluster, agent, "python3", "-c", "print(open('/proc/1/status').read())").output.splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines if line)}


def published(cluster: Cluster) -> dict[str, int]:
    """How many devices each driver has in its slices."""
    counts: dict[str, int] = {}
    for it in cluster.api.list("ResourceSlice"):
        counts[it["spec"]["driver"]] = counts.get(it["spec"]["driver"], 0) + len(it["spec"].get("devices", ()))
    return counts


def test_the_slices_of_every_driver_are_published(cluster: Cluster):
    until("the slices", lambda: published(cluster) == {"neuron.aws.com": 16, "dra.net": 16}, seen=lambda: told(cluster))


def test_a_pod_gets_the_devices_of_its_claim_from_an_agent_that_is_a_pod(
    cluster: Cluster, node: Node, workspace: Workspace
):
    given, its_pod = yaml.safe_load_all(EXAMPLE.read_text())
    its_pod["spec"]["containers"].append({"name": "beside", "image": "any", "resources": {}})
    workspace.submit(given, its_pod)
    name = its_pod["metadata"]["name"]
    workspace.running(name)
    held = workspace.claim_of(name)
    assert len(allocated(held, "neuron.aws.com")) == len(allocated(held, "dra.net")) == 4
    gets = workspace.seen(name).devices - workspace.seen(name, "beside").devices
    assert {device for device in gets if "neuron" in device} == {
        f"/dev/neuron{name.removeprefix('neuron-device-')}" for name in allocated(held, "neuron.aws.com")
    }
    assert len({device for device in gets if "uverbs" in device}) == 4
    assert len(gets) == 8
    workspace.delete(name)
    until("the CDI files to go", lambda: node.cdi_files() == {}, seen=lambda: list(node.cdi_files()))


def test_the_agent_is_root_without_any_capability_and_can_gain_none(cluster: Cluster, agent: Document):
    found = status(cluster, agent)
    for kind in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert int(found[kind], 16) == 0, kind
    assert found["NoNewPrivs"] == "1"
    assert set(found["Uid"].split()) == {"0"}


def test_system_calls_are_filtered(cluster: Cluster, agent: Document):
    """By the runtime's profile."""
    assert status(cluster, agent)["Seccomp"] == "2"


def writable(cluster: Cluster, agent: Document) -> set[str]:
    """The mounts that the agent's process may write, but for what every container has."""
    lines = run_in(cluster, agent, "python3", "-c", "print(open('/proc/1/mountinfo').read())").output.splitlines()
    mounts = {fields[4]: fields[5].split(",") for fields in (line.split() for line in lines) if fields}
    assert "ro" in mounts["/"]
    found = {path for path, options in mounts.items() if "rw" in options}
    masked = {path for path in found if path.startswith("/proc/")}
    return found - masked - GIVEN_TO_ALL


def recursively_read_only(agent: Document) -> bool:
    """Whether the runtime makes mounts read-only with all below them."""
    (container,) = agent["status"]["containerStatuses"]
    (dev,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/host/dev"]
    return bool(dev["recursiveReadOnly"] != "Disabled")


def test_the_agent_can_write_the_kubelets_two_directories_and_that_of_cdi_and_nothing_else_of_the_node(
    cluster: Cluster, agent: Document
):
    known = set() if recursively_read_only(agent) else BELOW_DEV
    assert writable(cluster, agent) - known == WRITABLE
    for path in ("/tmp", "/host/sys/devices", "/host/dev/shm", f"/host{HARDWARE}/sys"):
        refused = run_in(cluster, agent, "python3", "-c", f"open('{path}/file', 'w')")
        assert "Read-only file system" in refused.errors, path


def test_there_is_no_shell_and_no_installer_in_the_image(cluster: Cluster, agent: Document):
    listed = run_in(cluster, agent, "python3", "-c", "import os; print(*os.listdir('/usr/bin'))")
    assert set(listed.output.split()) == {"drakit", "python3", "python3.13"}
    assert run_in(cluster, agent, "python3", "-c", "import pip").code == 1


def test_the_node_is_checked_by_a_command_in_the_agents_container(cluster: Cluster, agent: Document):
    checked = run_in(cluster, agent, "drakit", "check")
    assert checked.code == 0, checked.output + checked.errors
    assert "neuron.aws.com" in checked.output
    assert run_in(cluster, agent, "drakit", "--version").output.startswith("drakit ")


def test_probes_and_metrics_answer(cluster: Cluster, node: Node, agent: Document):
    address = agent["status"]["podIP"]
    assert node.get(HEALTH, "/livez", address)[0] == 200
    assert node.get(HEALTH, "/readyz", address)[0] == 200
    code, text = node.get(METRICS, "/metrics", address)
    assert code == 200
    assert "drakit_" in text


def test_an_update_of_the_image_serves_pods_that_start_throughout(
    cluster: Cluster, node: Node, workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
):
    before = {pod["metadata"]["uid"] for pod in agents(cluster)}
    updated = build(tmp_path_factory.mktemp("next"), tag="next")
    node.load(updated.archive)
    workspace.submit(template("neurons", claim_spec("neuron.aws.com", 2)))
    names = [f"pod-{number}" for number in range(PODS)]
    workspace.submit(*(pod(name, {"resourceClaimTemplateName": "neurons"}) for name in names[:2]))
    for number, name in enumerate(names):
        workspace.running(name)
        if number == 2:
            started = cluster.api.get("DaemonSet", "drakit", "drakit")["metadata"]["generation"]
            install(cluster, values(updated), wait=False)
            assert cluster.api.get("DaemonSet", "drakit", "drakit")["metadata"]["generation"] > started
        if number + 2 < PODS:
            workspace.submit(pod(names[number + 2], {"resourceClaimTemplateName": "neurons"}))
        workspace.api.delete("Pod", name, workspace.namespace)
    until("the update", lambda: rolled_out(cluster), seen=lambda: told(cluster))
    workspace.gone(*names)
    after = agents(cluster)
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in after)
    assert [pod["spec"]["containers"][0]["image"] for pod in after] == ["drakit:next"]
    failures = [message for name in names for message in workspace.events(name) if "fail" in message.lower()]
    assert failures == []
    assert published(cluster) == {"neuron.aws.com": 16, "dra.net": 16}
