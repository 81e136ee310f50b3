from __future__ import annotations

import os
import threading

import pytest
from drakit import (
    ClaimRef,
    Condition,
    ConfigSource,
    DeviceStatus,
    HealthStatus,
    InvalidDeviceConfig,
    NetworkData,
    Taint,
)
from drakit.errors import DeviceNotFound, HookFailed
from drakit_mock.faults import Fault, FaultKind, end_faults, faults_file, inject
from drakit_mock.profile import API_VERSION

UID = "5e9a3f1c-8a55-4f0e-9d0b-0d8c7a2f6b11"
CARD = {
    "name": "card-{index}",
    "count": 2,
    "container": {
        "env": {"CARD_{index}": "card {index}", "LEVEL": "profile"},
        "deviceNodes": [
            {"path": "/dev/card{index}"},
            {"path": "/dev/ctl", "hostPath": "/dev/zero", "permissions": "r"},
        ],
    },
}


def config(**env):
    return {"apiVersion": API_VERSION, "kind": "MockConfig", "env": env}


def test_a_container_is_told_what_it_was_given(inline):
    driver = inline(devices=[CARD])
    prepared = driver.prepare("card-1", "card-0")
    assert [item.device for item in prepared] == [driver.ref("card-1"), driver.ref("card-0")]
    assert prepared[0].edits.env == {
        "CARD_1": "card 1",
        "LEVEL": "profile",
        "MOCK_DEVICE_CARD_1": "mock.example.com/node-1/card-1",
    }


def test_preparing_again_gives_the_same(inline):
    driver = inline(devices=[CARD])
    assert driver.prepare("card-0") == driver.prepare("card-0")


def test_what_is_prepared_can_be_undone_twice_and_by_another_instance(inline):
    prepared = inline(devices=[CARD]).prepare("card-0")
    other = inline(devices=[])
    for left in (prepared, prepared, []):
        other.host.unprepare(other.name, ClaimRef("uid-1", "default", "training"), left)


def test_a_claims_configuration_goes_over_its_classs_and_that_over_the_profile(inline):
    driver = inline(devices=[CARD])
    (prepared,) = driver.prepare(
        "card-0",
        configs=[
            (ConfigSource.CLASS, config(LEVEL="class", ONLY_CLASS="yes")),
            (ConfigSource.CLAIM, config(LEVEL="claim")),
        ],
    )
    assert prepared.edits.env["LEVEL"] == "claim"
    assert prepared.edits.env["ONLY_CLASS"] == "yes"


def test_no_configuration_can_say_the_device_is_another(inline):
    driver = inline(devices=[CARD])
    (prepared,) = driver.prepare("card-0", configs=[(ConfigSource.CLAIM, config(MOCK_DEVICE_CARD_0="other"))])
    assert prepared.edits.env["MOCK_DEVICE_CARD_0"] == "mock.example.com/node-1/card-0"


@pytest.mark.parametrize(
    "parameters",
    [
        config() | {"kind": "MockProfile"},
        config() | {"apiVersion": "mock.drakit/v2"},
        config() | {"enviroment": {}},
        config() | {"env": {"A": 1}},
        config(**{"A=B": "x"}),
        config(**{"": "x"}),
    ],
)
def test_a_configuration_of_the_wrong_kind_is_refused(inline, parameters):
    driver = inline(devices=[CARD])
    with pytest.raises(InvalidDeviceConfig):
        driver.prepare("card-0", configs=[(ConfigSource.CLAIM, parameters)])


def test_a_shared_device_says_how_much_of_it_is_the_claims(drivers):
    (driver,) = drivers(nic={"profile": "shared-nic"})
    (prepared,) = driver.prepare("nic-0", consumed={"bandwidth": "20G"})
    assert prepared.edits.env["MOCK_CAPACITY_NIC_0_BANDWIDTH"] == "20G"


def test_device_nodes_are_harmless_unless_the_profile_names_another(drivers, tmp_path):
    (driver,) = drivers(tmp_path, mock={"inline": {"devices": [CARD]}})
    (prepared,) = driver.prepare("card-0")
    card, control = prepared.edits.device_nodes
    assert (card.path, card.host_path) == ("/dev/card0", "/dev/null")
    assert (control.path, control.host_path, control.permissions) == ("/dev/ctl", f"{tmp_path}/dev/zero", "r")


def test_devices_are_healthy_unless_the_profile_reports_otherwise(inline):
    taint = {"key": "example.com/broken", "effect": "NoExecute"}
    driver = inline(
        devices=[CARD], health={"card-1": {"status": "Unhealthy", "message": "fan stopped", "taint": taint}}
    )
    good, bad = driver.host.health(driver.name)
    assert (good.device, good.status, good.taint) == (driver.ref("card-0"), HealthStatus.HEALTHY, None)
    assert (bad.device, bad.status, bad.message) == (driver.ref("card-1"), HealthStatus.UNHEALTHY, "fan stopped")
    assert bad.taint == Taint("example.com/broken", effect="NoExecute")


