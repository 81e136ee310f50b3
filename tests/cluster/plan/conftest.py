"""Clusters without nodes of ours: API server and scheduler, for pods that nobody will run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from attrs import evolve
from drakit.plan import Features, KubeProfile, kube_profile
from realkube import artifacts
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.gates import GATES
from realkube.kubernetes import Kubernetes, minors

from tests.cluster.plan.inventories import NAMESPACE

OFF: Mapping[tuple[int, int], tuple[str, ...]] = {(1, 34): ("DRAConsumableCapacity",)}
"""Gates with which the scheduler of a release crashes: see `Bug.CAPACITY_OF_ANOTHER`."""


def _releases() -> Iterator[Any]:
    """The newest release is of the tier that every run has, the others of that of all releases.

    Each with every feature on, which decides over the allocator, and as it is by default.
    """
    newest, *_ = minors()
    for minor in minors():
        mark = pytest.mark.control_plane if minor == newest else pytest.mark.versions
        yield pytest.param((minor, True), marks=mark, id=f"{minor}-every-feature")
        yield pytest.param((minor, False), marks=mark, id=f"{minor}-default")


@pytest.fixture(scope="module", params=_releases())
def setting(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A minor release, and whether every feature is on."""
    found: tuple[str, bool] = request.param
    return found


@pytest.fixture(scope="module")
def scheduling(
    setting: tuple[str, bool],
    request: pytest.FixtureRequest,
    obtain: Callable[[str], tuple[Kubernetes, Debian]],
) -> Iterator[Cluster]:
    """A control plane of it."""
    minor, gates = setting
    kubernetes, debian = obtain(minor)
    made = Cluster(kubernetes, debian, nodes=0, gates=gates, without=OFF.get(kubernetes.minor, ()))
    with made as cluster, artifacts.kept_on_failure(cluster, request.session):
        labels = {"resource.kubernetes.io/admin-access": "true"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
        cluster.api.create(namespace)
        yield cluster


@pytest.fixture(scope="module")
def features(setting: tuple[str, bool], scheduling: Cluster) -> Features:
    """The features that are on."""
    return features_of(scheduling.kubernetes, gates=setting[1])


@pytest.fixture(scope="module")
def profile(scheduling: Cluster, features: Features) -> KubeProfile:
    """The planner's profile."""
    return kube_profile(scheduling.kubernetes.release, features=features)


def features_of(kubernetes: Kubernetes, *, gates: bool) -> Features:
    """The features that are on, by default or with the gates that the tests turn on."""
    default = kube_profile(kubernetes.release).features
    if not gates:
        return default
    lists = "DRAListTypeAttributes" in GATES[kubernetes.minor]
    consumable = "DRAConsumableCapacity" not in OFF.get(kubernetes.minor, ())
    return evolve(default, partitionable=True, taints=True, binding=True, consumable=consumable, lists=lists)
