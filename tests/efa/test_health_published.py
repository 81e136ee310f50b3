"""What is published of adapters follows their health, and discovery is asked for when it differs."""

from __future__ import annotations

from drakit_efa.options import EfaOptions

ADDRESS, NAME = "0000:20:1b.0", "pci-0000-20-1b-0"
HEALTH = "efa.drakit/health"
OFF = {"port_down": False, "no_completion": 0}


def reports_of(plugin):
    return {report.device.name: report for report in plugin.health()}


def test_what_is_published_of_a_port_follows_what_health_sees_of_it(watched):
    efa = watched()
    assert set(efa.published().values()) == {"Healthy"}
    efa.state("1: DOWN\n")
    efa.plugin.health()
    assert efa.changes == 1
    assert efa.published()[NAME] == "Unhealthy"
    efa.state("garbage\n")
    efa.plugin.health()
    assert efa.changes == 2
    assert efa.published()[NAME] == "Unknown"


def test_discovery_is_asked_for_once_for_each_change_and_never_where_nothing_differs(watched):
    efa = watched()
    for _ in range(3):
        efa.plugin.health()
    assert efa.changes == 0
    efa.state("1: DOWN\n")
    for _ in range(3):  # rounds of health before discovery has looked again
        efa.plugin.health()
    assert efa.changes == 1
    efa.plugin.discover()
    efa.plugin.health()
    assert efa.changes == 1


def test_an_adapter_that_went_or_came_back_is_looked_for_at_once(watched, node):
    efa = watched()
    node.function(ADDRESS).unlink()
    efa.plugin.health()
    assert efa.changes == 1
    assert NAME not in efa.published()
    efa.plugin.health()
    assert efa.changes == 1
    node.lay_out("p4d.24xlarge")
    efa.plugin.health()
    assert efa.changes == 2
    assert NAME in efa.published()


def test_what_discovery_goes_on_refusing_is_not_asked_for_again_and_again(watched, node):
    efa = watched()
    (node.function(ADDRESS) / "vendor").write_text("garbage\n")
    efa.plugin.discover()
    for _ in range(4):
        efa.plugin.health()
        efa.plugin.discover()
    assert efa.changes == 1


def test_only_the_adapters_that_were_asked_for_are_reported_on(node):
    plugin = node.lay_out("p4d.24xlarge").plugin(options=EfaOptions((ADDRESS,)))
    plugin.discover()
    assert list(reports_of(plugin)) == [NAME]
