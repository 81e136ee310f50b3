"""A pod as the chart has it on a real kubelet, with a shell in the place of the agent: what it may touch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from realkube.cluster import Cluster
from realkube.helm import NAMESPACE, Helm
from realkube.image import BUSYBOX
from realkube.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.node]

KUBELET = "/var/lib/kubelet"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
SCRIPT = f"""\
while read -r name value; do echo "$name $value"; done < /proc/self/status
echo "boot: $(cat /host{BOOT_ID})"
echo "root: $(echo $(ls /host))"
echo "sys: $(echo $(ls /host/sys))"
for path in /host/sys/bus /host/dev/null {ACCOUNT}/token {ACCOUNT}/ca.crt /etc/drakit/config.yaml; do
    test -e $path && echo "sees $path: yes"
done
for place in / /etc /etc/drakit /host /host/sys /host/sys/bus /host/sys/devices /host/dev /host/dev/shm /var/run/cdi \
    {KUBELET}/plugins {KUBELET}/plugins_registry {KUBELET}/pod-resources; do
    echo "writes $place: $( (echo > $place/chart-probe) 2>/dev/null && echo yes || echo no)"
done
echo "kmsg: $(head -c 1 /host/dev/kmsg 2>&1)"
echo "disk: $(mknod {KUBELET}/plugins/chart-disk b 7 0 2>&1)"
"""


@pytest.fixture(scope="module")
def seen(helm: Helm, shared_cluster: Cluster) -> Iterator[Mapping[str, str]]:
    """What the container says, by the words before the colon."""
    api, node = shared_cluster.api, shared_cluster.nodes[0]
    (daemons,) = [it for it in helm.template() if it["kind"] == "DaemonSet"]
    spec = daemons["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    for key in ("livenessProbe", "readinessProbe", "args"):
        del container[key]
    container |= {"image": BUSYBOX, "command": ["sh", "-c", SCRIPT]}
    spec |= {"nodeName": node.name, "restartPolicy": "Never"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": NAMESPACE}, "spec": spec}
    api.create(pod)
    try:
        ended = ("Succeeded", "Failed")
        until(
            "the container to end",
            lambda: api.get("Pod", "probe", NAMESPACE)["status"].get("phase") in ended,
            seen=lambda: str(api.get("Pod", "probe", NAMESPACE)["status"]),
        )
        lines = api.log("probe", NAMESPACE, "agent").splitlines()
        yield dict(line.partition(": ")[::2] if ": " in line else line.partition(" ")[::2] for line in lines)
    finally:
        api.delete("Pod", "probe", NAMESPACE, gracePeriodSeconds=0)
        for place in ("lib/kubelet/plugins", "lib/kubelet/plugins_registry"):
            (node.state / place / "chart-probe").unlink(missing_ok=True)
        node.path("/run/cdi/chart-probe").unlink(missing_ok=True)


def test_it_has_no_capability_and_cannot_gain_any(seen: Mapping[str, str]):
    assert {seen[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert seen["NoNewPrivs"] == "1"


def test_its_system_calls_are_filtered(seen: Mapping[str, str]):
    assert seen["Seccomp"] == "2"


def test_it_sees_of_the_host_what_is_mounted_and_nothing_else(seen: Mapping[str, str], shared_cluster: Cluster):
    assert seen["root"] == "dev proc sys"
    assert seen["sys"] == "bus class devices module"
    assert seen["boot"] == shared_cluster.nodes[0].running.boot_id
    assert seen["sees /host/sys/bus"] == seen["sees /host/dev/null"] == "yes"


def test_it_has_its_configuration_and_its_token(seen: Mapping[str, str]):
    for path in ("/etc/drakit/config.yaml", f"{ACCOUNT}/token", f"{ACCOUNT}/ca.crt"):
        assert seen[f"sees {path}"] == "yes"


def test_it_writes_where_sockets_journals_and_cdi_files_go_and_nowhere_else(seen: Mapping[str, str]):
    allowed = {name.removeprefix("writes ") for name, said in seen.items() if said == "yes" and "writes" in name}
    shared_memory = {"/host/dev/shm"}  # where containerd is older than 2.0
    assert allowed - shared_memory == {f"{KUBELET}/plugins", f"{KUBELET}/plugins_registry", "/var/run/cdi"}


def test_it_opens_no_device_of_the_host_and_makes_none(seen: Mapping[str, str]):
    assert "Operation not permitted" in seen["kmsg"]
    assert "Operation not permitted" in seen["disk"]
