"""docs/security.yaml has a reason for all that the chart lets containers do and see, and for nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml
from realkube.helm import CHART, Document, Helm

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

REASONS = yaml.safe_load((Path(__file__).parents[3] / "docs" / "security.yaml").read_text())
COMBINATIONS = sorted((CHART / "ci").glob("*-values.yaml"))
Found = set[tuple[str, ...]]


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> list[list[Document]]:
    """What each combination of values renders to."""
    found = [helm.template(values) for values in COMBINATIONS]
    labelled = {"config": {"backends": [{"plugin": "neuron", "nodeLabels": True}]}}
    return [*found, helm.template(labelled)]


def of_kind(rendered: list[list[Document]], kind: str) -> Iterator[tuple[str, Document]]:
    """Every object of a kind, with its name after the full name of its release."""
    for documents in rendered:
        names = [
            it["metadata"]["name"] for kind in ("ClusterRole", "DaemonSet") for it in documents if it["kind"] == kind
        ]
        release = min(names, key=len)  # a DaemonSet for faked hardware has its type after it
        yield from ((it["metadata"]["name"].removeprefix(release), it) for it in documents if it["kind"] == kind)


def containers(rendered: list[list[Document]]) -> Iterator[Document]:
    for _, daemons in of_kind(rendered, "DaemonSet"):
        pod = daemons["spec"]["template"]["spec"]
        yield from [*pod.get("initContainers", []), *pod["containers"]]


def same(found: Found, documented: Found) -> None:
    """What was found is documented, and what is documented was found; the documented may be patterns."""

    def meet(one: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
        return len(one) == len(pattern) and all(map(fnmatchcase, one, pattern))

    undocumented = [one for one in found if not any(meet(one, pattern) for pattern in documented)]
    assert undocumented == [], "give the reason in docs/security.yaml"
    assert [pattern for pattern in documented if not any(meet(one, pattern) for one in found)] == []


def test_every_permission_has_its_reason(rendered):
    found = {
        (role, "/".join(filter(None, (group, resource))), verb)
        for role, document in of_kind(rendered, "ClusterRole")
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    same(found, {(row["role"], row["resource"], verb) for row in REASONS["permissions"] for verb in row["verbs"]})
    for _, document in of_kind(rendered, "ClusterRole"):
        assert not any("*" in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]] for rule in document["rules"])
    assert not list(of_kind(rendered, "Role"))


def test_every_policy_has_its_reason(rendered):
    found = {(name.lstrip("-"),) for name, _ in of_kind(rendered, "ValidatingAdmissionPolicy")}
    same(found, {(row["policy"],) for row in REASONS["policies"]})
    for name, document in of_kind(rendered, "ValidatingAdmissionPolicy"):
        guards = name != "-config"  # which only tells people early what a driver refuses
        assert document["spec"]["failurePolicy"] == ("Fail" if guards else "Ignore")


def test_every_user_has_its_reason(rendered):
    found = {(it["name"], str(it["securityContext"]["runAsUser"])) for it in containers(rendered)}
    same(found, {(row["container"], str(row["user"])) for row in REASONS["processes"]})


def test_every_mount_has_its_reason(rendered):
    found = {
        (it["name"], mount["name"], "read" if mount.get("readOnly") else "write")
        for it in containers(rendered)
        for mount in it["volumeMounts"]
    }
    same(found, {(row["container"], row["volume"], row["access"]) for row in REASONS["mounts"]})


def test_no_capability_is_given_but_those_that_are_asked_for(rendered):
    added = {(it["name"], *it["securityContext"]["capabilities"].get("add", ())) for it in containers(rendered)}
    asked = {("agent", "NET_ADMIN"), ("mock", "MKNOD")}  # of ci/pods-values.yaml and ci/mock-values.yaml
    assert {one for one in added if len(one) > 1} == asked


def test_no_path_of_the_host_is_mounted_but_those_that_are_documented(helm: Helm):
    (daemons,) = [it for it in helm.template() if it["kind"] == "DaemonSet"]
    volumes = daemons["spec"]["template"]["spec"]["volumes"]
    paths = {it["hostPath"]["path"] for it in volumes if "hostPath" in it}
    kubelet = {f"/var/lib/kubelet/{name}" for name in ("plugins", "plugins_registry", "pod-resources")}
    sys = {f"/sys/{name}" for name in ("bus", "class", "devices", "module")}
    assert paths == {*kubelet, *sys, "/var/run/cdi", "/dev", "/proc/sys/kernel/random/boot_id"}
    assert all(re.fullmatch(r"/[a-z_/-]+", path) for path in paths)
