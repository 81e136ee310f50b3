"""The examples for shared adapters, from pod to container."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner
from drakit.cli import main
from drakit.documents import claim_ref
from drakit.testing import Stage
from drakit.testing.controlplane import Unschedulable
from drakit.testing.manifests import Item, read_manifest
from drakit.testing.runtime import container_edits
from drakit_efa.plugin import EfaPlugin

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SHARES = "efa.drakit/shares"


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


def test_claims_for_shares_of_an_adapter_live_side_by_side_until_no_share_is_left():
    options = {"addresses": ["0000:10:1b.0"], "sharing": {"shares": 2}}
    manifest = read_manifest(EXAMPLES / "efa-shares.yaml")
    first = manifest.of("Pod")[0]
    third = Item(first.place, first.document | {"metadata": {"name": "sharer-3"}})
    with Stage("p4d.24xlarge", [{"plugin": "efa", "options": options}]) as stage:
        plane = stage.control_plane
        pods = plane.submit(evolve(manifest, items=[*manifest.items, third]))
        claims = []
        for pod in pods[:2]:
            (claim,) = plane.schedule(pod, plane.make_claims(pod))
            claims.append(claim)
            (result,) = claim["status"]["allocation"]["devices"]["results"]
            assert result["consumedCapacity"] == {SHARES: "1", "efa.drakit/bandwidth": "50G"}
            assert [answer.error for answer in stage.prepare(claim).values()] == [""]
            assert [node["path"] for node in edits(stage, claim).device_nodes] == ["/dev/infiniband/uverbs0"]
        results = [claim["status"]["allocation"]["devices"]["results"][0] for claim in claims]
        assert len({result["shareID"] for result in results}) == 2
        assert len(stage.cdi_files()) == 2
        late = plane.make_claims(pods[2])
        with pytest.raises(Unschedulable):
            plane.schedule(pods[2], late)
        assert stage.unprepare(claims[0]) == {"dra.net": ""}
        plane.finish(pods[0], claims[:1])
        (claim,) = plane.schedule(pods[2], late)
        assert [answer.error for answer in stage.prepare(claim).values()] == [""]
        for one in (claims[1], claim):
            assert stage.unprepare(one) == {"dra.net": ""}
        assert stage.cdi_files() == []
