"""What the host shows of devices that cannot be: each is told with device, file and remedy, and none in silence."""

from __future__ import annotations

import pytest
from drakit import DeviceUnfit
from drakit.errors import DRAError


def only_warning(node, *parts):
    (warning,) = node.warnings()
    for part in parts:
        assert part in warning
    return warning


@pytest.mark.parametrize("hook", ["discover", "check", "node_labels"])
@pytest.mark.parametrize("instead", ["a file", "a circle"])
def test_a_class_that_is_no_directory_is_refused_by_name_with_the_remedy(node, hook, instead):
    path = node.root / "sys/class/neuron_device"
    path.parent.mkdir(parents=True)
    if instead == "a file":
        path.write_text("garbage\n")
    else:
        path.symlink_to("neuron_device")
    if hook == "check":  # discovery, which comes first, has said it
        assert [finding for finding in node.plugin().check() if finding.severity != "ok"] == []
        return
    with pytest.raises(DRAError, match=r"^/sys/class/neuron_device cannot be listed .*load the kernel module anew"):
        getattr(node.plugin(), hook)()


@pytest.mark.reliability(
    fault="A device is in sysfs, and its file in /dev is missing",
    injected="/dev/neuron<N> is taken away from a faked node",
    promise="Its claims are refused at Prepare with file and remedy, it counts as faulty, and the log names it",
)
def test_a_device_without_its_node_is_named_and_its_claims_are_refused(node, devices, record, claim_of):
    plugin = node.lay_out("inf2.24xlarge").plugin()
    (node.root / "dev/neuron3").unlink()
    assert len(devices(plugin)) == 6
    only_warning(node, "/dev/neuron3", "neuron3", "udevadm trigger")
    record.prepare(plugin, claim_of(2, 4, name="other"))
    with pytest.raises(DeviceUnfit, match=r"neuron-device-3 cannot be given.*/dev/neuron3 is not there") as caught:
        record.prepare(plugin, claim_of(3))
    assert (caught.value.fault, caught.value.devices) == ("missing-devices", ("neuron-device-3",))


@pytest.mark.parametrize("text", ["garbage", "", "-7"])
def test_a_numa_node_that_is_none_is_named_and_costs_its_attribute(node, devices, text):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    (node.root / "sys/bus/pci/devices/0000:b5:00.0/numa_node").write_text(f"{text}\n")
    found = devices(plugin)
    only_warning(node, "0000:b5:00.0/numa_node", "neuron1", "reboot the node")
    assert "resource.kubernetes.io/numaNode" not in found["neuron-device-1"].attributes
    assert "resource.kubernetes.io/numaNode" in found["neuron-device-2"].attributes


def test_a_numa_node_that_the_kernel_does_not_know_is_nothing_to_tell(node, devices):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    (node.root / "sys/bus/pci/devices/0000:b5:00.0/numa_node").write_text("-1\n")
    assert "resource.kubernetes.io/numaNode" not in devices(plugin)["neuron-device-1"].attributes
    assert node.warnings() == []


@pytest.mark.parametrize("shown", ["Trn1", "Trn9"])
def test_a_generation_that_is_not_the_types_is_named_and_the_type_holds(node, devices, shown):
    plugin = node.lay_out("trn2.3xlarge").plugin()
    (node.device_dir(0) / "info/architecture/instance_type").write_text(f"{shown}\n")
    attributes = devices(plugin)["neuron-device-0"].attributes
    only_warning(node, f"{shown!r}", "info/architecture/instance_type", "trn2.3xlarge has Trn2", "option instances")
    assert attributes["neuron.drakit/architecture"] == "Trn2"


def test_a_generation_that_cannot_be_told_is_named_with_what_is_published_instead(node, devices):
    plugin = node.lay_out("trn2.3xlarge").plugin()
    (node.device_dir(0) / "info/architecture/instance_type").write_text("\x07\n")
    devices(plugin)
    only_warning(node, "neuron0", "published as one of Trn2, which trn2.3xlarge has")
