from __future__ import annotations

from collections import Counter

import pytest
from drakit import DeviceRef, Quantity, Taint, Version
from drakit.errors import ConfigError, PluginLoadError
from drakit.inventory import begin, finish, with_groups, with_shares
from drakit.loading import inspect
from drakit.slices import pool_slices
from drakit.testing import InMemoryApiServer, lay_out
from drakit_mock.plugin import MockPlugin
from drakit_mock.profile import shipped_profiles

PCIE_ROOT = "resource.kubernetes.io/pcieRoot"


def publish(drivers, git_version="v1.37.0"):
    """Run one round of the inventory over the drivers and give what they publish to an API server."""
    host = drivers[0].host
    found = {driver.name: host.discover(driver.name) for driver in drivers}
    current = begin("node-1", found)
    shares = {
        ref: policy for ref, device in current.inventory if (policy := host.share(ref.driver, device)) is not None
    }
    current = with_shares(current, shares)
    current = with_groups(current, {d.name: host.devicegroups(d.name, current.inventory) for d in drivers})
    survey = finish(current)
    assert survey.problems == ()
    with InMemoryApiServer(git_version=git_version) as server:
        for pools in survey.pools.values():
            for pool in pools:
                laid = pool_slices(pool, "node-1", split_counters=git_version != "v1.34.0")
                for number, spec in enumerate(laid.specs):
                    spec["pool"]["generation"] = 1
                    server.create(
                        {
                            "apiVersion": "resource.k8s.io/v1",
                            "kind": "ResourceSlice",
                            "metadata": {"name": f"{pool.driver}-{number}"},
                            "spec": spec,
                        }
                    )
        return survey


@pytest.mark.parametrize("git_version", ["v1.34.0", "v1.37.0"])
@pytest.mark.parametrize("profile", shipped_profiles())
def test_every_shipped_profile_makes_slices_the_api_server_takes(drivers, profile, git_version, tmp_path):
    lay_out("p5.48xlarge", tmp_path, [inspect("mock", MockPlugin)])
    survey = publish(drivers(root=tmp_path, any={"profile": profile}), git_version)
    assert len(survey.inventory) > 0


def test_gpus_and_nics_hang_below_the_same_roots_in_equal_numbers(drivers):
    gpu, nic = drivers(gpu={"profile": "generic-gpu"}, nic={"profile": "generic-nic"})
    survey = publish([gpu, nic])
    roots = [Counter(survey.inventory.of(driver.name).where(PCIE_ROOT).values()) for driver in (gpu, nic)]
    assert roots[0] == roots[1]
    assert set(roots[0].values()) == {2}


def test_the_partitions_of_a_gpu_use_up_exactly_what_it_has(drivers):
    (driver,) = drivers(gpu={"profile": "partitionable-gpu"})
    pool = driver.pool()
    whole = {counter_set.name: counter_set.counters for counter_set in pool.counters}
    for kind in ("full", "half", "quarter"):
        taken = Counter()
        for device in pool.devices:
            for consumption in device.consumes if device.attributes["partition"] == kind else ():
                for name, amount in consumption.counters.items():
                    taken[consumption.counter_set, name] += amount.nanos
        assert taken == {(s, name): amount.nanos for s, counters in whole.items() for name, amount in counters.items()}


def test_without_options_a_driver_has_the_generic_gpus(drivers):
    (driver,) = drivers(gpu={})
    assert [device.name for device in driver.pool().devices] == [f"gpu-{index}" for index in range(8)]


def test_a_profile_says_everything_there_is_to_say_of_a_device(inline):
    driver = inline(
        counters=[{"name": "card-{index}", "count": 2, "counters": {"lanes": 4}}],
        devices=[
            {
                "name": "card-{card}-port-{port}",
                "forEach": [{"card": ["0", "1"]}, {"port": ["0", "1"]}],
                "attributes": {
                    "fast": True,
                    "port": {"int": "{port}"},
                    "example.com/firmware": {"version": "2.{card}.0"},
                    "label": "port {port} of {card}",
                },
                "capacity": {"bandwidth": "100G"},
                "share": {"bandwidth": {"default": "10G", "validValues": ["10G", "50G"]}},
                "consumes": [{"counterSet": "card-{card}", "counters": {"lanes": 2}}],
                "taints": [{"key": "example.com/old", "value": "yes", "effect": "NoExecute"}],
            }
        ],
    )
    assert [device.name for device in driver.pool().devices] == [
        "card-0-port-0",
        "card-0-port-1",
        "card-1-port-0",
        "card-1-port-1",
    ]
    device = driver.device("card-1-port-0")
    assert dict(device.attributes) == {
        "fast": True,
        "port": 0,
        "example.com/firmware": Version("2.1.0"),
        "label": "port 0 of 1",
    }
    assert dict(device.capacity) == {"bandwidth": Quantity("100G")}
    assert device.taints == (Taint("example.com/old", "yes", "NoExecute"),)
    assert device.consumes[0].counter_set == "card-1"
    policy = driver.host.share(driver.name, device).policies["bandwidth"]
    assert policy.valid_values == (Quantity("10G"), Quantity("50G"))
    publish([driver])


