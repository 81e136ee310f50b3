"""From extended resources to claims, on a real scheduler: what docs/migration.md says of manifests that stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from realkube import artifacts
from realkube.api import Api
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes
from realkube.waiting import until

from tests.cluster.deploy.before import add_node, document

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

DRIVER, RESOURCE = "neuron.aws.com", "aws.amazon.com/neuron"


@pytest.fixture(scope="module")
def api(components: tuple[Kubernetes, Debian], request: pytest.FixtureRequest) -> Iterator[Api]:
    """A cluster under way: a node with the device plugin, and one where drakit has taken its place."""
    with Cluster(*components, nodes=0) as cluster, artifacts.kept_on_failure(cluster, request.session):
        # What a device plugin offered stays at 0 when that is gone.
        for name, count in (("before", "16"), ("after", "0")):
            add_node(cluster.api, name, {RESOURCE: count})
        spec = {
            "driver": DRIVER,
            "nodeName": "after",
            "pool": {"name": "after", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": f"neuron-device-{index}"} for index in range(4)],
        }
        cluster.api.create(document("ResourceSlice", "after", spec))
        selectors = [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]
        cluster.api.create(document("DeviceClass", DRIVER, {"selectors": selectors, "extendedResourceName": RESOURCE}))
        yield cluster.api


def scheduled(api: Api, name: str, on: str) -> dict[str, Any]:
    """A pod that asks for two of the extended resource on a node, once the scheduler has placed it."""
    container = {"name": "c", "image": "example.com/worker:1", "resources": {"limits": {RESOURCE: "2"}}}
    spec = {"containers": [container], "nodeSelector": {"is": on}, "tolerations": [{"operator": "Exists"}]}
    api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    def placed() -> dict[str, Any] | None:
        pod = api.get("Pod", name)
        return pod if pod["spec"].get("nodeName") else None

    return until(f"{name} to have a node", placed, seen=lambda: str(api.get("Pod", name)["status"]))


def test_a_manifest_that_stays_gets_devices_of_the_class_where_the_device_plugin_is_gone(api: Api):
    pod = scheduled(api, "stays", "after")
    given = pod["status"]["extendedResourceClaimStatus"]
    claim = api.get("ResourceClaim", given["resourceClaimName"])
    results = claim["status"]["allocation"]["devices"]["results"]
    assert [(one["driver"], one["pool"]) for one in results] == [(DRIVER, "after")] * 2


def test_a_manifest_that_stays_is_served_by_the_device_plugin_where_that_still_is(api: Api):
    pod = scheduled(api, "still", "before")
    assert "extendedResourceClaimStatus" not in pod["status"]
