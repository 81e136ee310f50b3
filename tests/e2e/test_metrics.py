"""Metrics of the real agent, asked for over HTTP as Prometheus asks."""

from __future__ import annotations

from drakit.tally import BOUNDS
from drakit.vitals.families import Kind
from drakit.vitals.metrics import CATALOGUE
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.watched import BESIDE, DRIVER, POOL

OF_WHAT_DEVICES_SAY = ("drakit_device_fault", "drakit_device_counter_total")
"""The metrics that have no series before there is something to tell."""
OF_WHAT_IS_FOUND = (
    "drakit_pool_devices",
    "drakit_pool_generation",
    "drakit_device_allocated",
    "drakit_device_health",
)
"""The metrics that have no series before the hardware was looked at."""


def test_a_first_scrape_has_every_metric_of_the_catalogue_with_its_labels(watched, kubelet):
    watched.start()
    watched.until_ready()
    families = list(text_string_to_metric_families(watched.get("/metrics")[1]))
    exposed = {family.name: family for family in families if family.name.startswith("drakit_")}
    assert sorted(exposed) == sorted(family.name.removesuffix("_total") for family in CATALOGUE.families)
    for family in CATALOGUE.families:
        found = exposed[family.name.removesuffix("_total")]
        assert (found.type, found.documentation) == (family.kind.value, family.help)
        labels = {frozenset(sample.labels) - {"le"} for sample in found.samples}
        assert labels == {frozenset(family.labels)} or (not labels and family.name in OF_WHAT_DEVICES_SAY)
        if family.kind is Kind.HISTOGRAM:
            bounds = [float(sample.labels["le"]) for sample in found.samples if "le" in sample.labels]
            assert bounds[: len(BOUNDS) + 1] == [*BOUNDS, float("inf")]
    for driver in (DRIVER, BESIDE):
        for result in ("success", "refused", "failed", "abandoned"):
            assert watched.value("drakit_claim_calls_total", driver=driver, call="unprepare", result=result) == 0
    assert "process_resident_memory_bytes" in {family.name for family in families}


def test_an_api_server_that_is_away_keeps_no_series_from_being_there(watched, kubelet, api):
    api.pause()
    watched.start()
    watched.until_unready(f"{DRIVER}: not ready: .*cannot be (published|reached)")
    assert watched.without_series() == {*OF_WHAT_DEVICES_SAY}
    assert watched.value("drakit_pool_generation", driver=DRIVER, pool=POOL) == 0
    assert watched.value("drakit_pool_devices", driver=DRIVER, pool=POOL) == 2
    api.resume()
    watched.until_ready()
    assert watched.value("drakit_pool_generation", driver=DRIVER, pool=POOL) == 1


def test_before_the_hardware_is_looked_at_all_series_but_those_of_what_it_has_are_there(watched, kubelet):
    blind = watched.node.directory / "blind"
    blind.touch()
    watched.start()
    watched.until_unready(f"{DRIVER}: not ready: its hardware has not been looked at yet")
    assert watched.without_series() == {*OF_WHAT_DEVICES_SAY, *OF_WHAT_IS_FOUND}
    blind.unlink()
    watched.until_ready()


def test_the_metrics_of_a_device_name_it_as_the_kubelet_does(watched, kubelet, new_claim, until):
    watched.start()
    watched.until_ready()
    device = {"driver": DRIVER, "pool": POOL, "device": "one"}
    assert watched.value("drakit_device_allocated", **device) == 0
    claim = new_claim("one", {DRIVER: ("x", ["one"])})
    (handle,) = kubelet.prepare([claim], DRIVER)[claim.uid].devices
    assert device == {"driver": handle.device.driver, "pool": handle.device.pool, "device": handle.device.name}
    assert watched.value("drakit_device_allocated", **device) == 1
    assert watched.value("drakit_device_allocated", **(device | {"device": "two"})) == 0
    assert watched.value("drakit_claims", driver=DRIVER, phase="committed") == 1
    assert watched.value("drakit_claim_calls_total", driver=DRIVER, call="prepare", result="success") == 1
    assert watched.value("drakit_hook_calls_total", driver=DRIVER, hook="prepare", result="returned") == 1
    assert watched.value("drakit_journal_syncs_total", driver=DRIVER) >= 1
    assert watched.value("drakit_journal_written_bytes_total", driver=DRIVER) > 100
    assert watched.value("drakit_api_requests_total", method="GET", code="2xx") >= 1
    refused = new_claim("refused", {DRIVER: ("x", ["two"])})
    assert kubelet.prepare([refused], DRIVER)[refused.uid].error
    assert watched.value("drakit_claim_calls_total", driver=DRIVER, call="prepare", result="refused") == 1
    assert watched.value("drakit_hook_calls_total", driver=DRIVER, hook="prepare", result="refused") == 1
    assert kubelet.unprepare([claim], DRIVER) == {claim.uid: ""}
    assert watched.value("drakit_device_allocated", **device) == 0
    assert watched.value("drakit_claims", driver=DRIVER, phase="committed") == 0


def test_the_health_of_each_device_is_one_status_of_three(watched, kubelet, until):
    watched.start(healthSeconds=0.05)
    watched.until_ready()

    def status_of(device: str) -> str:
        samples = [
            sample
            for sample in watched.metrics()["drakit_device_health"]
            if {"driver": DRIVER, "device": device}.items() <= sample.labels.items()
        ]
        assert sorted(sample.labels["status"] for sample in samples) == ["Healthy", "Unhealthy", "Unknown"]
        (status,) = [sample.labels["status"] for sample in samples if sample.value]
        return status

    until(lambda: status_of("two") == "Unhealthy", "the report to arrive")
    assert status_of("one") == "Unknown"
