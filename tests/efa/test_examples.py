"""The examples for shared adapters, from pod to container."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner
from drakit.cli import main
from drakit.documents import claim_ref
from drakit.plan import read_claim
from drakit.plan.claims import claim_from_template
from drakit.testing import Stage
from drakit.testing.manifests import read_manifest
from drakit.testing.runtime import container_edits
from drakit_efa.plugin import EfaPlugin

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SHARES = "efa.drakit/shares"


@pytest.fixture
def stage():
    with Stage("p4d.24xlarge", [{"plugin": "efa", "options": {"sharing": {"shares": 4}}}]) as running:
        yield running


def edits(stage, claim):
    return container_edits(stage.cdi, stage.kubelet.cdi_ids(claim_ref(claim).uid))


@pytest.mark.parametrize("name", ["shared-efa", "efa-shares"])
def test_the_examples_that_are_shown_are_those_of_the_plugin(name):
    assert (EXAMPLES / f"{name}.yaml").resolve() == EfaPlugin.data / "examples" / f"{name}.yaml"


def test_pods_that_name_one_claim_have_all_its_adapters_also_a_late_one():
    with Stage("p4d.24xlarge", [{"plugin": "efa"}]) as stage:
        plane = stage.control_plane
        first, late = plane.submit(read_manifest(EXAMPLES / "shared-efa.yaml"))
        (claim,) = plane.schedule(first, plane.make_claims(first))
        assert [answer.error for answer in stage.prepare(claim).values()] == [""]
        given = edits(stage, claim)
        assert [node["path"] for node in given.device_nodes] == [f"/dev/infiniband/uverbs{n}" for n in range(4)]
        names = "rdmap16s27,rdmap32s27,rdmap144s27,rdmap160s27"
        assert set(given.env) == {"FI_PROVIDER=efa", f"FI_EFA_IFACE={names}"}
        (again,) = plane.schedule(late, plane.make_claims(late))
        assert again["metadata"]["uid"] == claim["metadata"]["uid"]
        assert again["status"]["allocation"] == claim["status"]["allocation"]
        assert [pod["name"] for pod in again["status"]["reservedFor"]] == ["worker-1", "worker-2"]
        assert [answer.error for answer in stage.prepare(again).values()] == [""]
        assert edits(stage, again) == given
        assert not plane.is_last(first, claim)
        plane.finish(first, [claim])
        assert plane.is_last(late, claim)
        assert stage.unprepare(claim) == {"dra.net": ""}
        plane.finish(late, [again])
        assert not stage.server.get("ResourceClaim", "shared-efa").get("status")
        assert stage.cdi_files() == []


def test_the_demo_shows_that_two_pods_have_one_claim():
    path = str(EXAMPLES / "shared-efa.yaml")
    result = CliRunner().invoke(main, ["demo", "--node", "p4d.24xlarge", "--file", path])
    assert result.exit_code == 0, result.output
    assert result.output.count("FI_EFA_IFACE=rdmap16s27,rdmap32s27,rdmap144s27,rdmap160s27") > 1


def test_claims_for_shares_of_an_adapter_live_side_by_side(stage):
    manifest = read_manifest(EXAMPLES / "efa-shares.yaml")
    (template,) = [item.document for item in manifest.of("ResourceClaimTemplate")]
    assert len(manifest.of("Pod")) == 2
    device = "pci-0000-10-1b-0"
    claims = []
    for number in (1, 2):
        claim = claim_from_template(template, f"efa-{number}", "default", str(uuid.uuid4()))
        (request,) = read_claim(claim).requests
        asked = {name: str(amount) for name, amount in request.exactly.capacity.requests.items()}
        assert list(asked) == [SHARES]
        result = {"request": request.name, "driver": "dra.net", "pool": stage.node, "device": device}
        share = {"shareID": str(uuid.uuid4()), "consumedCapacity": asked | {"efa.drakit/bandwidth": "25G"}}
        claims.append(
            stage.server.create(claim | {"status": {"allocation": {"devices": {"results": [result | share]}}}})
        )
    for claim in claims:
        assert [answer.error for answer in stage.prepare(claim).values()] == [""]
        assert [node["path"] for node in edits(stage, claim).device_nodes] == ["/dev/infiniband/uverbs0"]
    assert len(stage.cdi_files()) == 2
    for claim in claims:
        assert stage.unprepare(claim) == {"dra.net": ""}
