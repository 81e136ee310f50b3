"""PluginHost: one plugin at a time, every failure with a name, every answer checked before it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimError,
    ClaimRef,
    Device,
    DeviceGroup,
    DeviceRef,
    Health,
    Hold,
    Inventory,
    PciFunction,
    Pool,
    PreparedDevice,
    RequestPolicy,
    SharePolicy,
    hookimpl,
)
from drakit.errors import DeviceBusy, PluginContractError
from drakit.loading import HOOKS

DRIVER, OTHER = "gpu.example.com", "nic.example.com"
GPU = DeviceRef(DRIVER, "node-1", "gpu-0")
NIC = DeviceRef(OTHER, "node-1", "nic-0")
DEVICE = Device("gpu-0", capacity={"memory": 8})
CLAIM = ClaimRef("u-1", "default", "claim")
ALLOCATED = (AllocatedDevice("gpu", GPU), AllocatedDevice("gpu", DeviceRef(DRIVER, "node-1", "gpu-1")))
ALLOCATION = ClaimAllocation(CLAIM, ALLOCATED)
PREPARED = tuple(PreparedDevice(device.request, device.device) for device in ALLOCATED)
NODE = Inventory({GPU: DEVICE, NIC: Device("nic-0")})


def returning(value: Any) -> Callable:
    return lambda **_: value


def raising(error: BaseException) -> Callable:
    def raise_it(**_: Any) -> Any:
        raise error

    return raise_it


def test_every_hook_has_a_test_that_names_it():
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_hooks*.py"))
    for hook in HOOKS:
        assert f"\ndef test_hook_{hook}_" in tests, f"no test_hook_{hook}_..."


# discover


def test_hook_discover_returns_pools(hosted):
    pools = (Pool([DEVICE]), Pool((), name="rack"))
    name = hosted.add(hosted.backend(discover=returning(list(pools))))
    assert hosted.host.discover(name) == pools


def test_hook_discover_may_find_nothing(hosted):
    assert hosted.host.discover(hosted.add(hosted.backend(discover=returning(None)))) == ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Pool(()), "must return a sequence of Pool, not Pool"),
        ((DEVICE,), "must return Pool only, not Device"),
        ("pool", "must return a sequence of Pool, not 'pool'"),
        ({"pool": 1}, "must return a sequence of Pool"),
        (7, "must return a sequence of Pool, not 7"),
        (iter([Pool(())]), "must return a sequence of Pool, not <list_iterator"),
        ((Pool(()), Pool(())), "pool None is returned twice"),
        ((Pool((), name="a"), Pool((), name="a")), "pool 'a' is returned twice"),
    ],
)
def test_hook_discover_with_another_answer_is_a_contract_error(hosted, answer, said):
    name = hosted.add(hosted.backend(discover=returning(answer)))
    with pytest.raises(PluginContractError) as caught:
        hosted.host.discover(name)
    assert f"plugin {DRIVER!r}: discover: {said}" in str(caught.value)


def test_hook_discover_as_a_generator_is_refused(hosted):
    """What a generator raises later would be nobody's failure."""

    class Generating(hosted.backend()):
        @hookimpl
        def discover(self):
            yield Pool(())

    with pytest.raises(PluginContractError, match="must return a sequence of Pool, not <generator"):
        hosted.host.discover(hosted.add(Generating))


# attributes


def test_hook_attributes_adds_to_own_and_foreign_devices(hosted):
    name = hosted.add(hosted.extension(attributes=returning({"example.com/rack": "a"})), name="racks", driver=None)
    assert hosted.host.attributes(name, GPU, DEVICE) == {"example.com/rack": "a"}


def test_hook_attributes_may_say_nothing(hosted):
    name = hosted.add(hosted.extension(attributes=returning(None)), name="racks", driver=None)
    assert hosted.host.attributes(name, GPU, DEVICE) == {}


def test_hook_attributes_needs_a_domain_on_foreign_devices_only(hosted):
    name = hosted.add(hosted.backend(attributes=returning({"rack": "a"})))
    assert hosted.host.attributes(name, GPU, DEVICE) == {"rack": "a"}
    with pytest.raises(
        PluginContractError, match=r"'rack' on nic.example.com/node-1/nic-0, .* needs a `domain/` prefix"
    ):
        hosted.host.attributes(name, NIC, Device("nic-0"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([("a/rack", 1)], "must return a mapping or None"),
        ({"a/rack": 1.5}, "must be a bool, int, str, Version"),
        ({"a/rack": "x" * 65}, "at most 64 bytes"),
        ({"a/no-identifier": 1}, "C identifier"),
        ({7: 1}, "needs a `domain/` prefix"),
    ],
)
def test_hook_attributes_with_another_answer_is_a_contract_error(hosted, answer, said):
    name = hosted.add(hosted.extension(attributes=returning(answer)), name="racks", driver=None)
    with pytest.raises(PluginContractError, match=f"plugin 'racks': attributes: .*{said}"):
        hosted.host.attributes(name, GPU, DEVICE)


