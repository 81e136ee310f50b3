"""What keeps a container from using its adapters, and who can help."""

from __future__ import annotations

import errno
import os

import pytest
from drakit import ClaimRef, DescribedDevice, DeviceRef, PluginContext
from drakit_efa.plugin import EfaPlugin

FIRST, SECOND = "pci-0000-10-1b-0", "pci-0000-20-1b-0"
VERBS = {FIRST: "rdmap16s27", SECOND: "rdmap32s27"}
"""As `p4d.24xlarge` has them; their nodes are uverbs0 and uverbs1 of four."""
CAPABLE, NOT_CAPABLE = "CapEff:\t0000000000004000\n", "CapEff:\t00000000a80425fb\n"


def given(name, driver="dra.net", **attributes):
    """An adapter as its metadata file describes it; without attributes, one that was not published at the time."""
    return DescribedDevice(
        device=DeviceRef(driver, "node-1", name),
        claim=ClaimRef("u-1", "default", "train"),
        request="efas",
        attributes={f"dra.net/{key}": value for key, value in attributes.items()},
    )


def published(name, driver="dra.net"):
    address = "{}:{}:{}.{}".format(*name.split("-")[1:])
    return given(name, driver, rdmaDevice=VERBS[name], pciAddress=address)


class Guarded(PluginContext):
    """A container whose device cgroup does not allow the nodes of these names, as root would meet it too."""

    denied = ()

    def open_device(self, path, flags=os.O_RDWR):
        if os.path.basename(path) in self.denied:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        return super().open_device(path, flags)


@pytest.fixture
def container(node):
    """The container of a pod with two of the four adapters, in which nothing is wrong yet."""
    node.lay_out("p4d.24xlarge")
    for path in (node.root / "dev/infiniband").iterdir():
        path.unlink()
    for name in ("uverbs0", "uverbs1"):
        (node.root / "dev/infiniband" / name).touch()
    process(node, "limits", "Max locked memory         unlimited            unlimited            bytes\n")
    process(node, "status", NOT_CAPABLE)
    process(node, "uid_map", "         0          0 4294967295\n")
    process(node, "environ", "PATH=/bin\0FI_PROVIDER=efa\0")
    return node


def process(node, name, text):
    path = node.root / "proc/self" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def limited(node, size="65536"):
    process(node, "limits", f"Max cpu time   unlimited  unlimited  seconds\nMax locked memory  {size}  {size}  bytes\n")


def verify(node, *devices, denied=(), driver="dra.net"):
    """Findings by subject: severity and text."""
    context = Guarded(driver=driver, node="node-1", pool="node-1", root=node.root)
    Guarded.denied = denied
    found = EfaPlugin(context).verify(devices)
    assert len({finding.what for finding in found}) == len(found)
    return {finding.what: (str(finding.severity), finding.found) for finding in found}


def good(found):
    return {what for what, (severity, _) in found.items() if severity == "ok"}


def test_adapters_that_can_be_opened_are_named_with_their_nodes(container):
    found = verify(container, published(FIRST), published(SECOND))
    assert good(found) == set(found)
    assert found["verbs devices"][1] == "2 of 2 can be opened: rdmap16s27 (uverbs0), rdmap32s27 (uverbs1)"


@pytest.mark.parametrize("devices", [(given(FIRST), given(SECOND)), (published(FIRST), published(SECOND))])
def test_adapters_are_known_whatever_is_told_of_them(container, devices):
    assert verify(container, *devices)["verbs devices"][1].startswith("2 of 2 can be opened")


def test_adapters_of_a_driver_of_another_name_are_known_by_their_attributes(container):
    devices = [published(name, "efa.example.com") for name in (FIRST, SECOND)]
    assert verify(container, *devices)["verbs devices"][1].startswith("2 of 2 can be opened")


def test_devices_of_other_drivers_are_none_of_ours(container):
    other = given(FIRST, "gpu.example.com")
    assert "is not known" in verify(container, other)["verbs devices"][1]


def test_an_adapter_whose_node_is_missing_names_claim_request_and_remedy(container):
    (container.root / "dev/infiniband/uverbs1").unlink()
    found = verify(container, published(FIRST), published(SECOND))
    severity, text = found[SECOND]
    assert severity == "error"
    assert text.startswith(
        "of claim default/train, request efas: /dev/infiniband/uverbs1, which is rdmap32s27, is not in this container"
    )
    assert "resources.claims" in text
    assert found["verbs devices"][1].startswith("1 of 2")


def test_after_a_module_was_loaded_anew_the_node_of_the_container_is_the_wrong_one(container):
    """The kernel numbers verbs devices anew; what the container has is now that of another adapter."""
    directory = container.root / "sys/class/infiniband_verbs"
    (directory / "uverbs0").rename(directory / "uverbs7")
    found = verify(container, published(FIRST), published(SECOND))
    severity, text = found[FIRST]
    assert severity == "error"
    assert "/dev/infiniband/uverbs7" in text
    assert "loaded anew since it was started, delete the pod" in text


def test_an_adapter_that_is_gone_from_the_node_is_an_error_with_the_reason(container):
    (container.function("0000:10:1b.0") / "driver").unlink()
    severity, text = verify(container, published(FIRST), published(SECOND))[FIRST]
    assert severity == "error"
    assert "no PCI function 0000:10:1b.0 is bound to the efa driver; delete the pod" in text


