"""Preparing and unpreparing claims, as a kubelet asks for it."""

from __future__ import annotations

import pytest
from drakit import ClaimError, ClaimRef, DeviceRef, InvalidDeviceConfig
from drakit.errors import DeviceBusy, DeviceNotFound, HookFailed, JournalError
from drakit.jobs import Repeat, Unprepare

SHARE = "6f1b9c1e-0000-4000-8000-00000000000{}"


def test_a_prepared_claim_is_answered_with_ids_a_runtime_can_resolve(bench):
    first, second = bench.prepare("a", "gpu-1", "gpu-0")
    assert (first.device.name, second.device.name) == ("gpu-1", "gpu-0")
    assert [*first.cdi_ids, *second.cdi_ids] == bench.ids("a")
    assert bench.nodes("a") == ["/dev/gpu-1-1", "/dev/gpu-0-1"]
    assert bench.phases() == {"a": "committed"}


def test_a_repeat_is_answered_the_same_and_asks_no_hook(bench):
    answer = bench.prepare("a", "gpu-0")
    asked = list(bench.backend.calls)
    assert bench.prepare("a", "gpu-0") == answer
    assert bench.repeat("a") == answer
    assert bench.backend.calls == asked == [("prepare", "a")]


def test_a_repeat_after_a_restart_is_answered_the_same(bench):
    answer = bench.prepare("a", "gpu-0")
    bench.start()
    assert bench.prepare("a", "gpu-0") == answer
    assert bench.backend.calls == []


@pytest.mark.parametrize("act", ["prepare", "repeat"])
def test_a_repeat_makes_a_cdi_file_again_that_someone_deleted(bench, act):
    answer = bench.prepare("a", "gpu-0")
    (file,) = bench.cdi.iterdir()
    file.unlink()
    assert (bench.prepare("a", "gpu-0") if act == "prepare" else bench.repeat("a")) == answer
    assert bench.nodes("a") == ["/dev/gpu-0-1"]


def test_a_claim_that_is_not_prepared_cannot_be_answered_from_the_journal(bench):
    with pytest.raises(ClaimError, match="default/claim-a is not prepared here, and the API server cannot be asked"):
        bench.repeat("a")


def test_a_claim_without_devices_of_this_driver_leaves_nothing(bench):
    assert bench.prepare("a") == ()
    bench.assert_empty()


def test_a_request_is_answered_by_its_base_name(bench, want):
    job = want("a", "gpu-0")
    subrequest = type(job)(
        type(job.allocation)(job.claim, [type(d)("gpu/big", d.device) for d in job.allocation.devices])
    )
    (handle,) = bench.run(subrequest)
    assert handle.request == "gpu"


def test_unprepare_leaves_nothing(bench):
    bench.prepare("a", "gpu-0")
    assert bench.unprepare("a") == ()
    bench.assert_empty()


def test_unprepare_of_an_unknown_claim_succeeds_and_asks_no_hook(bench):
    assert bench.unprepare("nobody") == ()
    assert bench.backend.calls == []


def test_unprepare_needs_only_the_uid(bench):
    bench.prepare("a", "gpu-0")
    assert bench.run(Unprepare(ClaimRef("a", "", ""))) == ()
    bench.assert_empty()


def test_unprepare_that_fails_keeps_the_hold_and_can_be_repeated(bench):
    bench.prepare("a", "gpu-0")
    bench.backend.failures["unprepare"] = HookFailed("acme", "unprepare", OSError("busy"))
    with pytest.raises(HookFailed, match="unprepare failed"):
        bench.unprepare("a")
    assert bench.held() == {"gpu-0": {"a"}}
    assert bench.nodes("a")
    bench.backend.failures.clear()
    bench.unprepare("a")
    bench.assert_empty()


@pytest.mark.parametrize("uid", ["", "../../etc/cron.d/x", "a/b", "a\n"])
def test_a_uid_that_is_none_is_refused_and_leaves_nothing(bench, uid):
    for act in (lambda: bench.prepare(uid, "gpu-0"), lambda: bench.unprepare(uid)):
        with pytest.raises(ClaimError, match="is not a uid"):
            act()
    bench.assert_empty()
    bench.prepare("b", "gpu-0")


# Devices


def test_a_device_that_is_not_here_is_refused_by_name(bench):
    with pytest.raises(DeviceNotFound, match=r"gpu\.example\.com/node-1/gpu-99 is not on this node: .*delete the pod"):
        bench.prepare("a", "gpu-0", "gpu-99")
    bench.assert_empty()


def test_before_the_first_discovery_nothing_is_prepared(bench):
    bench.known = None
    with pytest.raises(ClaimError, match="has not finished its first discovery; this is tried again"):
        bench.prepare("a", "gpu-0")
    bench.assert_empty()


def test_a_prepared_claim_is_answered_even_where_its_device_has_gone(bench):
    answer = bench.prepare("a", "gpu-0")
    bench.known = set()
    assert bench.prepare("a", "gpu-0") == answer