def test_a_device_without_a_share_is_exclusive_and_with_an_empty_one_anyones(inline):
    driver = inline(devices=[{"name": "own"}, {"name": "common", "share": {}}])
    assert driver.host.share(driver.name, driver.device("own")) is None
    assert dict(driver.host.share(driver.name, driver.device("common")).policies) == {}


def groups(driver, inventory=None):
    found = driver.host.devicegroups(driver.name, inventory or driver.inventory())
    return {group.value: sorted(ref.name for ref in group.members) for group in found}


def test_groups_by_size_take_devices_in_order_and_the_last_takes_what_is_left(inline):
    driver = inline(
        devices=[{"name": "d{index}", "count": 5}],
        groups=[{"attribute": "example.com/pair", "value": "pair-{index}", "size": 2}],
    )
    assert groups(driver) == {"pair-0": ["d0", "d1"], "pair-1": ["d2", "d3"], "pair-2": ["d4"]}


def test_groups_by_members_are_what_they_list(inline):
    driver = inline(
        devices=[{"name": "d{index}", "count": 4}],
        groups=[{"attribute": "example.com/ring", "value": {"int": "{index}"}, "members": [["d0", "d3"], ["d1"]]}],
    )
    assert groups(driver) == {0: ["d0", "d3"], 1: ["d1"]}


def test_groups_by_an_attribute_take_in_devices_of_other_drivers(drivers):
    shared = {"attribute": "example.com/align", "value": "on-{value}", "by": PCIE_ROOT}
    gpu = {"name": "gpu-{index}", "count": 2, "attributes": {PCIE_ROOT: "pci0000:1{index}"}}
    nic = {"name": "nic-{index}", "count": 3, "attributes": {PCIE_ROOT: "pci0000:1{index}"}}
    ours, other = drivers(gpu={"inline": {"devices": [gpu], "groups": [shared]}}, nic={"inline": {"devices": [nic]}})
    survey = publish([ours, other])
    stamps = survey.inventory.where("example.com/align")
    assert stamps == {
        ours.ref("gpu-0"): "on-pci0000:10",
        other.ref("nic-0"): "on-pci0000:10",
        ours.ref("gpu-1"): "on-pci0000:11",
        other.ref("nic-1"): "on-pci0000:11",
    }