def test_an_adapter_whose_node_may_not_be_opened_is_an_error(container):
    found = verify(container, published(FIRST), published(SECOND), denied=["uverbs0"])
    severity, text = found[FIRST]
    assert severity == "error"
    assert "/dev/infiniband/uverbs0, which is rdmap16s27, cannot be opened: Operation not permitted" in text
    assert found["verbs devices"][1].startswith("1 of 2")


@pytest.mark.parametrize("denied", [(), ("uverbs3",)])
def test_a_device_that_was_not_given_is_a_warning_that_says_whether_it_can_be_opened(container, denied):
    (container.root / "dev/infiniband/uverbs3").touch()
    found = verify(container, published(FIRST), published(SECOND), denied=denied)
    severity, text = found["foreign verbs devices"]
    assert severity == "warning"
    refused = ", Operation not permitted" if denied else ""
    assert text.startswith(f"rdmap160s27 (uverbs3{refused}): seen here, and not given")
    assert "libfabric gives up on all" in text
    assert found["verbs devices"][0] == "ok"


def test_of_a_container_without_metadata_what_it_sees_is_told(container):
    found = verify(container)
    assert good(found) == set(found)
    assert found["verbs devices"][1] == (
        "this container sees rdmap16s27 (uverbs0), rdmap32s27 (uverbs1); whether it was given them is not known"
    )
    severity, text = verify(container, denied=["uverbs1"])["rdmap32s27"]
    assert severity == "warning"
    assert "libfabric then gives up on all: Operation not permitted" in text


def test_a_container_without_adapters_on_a_node_with_some_is_told_how_it_would_get_them(container):
    for path in (container.root / "dev/infiniband").iterdir():
        path.unlink()
    found = verify(container)
    assert set(found) == good(found) == {"verbs devices"}
    assert found["verbs devices"][1].startswith("none of the 4 of this node is in this container")
    assert "resources.claims" in found["verbs devices"][1]


def test_where_there_are_no_adapters_at_all_there_is_nothing_to_say(node):
    assert verify(node) == {}


# Locked memory


@pytest.mark.parametrize("capabilities", [CAPABLE, NOT_CAPABLE])
def test_no_limit_is_good_with_and_without_the_capability(container, capabilities):
    process(container, "status", capabilities)
    assert verify(container, published(FIRST))["locked memory"] == ("ok", "unlimited")


def test_a_limit_is_a_warning_that_says_what_fails_and_what_to_set(container):
    limited(container)
    severity, text = verify(container, published(FIRST))["locked memory"]
    assert severity == "warning"
    assert text.startswith("limited to 65536 bytes: libfabric fails with -12 (ENOMEM)")
    assert "add the capability IPC_LOCK" in text
    assert "LimitMEMLOCK=infinity" in text


def test_the_capability_lifts_the_limit(container):
    limited(container)
    process(container, "status", CAPABLE)
    assert verify(container, published(FIRST))["locked memory"][0] == "ok"


def test_in_a_user_namespace_of_its_own_the_capability_lifts_nothing(container):
    limited(container)
    process(container, "status", CAPABLE)
    process(container, "uid_map", "         0     165536      65536\n")
    severity, text = verify(container, published(FIRST))["locked memory"]
    assert severity == "warning"
    assert "hostUsers: false" in text
    assert "add the capability" not in text


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("limits", "", "/proc/self/limits has no line 'Max locked memory'"),
        ("limits", "Max locked memory\n", "/proc/self/limits says '' of 'Max locked memory'"),
        ("limits", "Max locked memory  some  some  bytes\n", "/proc/self/limits says 'some' of 'Max locked memory'"),
        ("status", "", "/proc/self/status has no line CapEff"),
        ("status", "CapEff:\tall\n", "/proc/self/status says 'all' of CapEff"),
        ("limits", None, "/proc/self/limits: No such file or directory"),
        ("uid_map", None, "/proc/self/uid_map: No such file or directory"),
    ],
)
def test_a_limit_that_cannot_be_read_is_a_warning_that_says_why_in_words(container, file, text, why):
    limited(container)
    if text is None:
        (container.root / "proc/self" / file).unlink()
    else:
        process(container, file, text)
    severity, found = verify(container, published(FIRST))["locked memory"]
    assert severity == "warning"
    assert found == f"the limit cannot be read: {why}; libfabric needs it to be unlimited"


# Told only


def test_what_libfabric_is_told_is_shown(container):
    found = verify(container, published(FIRST))
    assert found["environment"] == (
        "ok",
        "FI_PROVIDER='efa', FI_EFA_USE_DEVICE_RDMA=(not set), FI_EFA_FORK_SAFE=(not set), RDMAV_FORK_SAFE=(not set)",
    )


@pytest.mark.parametrize(("text", "told"), [("110\n", True), ("many\n", False), (None, False)])
def test_free_huge_pages_are_told_where_the_kernel_says_how_many(container, text, told):
    if text is not None:
        path = container.root / "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    found = verify(container, published(FIRST))
    assert ("huge pages" in found) is told
    if told:
        assert found["huge pages"][1].startswith("110 of 2 MiB are free")


def test_an_environment_that_cannot_be_read_is_left_out(container):
    (container.root / "proc/self/environ").unlink()
    assert "environment" not in verify(container, published(FIRST))
