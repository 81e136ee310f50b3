"""The thread that asks EC2: what becomes of it where it cannot be had, or ends before its time."""

from __future__ import annotations

import threading

import pytest
from drakit import Device
from drakit_efa import attachments
from drakit_efa.attachments import Attachments
from drakit_efa.options import EfaOptions, ImdsOptions

BOUND_SECONDS = 20.0
DEVICES = [Device("pci-0000-10-1b-0", {"efa.drakit/mac": "02:00:00:10:1b:00"})]
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def context(node):
    return node.context(options=EfaOptions(imds=ImdsOptions(enabled=True, endpoint=NOBODY, wait_seconds=BOUND_SECONDS)))


class NoThread(threading.Thread):
    """A thread that the machine cannot start."""

    def start(self):
        raise RuntimeError("can't start new thread")


@pytest.mark.reliability(
    fault="The machine has no thread to spare for asking EC2's instance metadata",
    injected="a thread of the EFA plugin cannot be started",
    promise="Adapters are published without what it would have said, at once; the next discovery tries again",
)
def test_a_thread_that_cannot_be_started_costs_the_attributes_only_and_is_tried_again(context, node, monkeypatch):
    asked = Attachments(context, rest=lambda seconds: None, jitter=lambda low, high: 0.0)
    with monkeypatch.context() as without:
        without.setattr(attachments.threading, "Thread", NoThread)
        assert asked.describe(DEVICES) == DEVICES
        assert asked.describe(DEVICES) == DEVICES
        asked.close()
    (said,) = node.warnings()
    assert "can't start new thread; it is tried again at the next discovery" in said
    (finding,) = asked.findings()
    assert finding.found == said


def test_a_thread_that_ended_before_its_time_is_begun_again(context, node):
    ended = threading.Semaphore(0)

    def fail(low, high):
        ended.release()
        raise ValueError("out of luck")

    asked = Attachments(context, rest=lambda seconds: None, jitter=fail)
    for _ in range(2):
        assert asked.describe(DEVICES) == DEVICES
        assert ended.acquire(timeout=BOUND_SECONDS)
        for thread in threading.enumerate():
            if thread.name == "efa-imds":
                thread.join(BOUND_SECONDS)
    asked.close()
    assert [line for line in node.warnings() if "out of luck; it is begun again" in line] == [
        "asking instance metadata came to an end: ValueError: out of luck; it is begun again at the next discovery"
    ]
