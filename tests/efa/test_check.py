"""What `drakit check` is told of a node's EFA adapters: what is lost, of which adapter, and what to do."""

from __future__ import annotations

import logging
import shutil

import pytest
from drakit import Severity
from drakit_efa.options import EfaOptions


def told(plugin):
    """What is found, by what was looked at."""
    return {finding.what: (finding.severity, finding.found) for finding in plugin.check()}


def says(node, instance_type):
    (node.root / "sys/devices/virtual/dmi/id/product_name").write_text(f"{instance_type}\n")


@pytest.mark.parametrize("node_type", ["p5.48xlarge", "trn1.32xlarge", "p6-b200.48xlarge", "g6e.24xlarge"])
def test_a_good_node_needs_no_finding(node, node_type):
    assert told(node.lay_out(node_type).plugin()) == {}


def test_a_machine_that_is_no_efa_type_needs_no_finding(node):
    assert told(node.plugin()) == {}


def test_fewer_adapters_than_the_type_can_have_are_the_launch_templates_doing(node):
    severity, found = told(node.lay_out("p5.48xlarge@fewer").plugin())["EFA adapters"]
    assert severity is Severity.WARNING
    assert found.startswith("the launch template decides: 16 of 32 that p5.48xlarge can have")


def test_a_node_of_an_efa_type_without_any_is_told_why(node):
    node.lay_out("p4d.24xlarge@unloaded")
    shutil.rmtree(node.root / "sys/bus/pci/devices")
    _, found = told(node.plugin())["EFA adapters"]
    assert "0 of 4" in found


def test_more_adapters_than_the_type_is_known_to_have_are_pointed_out(node, devices):
    node.lay_out("p4d.24xlarge")
    says(node, "c5n.18xlarge")
    plugin = node.plugin()
    severity, found = told(plugin)["EFA adapters"]
    assert severity is Severity.WARNING
    assert found.startswith("4: more than the 1 that c5n.18xlarge is known to have")
    assert len(devices(plugin)) == 4


@pytest.mark.parametrize("instance_type", ["p9z.96xlarge", "", "\x00"])
def test_of_a_type_nobody_knows_no_number_is_expected(node, instance_type):
    node.lay_out("p4d.24xlarge")
    says(node, instance_type)
    assert told(node.plugin()) == {}


def test_adapters_that_were_not_asked_for_are_not_missing(node):
    plugin = node.lay_out("p4d.24xlarge").plugin(options=EfaOptions(("0000:10:1b.0",)))
    assert told(plugin) == {}


def test_a_module_that_is_not_loaded_is_found(node):
    severity, found = told(node.lay_out("p4d.24xlarge@unloaded").plugin())["efa kernel module"]
    assert severity is Severity.WARNING
    assert "0000:10:1b.0" in found
    assert "modprobe efa" in found


def test_exclusive_network_namespaces_are_an_error_with_the_remedy(node):
    severity, found = told(node.lay_out("p4d.24xlarge@netns-exclusive").plugin())["RDMA network namespaces"]
    assert severity is Severity.ERROR
    assert "claims for EFA adapters are refused" in found
    assert "netns_mode=1" in found


def test_exclusive_network_namespaces_are_nothing_to_a_node_without_adapters(node):
    file = node.root / "sys/module/ib_core/parameters/netns_mode"
    file.parent.mkdir(parents=True)
    file.write_text("N\n")
    assert told(node.plugin()) == {}


def test_adapters_that_are_left_out_are_named_with_the_reason(node):
    node.lay_out("p4d.24xlarge")
    shutil.rmtree(node.function("0000:20:1b.0") / "infiniband_verbs")
    found = told(node.plugin())
    assert found.keys() == {"EFA adapters"}
    assert found["EFA adapters"][1].startswith(
        "0000:20:1b.0: not published; its RDMA device rdmap32s27 has no verbs node"
    )


def test_files_that_cannot_be_read_are_found_with_what_they_cost(node):
    node.lay_out("p5.48xlarge")
    for directory in (node.root / "sys/class/infiniband").iterdir():
        (directory / "ports/1/gids/0").unlink()
    (node.root / "sys/class/infiniband/rdmap79s0/ports/1/state").write_text("\n")
    found = {what: text for what, (_, text) in told(node.plugin()).items()}
    assert found.keys() == {"attribute mac", "attribute health"}
    assert (
        "not published for 0000:4f:00.0, 0000:50:00.0, 0000:51:00.0, 0000:52:00.0 and 28 more" in found["attribute mac"]
    )
    assert "cannot read ports/1/gids/0 (No such file or directory)" in found["attribute mac"]
    assert "published as Unknown for 0000:4f:00.0:" in found["attribute health"]


def test_an_address_that_selects_nothing_is_found(node):
    plugin = node.lay_out("p4d.24xlarge").plugin(options=EfaOptions(("0000:10:1b.0", "0000:11:1b.0")))
    found = told(plugin)
    assert found.keys() == {"option addresses"}
    assert found["option addresses"][1].startswith("0000:11:1b.0: no EFA adapter is there")


@pytest.mark.parametrize("node_type", ["p4d.24xlarge@unloaded", "p4d.24xlarge@netns-exclusive", "p4d.24xlarge"])
def test_whatever_the_log_warns_of_is_found_under_the_subject_that_the_line_names(node, caplog, node_type):
    node.lay_out(node_type)
    if node_type == "p4d.24xlarge":
        shutil.rmtree(node.function("0000:20:1b.0") / "infiniband_verbs")
        (node.root / "sys/class/infiniband/rdmap16s27/ports/1/gids/0").unlink()
    with caplog.at_level(logging.WARNING):
        plugin = node.plugin(
            options=EfaOptions(("0000:10:1b.0", "0000:11:1b.0", "0000:20:1b.0")), log=logging.getLogger("efa")
        )
        found = told(plugin)
    named = {record.finding for record in caplog.records}
    assert named
    assert named <= found.keys()
