"""The kernel says that a file has changed, and health is asked for at once.

The kernel's own notifications, of a file that anyone can have notified: the host's name, changed in a namespace apart,
where nobody else sees it, wakes whoever polls for it.
"""

from __future__ import annotations

import os
import subprocess
import threading

import pytest
from drakit_neuron.watching import Watcher

NOTIFYING = "/proc/sys/kernel/hostname"
BOUND_SECONDS = 30.0
AGES = 3600.0


def notify() -> None:
    """Have the kernel notify of the file."""
    apart = ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--uts"]
    try:
        subprocess.run([*apart, "hostname", "elsewhere"], check=True, capture_output=True, timeout=BOUND_SECONDS)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespace for a host name may be made here: {error}")


class Changes:
    """Counts the calls of `changed`, and can wait for them."""

    def __init__(self) -> None:
        self.count = 0
        self._happened = threading.Condition()

    def __call__(self) -> None:
        with self._happened:
            self.count += 1
            self._happened.notify_all()

    def wait_for(self, count: int) -> bool:
        with self._happened:
            return self._happened.wait_for(lambda: self.count >= count, BOUND_SECONDS)


@pytest.fixture
def changes():
    return Changes()


@pytest.fixture
def watcher(changes):
    watcher = Watcher(changes, pause_seconds=0)
    yield watcher
    watcher.close(BOUND_SECONDS)


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "neuron-health"}


@pytest.mark.reliability(
    fault="A Neuron device breaks between two rounds of health",
    injected="a notification of a real kernel, of a file that is followed",
    promise="Health is asked for at once, by each notification again",
)
def test_a_notification_of_the_kernel_calls_for_health_each_time(watcher, changes):
    watcher.follow([NOTIFYING])
    for count in (1, 2, 3):
        notify()
        assert changes.wait_for(count)


def test_a_file_that_does_not_notify_wakes_nobody(watcher, changes, tmp_path):
    quiet = tmp_path / "unhealthy_components"
    quiet.write_text("\n")
    watcher.follow([str(quiet), NOTIFYING])
    quiet.write_text("hbm\n")
    notify()
    assert changes.wait_for(1)
    watcher.close(BOUND_SECONDS)
    assert changes.count == 1


def test_a_file_that_is_missing_is_followed_once_it_is_there(watcher, changes, tmp_path):
    link = tmp_path / "file"
    watcher.follow([str(link)])
    link.symlink_to(NOTIFYING)
    watcher.follow([str(link)])
    notify()
    assert changes.wait_for(1)


def test_nothing_is_started_before_there_is_something_to_follow(changes):
    others = threads()
    watcher = Watcher(changes)
    watcher.follow([])
    assert threads() <= others
    watcher.close()
    watcher.follow([NOTIFYING])
    assert threads() <= others


def test_a_driver_that_notifies_all_the_time_is_heard_once_in_a_while_and_closing_does_not_wait_for_that(changes):
    others = threads()
    watcher = Watcher(changes, pause_seconds=AGES)
    watcher.follow([NOTIFYING])
    assert threads() > others
    notify()
    assert changes.wait_for(1)
    notify()
    watcher.close(BOUND_SECONDS)
    assert threads() <= others
    assert changes.count == 1


def test_closing_ends_the_thread_and_releases_every_file(changes, tmp_path):
    paths = [tmp_path / f"file-{number}" for number in range(5)]
    for path in paths:
        path.write_text("0\n")
    others, before = threads(), len(os.listdir("/proc/self/fd"))
    watcher = Watcher(changes)
    watcher.follow([str(path) for path in paths])
    watcher.close(BOUND_SECONDS)
    watcher.close(BOUND_SECONDS)
    assert threads() <= others
    assert len(os.listdir("/proc/self/fd")) == before
