"""`drakit plan -o svg` and `-o html`: the answer on the picture of the nodes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
import yaml

from tests.cli.planning import TRN2, claim_template, pod, workload


@pytest.fixture
def drawn(drakit, inventories, tmp_path):
    def run(documents, *args):
        path = tmp_path / "w.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        return drakit("plan", "-f", path, "--slices", inventories.file(TRN2), *args)

    return run


def marked(picture):
    """The devices whose descriptions name one of these pods, by pod."""
    titles = [one.text or "" for one in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}title")]
    found = {}
    for title in titles:
        for name in re.findall(r"\b(w-\d+/c|lone/c)", title):
            found.setdefault(name, set()).add(title)
    return found


def test_the_devices_that_pods_are_given_stand_out_with_whose_they_are(drawn):
    found = drawn([claim_template("t", 4, group=4), workload("Deployment", "t", replicas=2)], "-o", "svg")
    assert found.code == 0, found.err
    assert {name: len(devices) for name, devices in marked(found.out).items()} == {"w-0/c": 4, "w-1/c": 4}
    assert "Fits: 2 pods placed" in found.err


def test_the_page_has_them_too_and_what_is_not_placed_is_told_beside_it(drawn):
    found = drawn([claim_template("t", 16), pod("lone", "t"), pod("late", "t")], "-o", "html")
    assert found.code == 1
    assert found.out.startswith("<!DOCTYPE html>") or found.out.startswith("<!doctype html>")
    assert "lone/c" in found.out
    assert "late/c" not in found.out
    assert "Does not fit: 1 of 2 pods placed" in found.err


def test_what_claims_of_the_cluster_hold_is_in_use_in_the_picture(drawn, inventories, drakit, tmp_path):
    (node,) = [one for one in inventories.slices(TRN2) if one["spec"]["driver"] == "neuron.aws.com"]
    result = {"request": "r", "driver": "neuron.aws.com", "pool": node["spec"]["pool"]["name"]}
    holder = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "held", "namespace": "default", "uid": "u"},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "neuron.aws.com"}}]}},
        "status": {"allocation": {"devices": {"results": [result | {"device": "neuron-device-0"}]}}},
    }
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump_all([claim_template("t", 1), pod("lone", "t")]))
    found = drakit("plan", "-f", path, "--slices", inventories.file(TRN2, more=[holder]), "-o", "svg")
    assert found.code == 0, found.err
    assert "default/held" in found.out
    (device,) = marked(found.out)["lone/c"]
    assert "neuron-device-0" not in device.split()


def test_of_copies_there_is_no_picture(drawn):
    found = drawn([claim_template("t", 1), pod("lone", "t")], "--fit", "-o", "svg")
    assert found.code == 2
    assert "of --fit there is no picture" in found.err
