"""A disk that is full, or cannot sync, from any step on: told in words, nothing leaked, and well again afterwards."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

LEAST_STEPS = {"no room": 2, "no sync": 1}
"""A record torn or whole, and its sync: with fewer, steps are not seen any more."""


@pytest.fixture(params=LEAST_STEPS)
def failing(request, site) -> Callable[[], Iterator[Any]]:
    """Give the site as it is now, served by an agent whose disk fails from its n-th write or sync on, for every n."""

    def fail(act: Callable[[Any], Any]) -> Iterator[Any]:
        for victim in itertools.count(1):
            with contextlib.closing(site.copy(str(victim))) as failing:
                failing.start(victim=victim, fault=request.param)
                failing.arm()
                failing.answer = act(failing)
                if not failing.epitaph.exists():
                    assert victim > LEAST_STEPS[request.param]
                    return
                failing.where = failing.epitaph.read_text()
                yield failing

    return fail


@pytest.mark.reliability(
    fault="The disk is full, or cannot sync, while a claim is prepared",
    injected="Every write or sync fails from the n-th step of the process on, for every n",
    promise="Told in words or prepared for good; with room again, the repeat gets the answer it would have got",
)
def test_wherever_the_disk_fails_in_prepare_the_repeat_succeeds_once_it_works(site, failing, new_claim):
    wanted, other = new_claim("wanted", "gpu-0", "gpu-1"), new_claim("other", "gpu-1")
    with contextlib.closing(site.copy("reference")) as reference:
        reference.start()
        answer, files = reference.prepared(wanted), reference.files()
    told = []
    for failed in failing(lambda site: site.kubelet.prepare([wanted], site.driver)[wanted.uid]):
        if failed.answer.error:
            told.append(failed.answer.error)
            assert "cannot be written" in told[-1] or "No space left" in told[-1], failed.where
        else:
            assert failed.answer.devices == answer[wanted.uid]
        failed.disarm()
        assert failed.prepared(wanted) == answer, failed.where
        assert failed.files() == files
        assert "held by claim default/wanted" in failed.refusal(other)
        failed.kill()
        failed.start()  # what was answered is on the disk
        assert failed.prepared(wanted) == answer, failed.where
        failed.unprepare(wanted)
        failed.assert_empty()
    assert told


@pytest.mark.reliability(
    fault="The disk is full, or cannot sync, when a pod ends",
    injected="Every write or sync fails from the n-th step of Unprepare on, for every n",
    promise="The device is held until an Unprepare could be recorded, then free",
)
def test_wherever_the_disk_fails_in_unprepare_the_device_is_held_until_it_is_recorded(site, failing, new_claim):
    ended, other = new_claim("ended", "gpu-0"), new_claim("other", "gpu-0")
    site.start()
    site.prepared(ended)
    site.kill()
    for failed in failing(lambda site: site.kubelet.unprepare([ended], site.driver)[ended.uid]):
        failed.disarm()
        if failed.answer:
            assert "held by claim default/ended" in failed.refusal(other), failed.where
            failed.unprepare(ended)
        failed.kill()
        failed.start()
        assert failed.prepared(other), failed.where
        failed.unprepare(other)
        failed.assert_empty()
