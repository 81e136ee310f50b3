"""Real clusters for tests, where this machine can run them; elsewhere the tests are skipped, and the reason is said."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from realkube import artifacts, preflight
from realkube.built import BuiltImage, build
from realkube.cluster import Cluster
from realkube.debian import Debian, debian
from realkube.errors import Lacking
from realkube.helm import Helm, helm
from realkube.kubernetes import Kubernetes, kubernetes, minors
from realkube.matrix import ABSENT, Matrix
from realkube.waiting import until
from realkube.workspace import Workspace

VERSION_VARIABLE = "DRAKIT_KUBE"
NOT_THERE = "this feature is not in"
BACKENDS = [
    {"plugin": "neuron"},
    {"plugin": "efa"},
    {"plugin": "mock", "driver": "gpu.example.com", "options": {"profile": "generic-gpu"}},
]
UNCHECKED: dict[str, Any] = {"admission": {"config": {"enabled": False}}}
"""Values of the chart for clusters on which the drivers themselves are to refuse what is wrong in claims."""
DRIVERS = ("neuron.aws.com", "dra.net", "gpu.example.com")
IDLE = "other.example.com"
"""A driver that agents may serve, and none does: tests write its slices."""


MATRIX_VARIABLE = "DRAKIT_MATRIX"
"""Where the record of what works on which release is written, if anywhere."""
_TOLD = pytest.StashKey[list[str]]()
_WORKERS_TOLD = "drakit-told"
_MATRIX = pytest.StashKey[Matrix]()


def pytest_configure(config: pytest.Config) -> None:
    """What is to be said at the end."""
    config.stash[_TOLD] = []
    config.stash[_MATRIX] = Matrix()
    if _is_worker(config) and os.environ.get(MATRIX_VARIABLE):
        raise pytest.UsageError(f"no worker sees all that {MATRIX_VARIABLE} is to record; run the tests without -n")


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one: see pytest-xdist."""
    return hasattr(config, "workeroutput")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give one worker all tests of a directory: they have their clusters in common."""
    # xdist is no part of the cluster; where it is not installed, nobody asks for its scheduler
    from xdist.scheduler import LoadScopeScheduling

    class ByDirectory(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.partition("::")[0].rpartition("/")[0]

    return ByDirectory(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker had to say, unless it has died."""
    node.config.stash[_TOLD].extend(getattr(node, "workeroutput", {}).get(_WORKERS_TOLD, ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Note what came of a test of a feature."""
    report = yield
    mark, release = item.get_closest_marker("feature"), _release_of(item)
    if mark and release and (report.when == "call" or not report.passed):
        absent = report.skipped and NOT_THERE in str(report.longrepr)
        item.config.stash[_MATRIX].add(mark.args[0], release, ABSENT if absent else report.outcome)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the record, where one is asked for; and hand over what is to be said."""
    config = session.config
    if _is_worker(config):
        config.workeroutput[_WORKERS_TOLD] = config.stash[_TOLD]  # type: ignore[attr-defined]
    if path := os.environ.get(MATRIX_VARIABLE):
        config.stash[_MATRIX].write(Path(path), time.strftime("%Y-%m-%d", time.gmtime()))


def _release_of(item: pytest.Item) -> str:
    """The release that a test runs on, once it has a cluster."""
    fixtures: dict[str, Any] = getattr(item, "funcargs", {})
    cluster = next((fixtures[name] for name in ("featured", "release", "cluster") if name in fixtures), None)
    return cluster.kubernetes.release if cluster else ""


@pytest.fixture(autouse=True)
def _only_where_it_is(request: pytest.FixtureRequest) -> None:
    """Skip the tests of features that a release does not have."""
    mark = request.node.get_closest_marker("feature")
    if mark and "since" in mark.kwargs:
        name = next(name for name in ("featured", "cluster") if name in request.fixturenames)
        found: Cluster = request.getfixturevalue(name)
        if found.kubernetes.minor < tuple(int(part) for part in mark.kwargs["since"].split(".")):
            pytest.skip(f"{NOT_THERE} {found.kubernetes.release}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the very last lines what ran, or why nothing did."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for line in dict.fromkeys(config.stash[_TOLD]) if reporter else ():
        reporter.write_line(line)


@pytest.fixture(scope="session")
def obtain(pytestconfig: pytest.Config) -> Callable[[str], tuple[Kubernetes, Debian]]:
    """What a cluster of a minor release is made of. Without it there is no test: it is skipped, with the reason."""

    def obtain(minor: str) -> tuple[Kubernetes, Debian]:
        try:
            preflight.require()
            # A build of minutes says so at once, not when it is over.
            with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                found = kubernetes(minor), debian()
                helm()
        except Lacking as reason:
            pytestconfig.stash[_TOLD].append(f"SKIPPED: tests on real Kubernetes {minor}: {reason}")
            pytest.skip(f"no real Kubernetes {minor}: {reason}")
        versions = ", ".join(f"{package} {version}" for package, version in found[1].versions.items())
        pytestconfig.stash[_TOLD].append(f"real Kubernetes {found[0].release} with {versions}")
        return found

    return obtain


@pytest.fixture(scope="session")
def components(obtain: Callable[[str], tuple[Kubernetes, Debian]]) -> tuple[Kubernetes, Debian]:
    """The components of the release that DRAKIT_KUBE names, else of the newest."""
    return obtain(os.environ.get(VERSION_VARIABLE) or minors()[0])


@pytest.fixture(name="helm", scope="session")
def give_helm(pytestconfig: pytest.Config) -> Helm:
    """The real helm. Where it cannot be had, the test is skipped, with the reason."""
    try:
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            return helm()
    except Lacking as reason:
        pytestconfig.stash[_TOLD].append(f"SKIPPED: tests with the real helm: {reason}")
        pytest.skip(f"no real helm: {reason}")


@pytest.fixture(scope="session")
def drakit_image(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    """The container image, built from this checkout. A node has it after `node.load(drakit_image.archive)`."""
    directory = tmp_path_factory.mktemp("image")
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        return build(directory)


@pytest.fixture(scope="session")
def shared_cluster(components: tuple[Kubernetes, Debian], request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two trn2.48xlarge nodes with an agent each, for tests that leave them as they were."""
    with Cluster(*components, nodes=2) as cluster, artifacts.kept_on_failure(cluster, request.session):
        equip(cluster)
        yield cluster


@pytest.fixture
def own_cluster(components: tuple[Kubernetes, Debian], request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with one trn2.48xlarge node and its agent, for one test to break."""
    with Cluster(*components) as cluster, artifacts.kept_on_failure(cluster, request.session):
        equip(cluster)
        yield cluster


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The cluster of the test: its own, if it asks for one, else the shared one."""
    own = "own_cluster" in request.fixturenames
    found: Cluster = request.getfixturevalue("own_cluster" if own else "shared_cluster")
    return found


@pytest.fixture
def workspace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """A namespace for the test. On the shared cluster it is emptied, which also tests that everything can end."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    until("the service account", lambda: cluster.api.find("ServiceAccount", "default", name))
    workspace = Workspace(cluster.api, name)
    yield workspace
    if "own_cluster" not in request.fixturenames:
        workspace.empty()


@pytest.fixture(name="equip", scope="session")
def give_equip() -> Callable[[Cluster], None]:
    """Make a cluster one that drakit runs on: see there."""
    return equip


def equip(cluster: Cluster) -> None:
    """Hardware, nodes, permissions, classes and agents; returns when all slices are published."""
    backends = [*BACKENDS, {"plugin": "mock", "driver": IDLE}]
    cluster.deploy({"config": {"backends": backends}, **UNCHECKED})
    for node in cluster.nodes:
        node.lay_out("trn2.48xlarge")
    cluster.start_nodes()
    for node in cluster.nodes:
        node.start_agent(BACKENDS)
    wait_for_slices(cluster)


def wait_for_slices(cluster: Cluster) -> None:
    """Wait until every driver of every node has a slice."""
    wanted = {(node.name, driver) for node in cluster.nodes for driver in DRIVERS}

    def published() -> bool:
        slices = cluster.api.list("ResourceSlice")
        return wanted <= {(it["spec"].get("nodeName"), it["spec"]["driver"]) for it in slices}

    until(
        "the slices of every driver",
        published,
        seen=lambda: "\n".join(node.running.processes["drakit"].tail() for node in cluster.nodes),
    )