@pytest.fixture
def write_profile(tmp_path):
    path = tmp_path / "cards.yaml"

    def write(body):
        # Replaced, not rewritten, as editors and ConfigMap volumes do.
        new = path.with_suffix(".new")
        new.write_text(f"apiVersion: {API_VERSION}\nkind: MockProfile\n{body}\n")
        os.replace(new, path)
        return str(path)

    return write


def names(driver):
    return [device.name for device in driver.pool().devices]


def test_to_edit_a_profile_file_is_to_plug_and_to_unplug(drivers, write_profile):
    (driver,) = drivers(mock={"profile": write_profile("devices: [{name: a}]")})
    assert names(driver) == ["a"]
    write_profile("devices: [{name: a}, {name: b}]")
    assert names(driver) == ["a", "b"]
    assert len(driver.prepare("b")) == 1
    write_profile("devices: [{name: b}]")
    assert names(driver) == ["b"]
    with pytest.raises(DeviceNotFound, match=r"mock\.example\.com/node-1/a is not in the profile any more"):
        driver.prepare("a")


def test_a_device_that_breaks_in_the_file_is_reported_and_discovery_asked_for(drivers, write_profile):
    (driver,) = drivers(mock={"profile": write_profile("devices: [{name: a}]")})
    driver.host.health(driver.name)
    assert driver.changes == []
    write_profile("devices: [{name: a}]\nhealth: {a: {status: Unhealthy, message: smoke}}")
    (report,) = driver.host.health(driver.name)
    assert (report.status, report.message) == (HealthStatus.UNHEALTHY, "smoke")
    assert driver.changes == [None]
    driver.host.health(driver.name)
    assert driver.changes == [None]


def test_device_nodes_that_are_others_in_the_file_are_numbers_dealt_out_anew(drivers, write_profile):
    def card(node):
        return f"{{name: a, container: {{deviceNodes: [{{path: {node}}}]}}}}"

    (driver,) = drivers(mock={"profile": write_profile(f"devices: [{card('/dev/card0')}]")})
    write_profile(f"devices: [{card('/dev/card0')}, {{name: b}}]")
    driver.pool()
    assert driver.renumberings == []
    write_profile(f"devices: [{card('/dev/card1')}, {{name: b}}]")
    driver.pool()
    driver.host.health(driver.name)
    assert driver.renumberings == [None]


