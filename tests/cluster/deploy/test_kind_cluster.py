"""The configuration of the kind cluster: what the real kind makes of it, and what real components know of its gates."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.debian import Debian
from realkube.errors import Lacking
from realkube.gates import GATES, apis_of
from realkube.kind import kind
from realkube.kubernetes import Kubernetes, minors

pytestmark = pytest.mark.cluster

DIRECTORY = Path(__file__).parents[3] / "deploy/kind"
RELEASES = sorted(path.stem for path in (DIRECTORY / "kubernetes").glob("*.yaml"))
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")


@pytest.fixture(scope="module")
def real_kind() -> Path:
    """The real kind. Where it cannot be had, the test is skipped, with the reason."""
    try:
        return kind()
    except Lacking as reason:
        pytest.skip(f"no real kind: {reason}")


@pytest.fixture
def create(real_kind: Path, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Make a cluster of a release: kind is real, Docker is not."""
    for name in ("bin", "run", "kubeadm"):
        (tmp_path / name).mkdir()
    shutil.copy(real_kind, tmp_path / "bin/kind")
    for name, command in {
        "docker": f'"{sys.executable}" "{Path(__file__).with_name("fake_docker.py")}"',
        "kubectl": ":",
    }.items():
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)

    def create(release: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "version").write_text(image(release).partition(":")[2].partition("@")[0])
        environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path), "FAKED": str(tmp_path)}
        script = DIRECTORY / "create-cluster.sh"
        return subprocess.run([script, release], env=environment, capture_output=True, text=True, check=False)

    return create


def features(release: str) -> dict[str, Any]:
    return yaml.safe_load((DIRECTORY / f"kubernetes/{release}.yaml").read_text())


def arguments(component: dict[str, Any], key: str = "extraArgs") -> dict[str, str]:
    """The flags of a component, as kubeadm is told them: by name in its older configuration, a list in its newer."""
    given = component[key]
    return given if isinstance(given, dict) else {one["name"]: one["value"] for one in given}


def image(release: str) -> str:
    """The node image of a release."""
    text = (DIRECTORY / f"kubernetes/{release}.yaml").read_text()
    (found,) = re.findall(r"(?m)^# image: (\S+)$", text)
    return found


def gates(release: str) -> Mapping[str, bool]:
    return features(release)["featureGates"]


@pytest.mark.control_plane
@pytest.mark.parametrize("minor", RELEASES)
def test_kind_takes_the_configuration_and_gives_it_to_every_component(create, tmp_path, minor):
    done = create(minor)
    assert "failed to init node with kubeadm" in done.stderr  # all before that, and nothing after it, is kind's own
    assert done.returncode == 1
    given = {path.name: list(yaml.safe_load_all(path.read_text())) for path in (tmp_path / "kubeadm").iterdir()}
    control_plane = {document["kind"]: document for document in given["drakit-control-plane"]}
    flag = ",".join(f"{name}=true" for name in gates(minor))
    for component in ("apiServer", "controllerManager", "scheduler"):
        assert arguments(control_plane["ClusterConfiguration"][component])["feature-gates"] == flag
    apis = ",".join(f"{name}={value}" for name, value in features(minor).get("runtimeConfig", {}).items())
    assert arguments(control_plane["ClusterConfiguration"]["apiServer"])["runtime-config"] == apis
    for documents in given.values():
        (kubelet,) = (document for document in documents if document["kind"] == "KubeletConfiguration")
        assert kubelet["featureGates"] == gates(minor)


@pytest.mark.control_plane
def test_each_worker_has_its_label_and_every_node_the_image_of_the_release(create, tmp_path):
    create("1.36")
    workers = [
        it["labels"] for it in yaml.safe_load((DIRECTORY / "cluster.yaml").read_text())["nodes"] if "labels" in it
    ]
    labels = []
    for path in sorted((tmp_path / "kubeadm").glob("*worker*")):
        documents = list(yaml.safe_load_all(path.read_text()))
        (join,) = (document for document in documents if document["kind"] == "JoinConfiguration")
        label = arguments(join["nodeRegistration"], "kubeletExtraArgs")["node-labels"]
        labels.append(dict([label.split("=")]))
    assert labels == workers
    assert len({tuple(label.items()) for label in labels}) == len(labels) == 3
    for path in (tmp_path / "run").iterdir():
        assert image("1.36") in path.read_text().splitlines()


@pytest.mark.control_plane
def test_each_release_that_is_tested_has_a_configuration_with_what_the_tests_turn_on():
    assert sorted(minors()) == RELEASES
    for release in RELEASES:
        minor = tuple(int(part) for part in release.split("."))
        assert gates(release) == dict.fromkeys(GATES[minor], True)
        served = ",".join(f"{name}={value}" for name, value in features(release).get("runtimeConfig", {}).items())
        assert served == ",".join(f"{api}=true" for api in apis_of(minor))
        assert image(release).startswith(f"kindest/node:v{release}.")
        assert re.search(r"@sha256:[0-9a-f]{64}$", image(release))


@pytest.mark.control_plane
def test_every_gate_is_known_to_every_component_and_off_by_default(components: tuple[Kubernetes, Debian]):
    check_gates(components[0])


@pytest.mark.versions
@pytest.mark.parametrize("minor", minors()[1:])
def test_every_gate_is_known_to_every_component_of_its_release(obtain, minor):
    check_gates(obtain(minor)[0])


def check_gates(kubernetes: Kubernetes) -> None:
    major, minor = kubernetes.minor
    for component in COMPONENTS:
        help_text = subprocess.run(
            [str(kubernetes.binary), component, "--help"], capture_output=True, text=True, check=False
        ).stdout
        for name in gates(f"{major}.{minor}"):
            (told,) = re.findall(rf"(?:kube:|\s){name}=true\|false \(([^)]*)\)", help_text) or [""]
            assert "default=false" in told, f"{component} of {kubernetes.release} and {name}: {told!r}"