# share


def test_hook_share_returns_a_policy_or_none(hosted):
    policy = SharePolicy({"memory": RequestPolicy(default=2)})
    answers = iter([policy, None])
    name = hosted.add(hosted.backend(share=lambda device: next(answers)))
    assert hosted.host.share(name, DEVICE) == policy
    assert hosted.host.share(name, DEVICE) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (True, "must return a SharePolicy or None, not True"),
        (SharePolicy({"cores": RequestPolicy()}), "device 'gpu-0' has no capacity 'cores'"),
        (SharePolicy({"memory": RequestPolicy(default=9)}), "must not go over 8"),
    ],
)
def test_hook_share_with_another_answer_is_a_contract_error(hosted, answer, said):
    name = hosted.add(hosted.backend(share=returning(answer)))
    with pytest.raises(PluginContractError, match=f"share: .*{said}"):
        hosted.host.share(name, DEVICE)


# devicegroups


def test_hook_devicegroups_sees_the_whole_node(hosted):
    def group(inventory: Inventory) -> list[DeviceGroup]:
        return [DeviceGroup("example.com/group", "a", [ref for ref, _ in inventory])]

    name = hosted.add(hosted.extension(devicegroups=group), name="groups", driver=None)
    (found,) = hosted.host.devicegroups(name, NODE)
    assert found.members == {GPU, NIC}


def test_hook_devicegroups_with_an_unknown_member_is_a_contract_error(hosted):
    stranger = DeviceRef(OTHER, "node-1", "nic-9")
    groups = [DeviceGroup("example.com/group", "a", [GPU, stranger])]
    name = hosted.add(hosted.extension(devicegroups=returning(groups)), name="groups", driver=None)
    with pytest.raises(PluginContractError, match=r"names nic.example.com/node-1/nic-9, which nobody discovered"):
        hosted.host.devicegroups(name, NODE)


# prepare


def test_hook_prepare_returns_one_answer_per_device_in_any_order(hosted):
    name = hosted.add(hosted.backend(prepare=lambda claim: PREPARED[::-1]))
    assert hosted.host.prepare(name, ALLOCATION) == PREPARED[::-1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (PREPARED[:1], "did not prepare gpu.example.com/node-1/gpu-1 for request 'gpu' of claim default/claim"),
        (None, "did not prepare gpu.example.com/node-1/gpu-0"),
        ((*PREPARED, PREPARED[0]), "prepared unasked gpu.example.com/node-1/gpu-0"),
        ((*PREPARED, PreparedDevice("gpu", NIC)), "prepared unasked nic.example.com/node-1/nic-0"),
        (
            (PREPARED[0], PreparedDevice("other", PREPARED[1].device)),
            "of claim default/claim; it answered gpu.example.com/node-1/gpu-1 for request 'other' instead",
        ),
        (
            (PREPARED[0], PreparedDevice("gpu", PREPARED[1].device, share_id="x")),
            "of claim default/claim; it answered gpu.example.com/node-1/gpu-1 for request 'gpu', share 'x', instead",
        ),
        ([device.device for device in PREPARED], "must return PreparedDevice only"),
    ],
)
def test_hook_prepare_that_is_not_exact_is_a_contract_error(hosted, answer, said):
    name = hosted.add(hosted.backend(prepare=returning(answer)))
    with pytest.raises(PluginContractError, match=said):
        hosted.host.prepare(name, ALLOCATION)


def test_hook_prepare_passes_a_claim_error_on_as_it_is(hosted):
    error = DeviceBusy("in use by a container of another runtime")
    name = hosted.add(hosted.backend(prepare=raising(error)))
    with pytest.raises(DeviceBusy) as caught:
        hosted.host.prepare(name, ALLOCATION)
    assert caught.value is error


# unprepare


def test_hook_unprepare_gets_the_claim_and_what_was_prepared(hosted):
    seen = []
    name = hosted.add(hosted.backend(unprepare=lambda claim, prepared: seen.append((claim, prepared))))
    hosted.host.unprepare(name, CLAIM, PREPARED)
    assert seen == [(CLAIM, PREPARED)]