def test_a_device_held_by_another_claim_is_refused_naming_the_holder(bench):
    bench.prepare("a", "gpu-0", "gpu-1")
    with pytest.raises(
        DeviceBusy, match=r"gpu-1 is held by claim default/claim-a \(a\) until that claim's pod has ended"
    ):
        bench.prepare("b", "gpu-1", "gpu-2")
    assert bench.held() == {"gpu-0": {"a"}, "gpu-1": {"a"}}
    bench.unprepare("a")
    assert bench.prepare("b", "gpu-1", "gpu-2")


def test_shares_of_one_device_are_held_side_by_side(bench):
    one = bench.prepare("a", "gpu-0", share_id=SHARE.format(1))
    other = bench.prepare("b", "gpu-0", share_id=SHARE.format(2))
    assert (one[0].share_id, other[0].share_id) == (SHARE.format(1), SHARE.format(2))
    assert one[0].cdi_ids != other[0].cdi_ids
    with pytest.raises(DeviceBusy):
        bench.prepare("c", "gpu-0")


def test_a_share_is_refused_beside_an_exclusive_holder(bench):
    bench.prepare("a", "gpu-0")
    with pytest.raises(DeviceBusy):
        bench.prepare("b", "gpu-0", share_id=SHARE.format(1))


def test_admin_access_is_given_beside_any_holder_and_keeps_nobody_out(bench):
    bench.prepare("a", "gpu-0")
    assert bench.prepare("admin", "gpu-0", admin=True)
    bench.unprepare("a")
    assert bench.prepare("b", "gpu-0")


# Configuration


def test_the_backend_gets_its_configuration_decoded(bench):
    bench.prepare("a", "gpu-0", config={"apiVersion": "gpu.example.com/v1", "kind": "SharingConfig", "clients": 3})
    (config,) = bench.backend.configs["a"]
    assert config.clients == 3


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"apiVersion": "gpu.example.com/v1", "kind": "SharingConfig", "client": 3}, "unknown key 'client'"),
        ({"apiVersion": "gpu.example.com/v1", "kind": "Other"}, "this driver takes SharingConfig"),
        ({"apiVersion": ["x"], "kind": {}}, "this driver takes SharingConfig"),
        ({}, "have no apiVersion and kind"),
    ],
)
def test_configuration_that_cannot_be_used_is_refused_naming_request_and_driver(bench, config, said):
    with pytest.raises(InvalidDeviceConfig) as caught:
        bench.prepare("a", "gpu-0", config=config)
    assert str(caught.value).startswith("request 'gpu', driver gpu.example.com: opaque parameters")
    assert said in str(caught.value)
    bench.assert_empty()


# Failures


@pytest.mark.parametrize("error", [ClaimError("no such mode"), HookFailed("acme", "prepare", OSError()), SystemExit(1)])
def test_a_preparation_that_fails_leaves_nothing(bench, error):
    bench.backend.failures["prepare"] = error
    with pytest.raises(type(error)) as caught:
        bench.prepare("a", "gpu-0")
    assert caught.value is error
    bench.assert_empty()
    bench.backend.failures.clear()
    assert bench.prepare("b", "gpu-0")


def test_a_cdi_file_that_cannot_be_written_fails_the_claim_and_leaves_nothing(bench):
    bench.cdi.write_text("a file stands where the directory must")
    with pytest.raises(ClaimError, match="the CDI file of claim default/claim-a cannot be written on this node"):
        bench.prepare("a", "gpu-0")
    bench.cdi.unlink()
    bench.assert_empty()


def test_a_cdi_file_that_cannot_be_removed_keeps_the_hold_and_is_told_in_words(bench):
    bench.prepare("a", "gpu-0")
    (file,) = bench.cdi.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.raises(ClaimError, match="the CDI file of claim default/claim-a cannot be removed on this node"):
        bench.unprepare("a")
    assert bench.held() == {"gpu-0": {"a"}}
    file.rmdir()
    bench.unprepare("a")
    bench.assert_empty()


def test_a_journal_that_cannot_be_used_is_the_answer_to_every_job(bench, want):
    bench.journal.close()
    answers = bench.engine.run([want("a", "gpu-0"), Unprepare(ClaimRef("d", "", ""))])
    assert [type(answer) for answer in answers] == [JournalError, JournalError]


def test_every_hook_and_every_wait_is_a_step_of_its_own(effective):
    """Each step has the whole bound to itself before the driver counts as stuck."""
    seen = []
    effective.backend.failures["prepare"] = HookFailed("acme", "prepare", OSError())
    effective.backend.failures["unprepare"] = HookFailed("acme", "unprepare", OSError())
    with pytest.raises(HookFailed):
        effective.prepare("a", "gpu-0")
    effective.backend.failures.clear()
    effective.moment = seen.append
    effective.prepare("a", "gpu-0")
    moments = ["began waiting for the journal's lock", "began recording what is about to be prepared"]
    moments += ["began prepare of default/claim-a", "began unprepare of default/claim-a", "before unprepare"]
    moments += ["after unprepare", "began recording what is about to be prepared", "before sync", "after sync"]
    moments += [
        "began prepare of default/claim-a",
        "before prepare",
        "after prepare",
        "began writing the journal",
        "before sync",
        "after sync",
    ]
    assert seen == moments