def test_an_inline_profile_depends_on_no_file(inline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    driver = inline(devices=[CARD])
    (tmp_path / "anything").touch()
    driver.host.health(driver.name)
    assert driver.changes == []


def test_a_profile_file_that_goes_is_said_and_its_devices_stay_usable(drivers, write_profile):
    path = write_profile("devices: [{name: a}]")
    (driver,) = drivers(mock={"profile": path})
    os.unlink(path)
    with pytest.raises(HookFailed, match="cannot read"):
        driver.pool()
    assert len(driver.prepare("a")) == 1


def test_a_file_that_becomes_wrong_is_said_every_time_until_it_is_right(drivers, write_profile):
    (driver,) = drivers(mock={"profile": write_profile("devices: [{name: a}]")})
    write_profile("devices: [{name: A}]")
    for _ in range(2):
        with pytest.raises(HookFailed, match=r"cards\.yaml: devices\[0\]"):
            driver.pool()
    assert len(driver.prepare("a")) == 1
    write_profile("devices: [{name: c}]")
    assert names(driver) == ["c"]


def test_several_drivers_of_one_class_have_each_their_own_devices(drivers):
    one, two = drivers(
        one={"inline": {"devices": [{"name": "a"}]}},
        two={"inline": {"devices": [{"name": "b"}]}},
    )
    assert (names(one), names(two)) == (["a"], ["b"])
    (prepared,) = two.prepare("b")
    assert prepared.edits.env == {"MOCK_DEVICE_B": "two.example.com/node-1/b"}


@pytest.fixture
def breakable(drivers, tmp_path):
    """A driver with two cards that keeps its state in a directory of its own, and the file of its faults."""
    (driver,) = drivers(mock={"inline": {"devices": [CARD]}, "state": str(tmp_path / "state")})
    return driver, faults_file(tmp_path / "state")


def test_a_fault_of_one_driver_is_none_of_another_with_such_a_device(drivers, tmp_path):
    options = {"inline": {"devices": [CARD]}, "state": str(tmp_path)}
    one, two = drivers(one=options, two=options)
    inject(faults_file(tmp_path), Fault(device="card-0", kind=FaultKind.VANISH, driver=one.name))
    assert (names(one), names(two)) == (["card-1"], ["card-0", "card-1"])


def test_a_change_of_the_faults_is_told_whoever_finds_it(breakable):
    driver, path = breakable
    for number, find in enumerate(
        [lambda: driver.host.health(driver.name), lambda: driver.prepare("card-0"), driver.pool], start=1
    ):
        inject(path, Fault(device="card-1", kind=FaultKind.UNHEALTHY, message=str(number)))
        find()
        find()
        assert len(driver.changes) == number


def test_a_file_of_faults_that_is_wrong_is_said_by_discovery_and_health_and_costs_no_pod(breakable):
    driver, path = breakable
    inject(path, Fault(device="card-0", kind=FaultKind.VANISH))
    assert names(driver) == ["card-1"]
    path.write_text("{}")
    for ask in (driver.pool, lambda: driver.host.health(driver.name)):
        with pytest.raises(HookFailed, match=r"faults\.json"):
            ask()
    assert len(driver.prepare("card-1")) == 1
    with pytest.raises(DeviceNotFound, match="has vanished"):
        driver.prepare("card-0")
    path.unlink()
    assert names(driver) == ["card-0", "card-1"]


def test_a_hook_that_hangs_goes_on_when_the_fault_ends(breakable):
    driver, path = breakable
    inject(path, Fault(device="card-0", kind=FaultKind.HANG, hook="devicegroups"))
    done = threading.Event()
    inventory = driver.inventory()
    thread = threading.Thread(target=lambda: (driver.host.devicegroups(driver.name, inventory), done.set()))
    thread.start()
    assert len(driver.prepare("card-0")) == 1
    assert not done.is_set()
    end_faults(path)
    thread.join(30)
    assert done.is_set()


def test_a_device_is_in_use_only_where_that_was_injected(breakable):
    driver, path = breakable
    inject(path, Fault(device="card-0", kind=FaultKind.IN_USE))
    assert [driver.host.in_use(driver.name, driver.ref(name)) for name in ("card-0", "card-1")] == [True, False]


def test_side_effects_are_there_from_prepare_to_unprepare_and_known_to_the_core(drivers, tmp_path):
    careful, careless = drivers(
        one={"inline": {"devices": [CARD]}, "state": str(tmp_path), "sideEffects": True},
        two={"inline": {"devices": [CARD]}, "state": str(tmp_path)},
    )
    told = [driver.host.instances[driver.name].declarations.side_effects for driver in (careful, careless)]
    assert told == [True, False]
    for driver in (careful, careless):
        driver.prepare("card-0", "card-1")
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [f"effects/one.example.com/{UID}/card-{number}" for number in (0, 1)]
    for _ in range(2):
        careful.host.unprepare(careful.name, ClaimRef(UID, "default", "training"), [])
    assert not list((tmp_path / "effects" / careful.name).iterdir())


def test_admin_access_shows_a_container_more(inline):
    admin = {"env": {"CARD_{index}_ADMIN": "yes"}, "deviceNodes": [{"path": "/dev/card{index}-ctl"}]}
    driver = inline(devices=[CARD | {"admin": admin}])
    plain, more = driver.prepare("card-1"), driver.prepare("card-1", admin_access=True)
    assert "CARD_1_ADMIN" not in plain[0].edits.env
    assert more[0].edits.env == plain[0].edits.env | {"CARD_1_ADMIN": "yes"}
    added = more[0].edits.device_nodes[len(plain[0].edits.device_nodes) :]
    assert [node.path for node in added] == ["/dev/card1-ctl"]


def test_a_device_has_the_status_its_profile_gives_it(inline):
    status = {
        "data": {"slots": ["{index}", 7], "firmware": {"version": "1.{index}"}},
        "network": {
            "interfaceName": "card{index}",
            "ips": ["192.0.2.{index}/24"],
            "hardwareAddress": "02:00:00:00:00:0{index}",
        },
        "conditions": [{"type": "example.com/Ready", "status": "True", "reason": "Prepared"}],
    }
    (prepared,) = inline(devices=[CARD | {"status": status}]).prepare("card-1")
    assert prepared.status == DeviceStatus(
        data={"slots": ["1", 7], "firmware": {"version": "1.1"}},
        network=NetworkData(interface_name="card1", ips=["192.0.2.1/24"], hardware_address="02:00:00:00:00:01"),
        conditions=[Condition("example.com/Ready", "True", "Prepared")],
    )
    (without,) = inline(devices=[CARD]).prepare("card-1")
    assert without.status is None
