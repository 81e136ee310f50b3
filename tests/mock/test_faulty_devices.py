"""Mock devices with faults that outlast their report: what health says, and what is refused for good."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from drakit import Fault, FaultEnd, HealthStatus
from drakit.errors import DeviceUnfit
from drakit_mock.command import mock


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `drakit mock fault` on the root of the hosted driver; gives the exit code and everything it said."""
    monkeypatch.delenv("DRAKIT_CONFIG", raising=False)
    monkeypatch.delenv("DRAKIT_ROOT", raising=False)

    def fault(*words):
        done = CliRunner().invoke(mock, ["fault", "--root", str(tmp_path), *map(str, words)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return fault


@pytest.fixture
def driver(tmp_path, drivers):
    (hosted,) = drivers(tmp_path, mock={"inline": {"devices": [{"name": "card-{index}", "count": 2}]}})
    return hosted


def health(driver, name="card-0"):
    return next(one for one in driver.host.health(driver.name) if one.device.name == name)


def test_health_reports_each_fault_by_its_name_as_it_was_told(driver, run):
    run("card-0", "faulty", "--name", "fan", "--message", "the fan stopped")
    run("card-0", "faulty", "--name", "ecc", "--end", "cleared", "--count", 3, "--threshold", 2)
    told = health(driver)
    assert told.faults == (
        Fault("fan", "the fan stopped", end=FaultEnd.GONE),
        Fault("ecc", "a fault that was injected", end=FaultEnd.CLEARED, count=3, threshold=2),
    )
    assert (told.counters, told.status) == ({"ecc": 3}, HealthStatus.HEALTHY)
    assert health(driver, "card-1").faults == ()


def test_a_fault_of_the_same_name_takes_the_place_of_the_other(driver, run):
    for count in (1, 5):
        run("card-0", "faulty", "--name", "ecc", "--count", count)
    assert [fault.count for fault in health(driver).faults] == [5]


def test_a_reset_ends_what_is_reported_and_begins_another_epoch(driver, run):
    run("card-0", "faulty", "--name", "ecc", "--count", 1)
    run("card-0", "unfit", "--name", "link")
    before, other = health(driver).epoch, health(driver, "card-1").epoch
    assert run("card-0", "reset") == (0, "card-0 was reset\n")
    assert (health(driver).faults, health(driver).counters) == ((), {})
    assert health(driver).epoch != before
    assert health(driver, "card-1").epoch == other
    assert run("list") == (0, "card-0: unfit name=link\n")


def test_healing_is_no_reset(driver, run):
    run("card-0", "reset")
    before = health(driver).epoch
    run("card-0", "faulty", "--name", "ecc")
    run("card-0", "heal")
    run("clear")
    assert (health(driver).faults, health(driver).epoch) == ((), before)


def test_a_reset_of_one_drivers_device_leaves_anothers_of_that_name_alone(tmp_path, drivers, run):
    profile = {"inline": {"devices": [{"name": "card-0"}]}}
    one, other = drivers(tmp_path, one=profile, other=profile)
    before = health(one).epoch, health(other).epoch
    run("--driver", "one.example.com", "card-0", "reset")
    assert (health(one).epoch != before[0], health(other).epoch == before[1]) == (True, True)


def test_a_device_that_is_unfit_refuses_for_good_and_says_by_what_fault(driver, run):
    run("card-1", "unfit", "--name", "link", "--message", "its link is down")
    with pytest.raises(DeviceUnfit, match="its link is down") as refused:
        driver.prepare("card-0", "card-1")
    assert (refused.value.fault, refused.value.devices) == ("link", ("card-1",))
    run("card-1", "heal")
    assert len(driver.prepare("card-0", "card-1")) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["faulty"], "faulty needs name"),
        (["unfit"], "unfit needs name"),
        (["faulty", "--name", "No Name"], "fault name"),
        (["faulty", "--name", "ecc", "--end", "steadi"], "did you mean 'steady'?"),
        (["faulty", "--name", "ecc", "--count", "-1"], "count must be at least 0"),
        (["faulty", "--name", "ecc", "--threshold", "2"], "goes with a count"),
        (["faulty", "--name", "ecc", "--count", "1", "--threshold", "0"], "threshold must be at least 1"),
        (["unhealthy", "--name", "ecc"], "unhealthy takes no name"),
        (["reset", "--message", "x"], "reset takes no message"),
    ],
)
def test_what_is_no_fault_is_refused_and_nothing_is_injected(run, words, said):
    code, output = run("card-0", *words)
    assert (code, said in output) == (2, True), output
    assert run("list") == (0, "nothing is injected\n")