def test_hook_unprepare_may_not_raise_a_claim_error(hosted):
    name = hosted.add(hosted.backend(unprepare=raising(ClaimError("not now"))))
    with pytest.raises(PluginContractError, match="unprepare: raised a ClaimError; only prepare may"):
        hosted.host.unprepare(name, CLAIM, PREPARED)


# in_use


@pytest.mark.parametrize("answer", [True, False, None])
def test_hook_in_use_answers_yes_no_or_not_known(hosted, answer):
    asked = []
    name = hosted.add(hosted.backend(in_use=lambda device: asked.append(device) or answer))
    assert hosted.host.in_use(name, GPU) is answer
    assert asked == [GPU]


def test_hook_in_use_that_is_not_implemented_is_not_known(hosted):
    assert hosted.host.in_use(hosted.add(hosted.backend()), GPU) is None


@pytest.mark.parametrize("answer", [0, 1, "no", []])
def test_hook_in_use_must_not_be_guessed_at(hosted, answer):
    name = hosted.add(hosted.backend(in_use=returning(answer)))
    with pytest.raises(PluginContractError, match="in_use: must return True, False or None, not"):
        hosted.host.in_use(name, GPU)


# health


def test_hook_health_returns_reports_of_own_devices(hosted):
    report = Health(GPU, "Unhealthy", "too hot")
    assert hosted.host.health(hosted.add(hosted.backend(health=returning([report])))) == (report,)


def test_hook_health_of_a_foreign_device_is_a_contract_error(hosted):
    name = hosted.add(hosted.backend(health=returning([Health(NIC, "Healthy")])))
    with pytest.raises(
        PluginContractError, match=r"reports on nic.example.com/node-1/nic-0, a device of another driver"
    ):
        hosted.host.health(name)


def test_hook_health_that_is_not_implemented_reports_nothing(hosted):
    name = hosted.add(hosted.backend())
    assert hosted.host.health(name) == ()
    assert hosted.host.implementing("health") == []


# layout


def test_hook_layout_returns_the_pci_functions_of_the_plugin(hosted, tmp_path):
    function = PciFunction(address="0000:10:00.0", vendor=0x10DE, device=1, class_code=0x030200)

    def lay_out(node_type: str, root: Path) -> list[PciFunction]:
        (root / node_type).mkdir()
        return [function]

    name = hosted.add(hosted.extension(layout=lay_out), name="gpus", driver=None)
    assert hosted.host.layout(name, "big", tmp_path) == (function,)
    assert (tmp_path / "big").is_dir()


def test_hook_layout_with_another_answer_is_a_contract_error(hosted, tmp_path):
    name = hosted.add(hosted.extension(layout=returning(["0000:10:00.0"])), name="gpus", driver=None)
    with pytest.raises(PluginContractError, match=r"must return PciFunction only, not '0000:10:00.0'"):
        hosted.host.layout(name, "big", tmp_path)


# close


def test_hook_close_is_asked_of_all_even_where_one_fails(hosted):
    closed = []
    hosted.add(hosted.extension(close=raising(OSError("stuck bus"))), name="one", driver=None)
    hosted.add(hosted.extension(close=lambda: closed.append("two")), name="two", driver=None)
    hosted.add(hosted.backend())
    (failure,) = hosted.host.close()
    assert closed == ["two"]
    assert "plugin 'one': close failed: OSError: stuck bus" in str(failure)


# Arguments


def test_hook_prepare_is_given_what_is_held(hosted):
    told = []

    def prepare(held: Callable, **_: Any) -> Any:
        told.extend(held(GPU))
        return PREPARED

    class Dividing(hosted.backend()):
        @hookimpl
        def prepare(self, claim, held):
            return prepare(held=held)

    hold = Hold(CLAIM, PREPARED[0])
    name = hosted.add(Dividing)
    assert hosted.host.prepare(name, ALLOCATION, lambda device: [hold] if device == GPU else []) == PREPARED
    assert told == [hold]


def test_an_implementation_may_leave_out_arguments(hosted):
    class Sparing(hosted.backend()):
        @hookimpl
        def prepare(self):
            return PREPARED

        @hookimpl
        def unprepare(self): ...

    name = hosted.add(Sparing)
    assert hosted.host.prepare(name, ALLOCATION) == PREPARED
    hosted.host.unprepare(name, CLAIM, PREPARED)