def test_a_failed_member_of_a_batch_harms_no_other(bench, want):
    jobs = [
        want("a", "gpu-0"),
        want("b", "gpu-99"),
        want("c", "gpu-0"),
        Unprepare(ClaimRef("d", "", "")),
        Repeat(ClaimRef("e", "", "")),
        want("f", "gpu-1", config={"kind": "Other"}),
        want("../g", "gpu-2"),
        want("h", "gpu-3"),
    ]
    a, b, c, d, e, f, g, h = bench.engine.run(jobs)
    assert [type(x) for x in (b, c, e, f, g)] == [
        DeviceNotFound,
        DeviceBusy,
        ClaimError,
        InvalidDeviceConfig,
        ClaimError,
    ]
    assert d == ()
    assert (a[0].device.name, h[0].device.name) == ("gpu-0", "gpu-3")
    assert bench.phases() == {"a": "committed", "h": "committed"}
    bench.assert_consistent()


def test_of_two_claims_in_one_batch_the_first_gets_the_device(bench, want):
    first, second = bench.engine.run([want("a", "gpu-0"), want("b", "gpu-0")])
    assert first[0].device.name == "gpu-0"
    assert isinstance(second, DeviceBusy)
    assert bench.held() == {"gpu-0": {"a"}}


def test_a_claim_refused_for_an_earlier_holder_names_it_and_not_a_claim_of_its_batch(bench, want):
    bench.prepare("c", "gpu-0")
    refused, prepared = bench.engine.run([want("a", "gpu-1", "gpu-0"), want("b", "gpu-1")])
    assert "claim-c" in str(refused)
    assert prepared[0].device.name == "gpu-1"


def test_a_claim_refused_for_the_one_before_it_in_a_batch_does_not_name_the_one_after(bench, want):
    _, refused, _ = bench.engine.run([want("a", "gpu-2"), want("c", "gpu-0", "gpu-2"), want("b", "gpu-0")])
    assert "claim-a" in str(refused)


def test_a_claim_may_be_released_and_prepared_in_one_batch(bench, want):
    bench.prepare("a", "gpu-0")
    jobs = [Unprepare(ClaimRef("a", "", "")), want("b", "gpu-0"), want("b", "gpu-0"), want("a", "gpu-1")]
    answers = bench.engine.run(jobs)
    assert answers[0] == ()
    assert answers[1] == answers[2]
    assert bench.held() == {"gpu-0": {"b"}, "gpu-1": {"a"}}
    bench.assert_consistent()


# A claim allocated anew under its uid


def test_a_new_allocation_under_the_same_uid_releases_the_old_one_first(bench):
    old = bench.prepare("a", "gpu-0")
    new = bench.prepare("a", "gpu-1")
    assert bench.backend.calls == [("prepare", "a"), ("unprepare", "a"), ("prepare", "a")]
    assert bench.held() == {"gpu-1": {"a"}}
    assert old[0].cdi_ids != new[0].cdi_ids
    assert bench.prepare("b", "gpu-0")
    bench.assert_consistent()


def test_the_same_device_allocated_otherwise_has_another_id(bench):
    """Runtimes cache: no id may come to mean something else."""
    plain = bench.prepare("a", "gpu-0")
    config = {"apiVersion": "gpu.example.com/v1", "kind": "SharingConfig", "clients": 3}
    assert bench.prepare("a", "gpu-0", config=config)[0].cdi_ids != plain[0].cdi_ids


def test_a_new_allocation_without_devices_of_this_driver_releases_the_old_one(bench):
    bench.prepare("a", "gpu-0")
    assert bench.prepare("a") == ()
    bench.assert_empty()


# A backend that is not there


def test_without_a_backend_claims_can_be_unprepared_and_repeated_but_not_prepared(bench):
    answer = bench.prepare("a", "gpu-0")
    bench.prepare("b", "gpu-1")
    bench.has_backend = False
    bench.restart()
    assert bench.prepare("a", "gpu-0") == answer
    with pytest.raises(
        ClaimError, match=r"driver gpu\.example\.com has no backend on this node now and can only unprepare"
    ):
        bench.prepare("c", "gpu-2")
    bench.unprepare("a")
    assert bench.phases() == {"b": "committed"} | ({"a": "intent"} if bench.side_effects else {})


# Many


def test_hundreds_of_claims_are_prepared_and_released_in_one_batch_each(bench, want):
    bench.known = {DeviceRef("gpu.example.com", "node-1", f"gpu-{index}") for index in range(400)}
    answers = bench.engine.run([want(f"u-{index}", f"gpu-{index}") for index in range(400)])
    assert len({handle.cdi_ids for answer in answers for handle in answer}) == 400
    assert bench.journal.syncs == (2 if bench.side_effects else 1)
    bench.restart()
    bench.assert_consistent()
    assert len(bench.entries()) == 400
    bench.engine.run([Unprepare(ClaimRef(f"u-{index}", "", "")) for index in range(400)])
    bench.assert_empty()
