"""The kernel says that a file has changed, and health is asked for at once.

The kernel's own notifications, of a file that anyone can have notified: the host's name. Changed in a namespace apart,
where nobody else sees it, it wakes whoever polls for it, in other tests too. That is a file of /proc; one of a cgroup
is of the same kind as those of sysfs, where a test may make one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def cgroup():
    """A cgroup of its own, the file `cgroup.events` of which the kernel notifies of."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    own = [line.removeprefix("0::/") for line in Path("/proc/self/cgroup").read_text().splitlines() if "0::" in line]
    if root is None or not own:
        pytest.skip("no cgroup2 is mounted here")
    directory = root / own[0] / f"drakit-test-{os.getpid()}"
    try:
        directory.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup may be made here: {error}")
    yield directory
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()


def populate(cgroup: Path) -> None:
    """Have a process in the cgroup, and end it: of either the kernel notifies."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        try:
            (cgroup / "cgroup.procs").write_text(str(process.pid))
        except OSError as error:
            pytest.skip(f"no process may be put into a cgroup here: {error}")
        finally:
            process.kill()


def follow(watcher: Watcher, *paths: str) -> None:
    """Have the watcher follow files, and wait until it has them open: nothing is missed from then on."""
    watcher.follow(paths)
    wait_until_open(*paths)


def wait_until_open(*paths: str) -> None:
    limit = time.monotonic() + BOUND_SECONDS
    while not set(paths) <= set(opened()):
        assert time.monotonic() < limit, f"{paths} are not open"
        time.sleep(0.001)


def opened() -> Iterator[str]:
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/self/fd/{entry}")


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "neuron-health"}


@pytest.mark.reliability(
    fault="A Neuron device breaks between two rounds of health",
    injected="a notification of a real kernel, of a file that is followed",
    promise="Health is asked for at once, by each notification again",
)
def test_a_notification_of_the_kernel_calls_for_health_each_time(watcher, changes):
    follow(watcher, NOTIFYING)
    for count in (1, 2, 3):
        notify()
        assert changes.wait_for(count)


def test_after_a_notification_nothing_is_called_for_until_the_next(cgroup, watcher, changes):
    follow(watcher, str(cgroup / "cgroup.events"))
    populate(cgroup)
    assert changes.wait_for(1)
    populate(cgroup)
    assert changes.wait_for(2)
    watcher.close(BOUND_SECONDS)
    assert changes.count <= 4  # of each process that it came, and that it went


def test_a_file_that_went_away_is_a_change_and_another_of_its_name_is_followed(cgroup, watcher, changes):
    events = str(cgroup / "cgroup.events")
    follow(watcher, events)
    cgroup.rmdir()
    cgroup.mkdir()
    watcher.follow([events])
    assert changes.wait_for(1)
    follow(watcher, events)
    populate(cgroup)
    assert changes.wait_for(2)
    watcher.close(BOUND_SECONDS)
    assert changes.count <= 3  # that it went, and of the process that it came and went


def test_a_file_that_is_no_longer_to_be_followed_is_let_go(watcher, tmp_path):
    one, other = (str(tmp_path / name) for name in ("one", "other"))
    for path in (one, other):
        Path(path).write_text("\n")
    follow(watcher, one)
    follow(watcher, other)  # what is not wanted is closed before what is wanted is opened
    assert one not in opened()


def test_a_file_that_does_not_notify_wakes_nobody(watcher, changes, tmp_path):
    quiet, other = tmp_path / "unhealthy_components", tmp_path / "other"
    for path in (quiet, other):
        path.write_text("\n")
    follow(watcher, str(quiet))
    quiet.write_text("hbm\n")
    follow(watcher, str(quiet), str(other))  # the thread was awake, and has looked
    watcher.close(BOUND_SECONDS)
    assert changes.count == 0


def test_a_file_that_is_missing_is_followed_once_it_is_there(watcher, changes, tmp_path):
    link = tmp_path / "file"
    watcher.follow([str(link)])
    link.symlink_to(NOTIFYING)
    watcher.follow([str(link)])
    wait_until_open(NOTIFYING)
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
    follow(watcher, NOTIFYING)
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
    follow(watcher, *(str(path) for path in paths), NOTIFYING)
    notify()
    assert changes.wait_for(1)
    watcher.close(BOUND_SECONDS)
    watcher.close(BOUND_SECONDS)
    assert threads() <= others
    assert len(os.listdir("/proc/self/fd")) == before