def test_a_device_that_is_not_in_the_inventory_is_in_no_group_and_moves_no_other(inline):
    driver = inline(
        devices=[{"name": "d{index}", "count": 4}],
        groups=[{"attribute": "example.com/pair", "value": "pair-{index}", "size": 2}],
    )
    inventory = driver.inventory()
    left = type(inventory)({ref: device for ref, device in inventory if ref.name not in ("d0", "d2", "d3")})
    assert groups(driver, left) == {"pair-0": ["d1"]}
    assert DeviceRef(driver.name, "node-1", "d1") in left.devices


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({}, "devices"),
        ({"devices": [{"name": "a", "attribute": {}}]}, r"devices\[0\]: unknown key 'attribute'"),
        ({"devices": [{"name": "a", "count": "2"}]}, "count"),
        ({"devices": [{"name": "gpu", "count": 2}]}, "'gpu' more than once"),
        ({"devices": [{"name": "GPU"}]}, r"devices\[0\]: .*DNS label"),
        ({"devices": [{"name": "a", "attributes": {"x-y": 1}}]}, r"devices\[0\]: .*C identifier"),
        ({"devices": [{"name": "a", "attributes": {"x": "y" * 65}}]}, "64 bytes"),
        ({"devices": [{"name": "a", "attributes": {"x": {"version": "1"}}}]}, "semantic version"),
        ({"devices": [{"name": "a", "capacity": {"memory": "80 GB"}}]}, "Quantity"),
        ({"devices": [{"name": "a", "share": {"memory": {}}}]}, "capacity 'memory', which the device does not have"),
        (
            {"devices": [{"name": "a", "capacity": {"m": 4}, "share": {"m": {"default": 8}}}]},
            "must not go over 4",
        ),
        ({"devices": [{"name": "a", "consumes": [{"counterSet": "c", "counters": {"x": 1}}]}]}, "counter of the pool"),
        ({"devices": [{"name": "a", "container": {"env": {"A-B": "x"}}}]}, "'A-B'"),
        ({"devices": [{"name": "a", "container": {"deviceNodes": [{"path": "dev/x"}]}}]}, "absolute"),
        (
            {"devices": [{"name": "a", "container": {"deviceNodes": [{"path": "/dev/x", "permissions": "rx"}]}}]},
            "permissions",
        ),
        ({"devices": [{"name": "a"}], "health": {"b": {"status": "Healthy"}}}, "health names device 'b'"),
        ({"devices": [{"name": "a"}], "health": {"a": {"status": "Ill"}}}, "must be one of"),
        ({"devices": [{"name": "a"}], "groups": [{"attribute": "example.com/g"}]}, "exactly one of size, members"),
        ({"devices": [{"name": "a"}], "groups": [{"attribute": "example.com/g", "size": 0}]}, "at least 1"),
        ({"devices": [{"name": "a"}], "groups": [{"attribute": "g", "size": 1}]}, r"groups\[0\]: .*domain/"),
        ({"devices": [{"name": "a"}], "groups": [{"attribute": "example.com/g", "by": "rack"}]}, "with its domain"),
        (
            {"devices": [{"name": "a"}], "groups": [{"attribute": "example.com/g", "members": [["b"]]}]},
            "names device 'b'",
        ),
        (
            {"devices": [{"name": "a"}], "groups": [{"attribute": "example.com/g", "members": [["a"], ["a"]]}]},
            "'a' twice",
        ),
        (
            {"devices": [{"name": "a"}], "groups": [{"attribute": "example.com/g", "size": 1, "value": "{value}"}]},
            "{value}",
        ),
        ({"devices": [{"name": "a"}], "counters": [{"name": "c", "counters": {}}]}, r"counters\[0\]"),
        ({"devices": [{"name": "a", "nodes": []}, {"name": "b"}]}, "'b': nodes is for pools with nodes=PER_DEVICE"),
        ({"devices": [{"name": "a", "nodes": [{"key": "zone", "operator": "Is"}]}]}, "must be one of In, NotIn"),
        ({"devices": [{"name": "a", "binding": {"conditions": ["x"]}}]}, "missing key 'failureConditions'"),
        ({"devices": [{"name": "a", "admin": {"env": {"A-B": "x"}}}]}, "'A-B'"),
        ({"devices": [{"name": "a", "status": {"network": {"ips": ["192.0.2.1"]}}}]}, r"devices\[0\]: .*192.0.2.1/32"),
        ({"devices": [{"name": "a", "status": {"data": {"x": "{y}"}}}]}, r"devices\[0\]: .*\{y\}"),
    ],
)
def test_a_profile_that_is_wrong_is_refused_with_the_place(inline, profile, said):
    with pytest.raises((ConfigError, PluginLoadError), match=said):
        inline(**profile)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("apiVersion: mock.drakit/v1alpha1\nkind: MockNode\ndevices: []\n", "kind 'MockNode'; must be"),
        ("kind: MockProfile\ndevices: []\n", "has kind 'MockProfile' and no apiVersion"),
        ("apiVersion: mock.drakit/v1alpha1\nkind: MockProfile\ndevices: []\ndevices: []\n", ":4:1: duplicate key"),
        ("- a\n", "must hold one MockProfile"),
        ("", "must hold one MockProfile"),
        ("{", "gpus.yaml:"),
    ],
)
def test_a_profile_file_that_is_wrong_is_refused_with_the_file(drivers, tmp_path, text, said):
    path = tmp_path / "gpus.yaml"
    path.write_text(text)
    with pytest.raises(PluginLoadError, match=said) as caught:
        drivers(gpu={"profile": str(path)})
    assert str(path) in str(caught.value)


def test_an_unknown_profile_is_refused_with_the_ones_there_are(drivers):
    with pytest.raises(PluginLoadError, match="did you mean 'generic-gpu'") as caught:
        drivers(gpu={"profile": "generic-gpus"})
    assert all(name in str(caught.value) for name in shipped_profiles())


def test_a_profile_file_that_is_missing_is_refused(drivers, tmp_path):
    with pytest.raises(PluginLoadError, match="cannot read"):
        drivers(gpu={"profile": str(tmp_path / "absent.yaml")})


def test_options_with_two_profiles_are_refused(drivers):
    with pytest.raises(ConfigError, match="both profile and inline"):
        drivers(gpu={"profile": "generic-gpu", "inline": {"devices": []}})
