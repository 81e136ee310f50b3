"""Which plugin a death is charged to, how long that is held against it, and that nothing else is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from drakit.deaths import LIMIT, WINDOW_SECONDS, Deaths
from drakit.host import Instance
from drakit.loading import Declarations
from drakit.running import RunningHooks, remains


def instance(name: str) -> Instance:
    return Instance(name, "acme", name, Declarations(driver_name=name), frozenset())


A, B = instance("a.example.com"), instance("b.example.com")


class Node:
    """A node on which agents start and die. They share this process; their locks do not."""

    def __init__(self, plugins: Path) -> None:
        self.plugins = plugins
        self.now = 1000.0
        self.boot = "boot-1"
        self.warnings: list[str] = []

    def start(self) -> Deaths:
        return Deaths(self.plugins, self.boot, warn=self.warnings.append, clock=lambda: self.now)

    def die(self, *running: tuple[Instance, str], report: str = "") -> None:
        """An agent starts, and dies while these run."""
        deaths = self.start()
        for one, hook in running:
            deaths.running.began(one, hook)
        if report:
            (path,) = self.left()
            with path.open("ab") as file:
                file.write(report.encode())
        deaths.running.close()

    def left(self) -> list[Path]:
        return sorted((self.plugins / ".drakit").glob("running-*"))

    def held_out(self, one: Instance = A) -> bool:
        deaths = self.start()
        held = deaths.held_out(one.name)
        deaths.end()
        return held is not None


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_plugin_is_held_out_after_three_deaths_in_its_hooks(node):
    for count in range(LIMIT):
        assert not node.held_out(), count
        node.die((A, "prepare"))
    deaths = node.start()
    held = deaths.held_out(A.name, "acme", A.name)
    assert held is not None
    assert held.driver == A.name
    assert (
        "plugin 'acme': is held out: the agent died 3 times within an hour while a.example.com was in prepare"
        in str(held)
    )
    assert f"remove {node.plugins}/.drakit/deaths-a.example.com.json and restart" in str(held)
    assert held.seconds == WINDOW_SECONDS
    assert deaths.held_out(B.name) is None
    deaths.end()
    assert len([warning for warning in node.warnings if "a.example.com was in prepare" in warning]) == LIMIT


def test_a_hook_that_had_ended_is_not_blamed(node):
    for _ in range(LIMIT):
        deaths = node.start()
        deaths.running.began(A, "discover")
        deaths.running.ended(A, "discover", 0.1, None)
        with deaths.running.during(B.name, "constructor"):
            pass
        deaths.running.close()
    assert not node.held_out(A)
    assert not node.held_out(B)
    assert node.warnings == []


def test_it_is_let_in_again_once_the_hour_is_over(node):
    """A death is as old as its discovery: the one who died could not say when."""
    for _ in range(LIMIT):
        node.die((A, "prepare"))
        node.now += 60
    assert node.held_out()
    node.now = 1060.0 + WINDOW_SECONDS - 1
    assert node.held_out()
    node.now = 1060.0 + WINDOW_SECONDS
    assert not node.held_out()
    node.die((A, "prepare"))
    assert node.held_out()


def test_deaths_far_apart_are_held_against_nobody(node):
    for _ in range(5):
        node.die((A, "prepare"))
        node.now += WINDOW_SECONDS / 2 + 1
    assert not node.held_out()


@pytest.mark.parametrize("now", [10.0, 1000.0 - 1])
def test_deaths_of_the_future_hold_nobody_out(node, now):
    for _ in range(LIMIT):
        node.die((A, "prepare"))
    node.now = now
    assert not node.held_out()


def test_a_reboot_forgives(node):
    for _ in range(LIMIT):
        node.die((A, "prepare"))
    assert node.held_out()
    node.boot = "boot-2"
    assert not node.held_out()


def test_an_agent_that_went_down_with_its_machine_is_charged_to_nobody(node):
    for _ in range(LIMIT):
        node.die((A, "prepare"))
        node.boot += "-and-another"
    node.start().end()
    assert node.warnings == []
    assert node.left() == []


def test_removing_the_named_file_lifts_it(node):
    for _ in range(LIMIT):
        node.die((A, "prepare"))
    for _ in range(LIMIT):
        node.die((B, "discover"))
    assert node.held_out(A)
    (node.plugins / ".drakit" / "deaths-a.example.com.json").unlink()
    assert not node.held_out(A)
    assert node.held_out(B)


def test_an_agent_that_lives_is_not_taken_for_dead(node):
    living = node.start()
    living.running.began(A, "prepare")
    other = node.start()
    assert len(node.left()) == 2
    other.end()
    living.end()
    assert node.left() == []
    assert node.warnings == []


def test_an_end_on_purpose_in_the_middle_of_a_hook_is_no_death(node):
    for _ in range(LIMIT):
        deaths = node.start()
        deaths.running.began(A, "prepare")
        deaths.end()
        deaths.end()
        deaths.running.ended(A, "prepare", 1.0, None)  # it returns when nobody cares any more
        deaths.running.began(A, "prepare")
    assert not node.held_out()


REPORT = (
    "Fatal Python error: Segmentation fault\n\n{0} 0x{1:016x} (most recent call first):\n  File {2}\n\nThread 0x1\n"
)


def test_where_the_crashed_thread_is_known_only_its_plugin_is_blamed(node):
    def beside() -> None:
        node.both.running.began(B, "discover")

    node.both = node.start()
    node.both.running.began(A, "discover")
    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    (path,) = node.left()
    with path.open("ab") as file:
        file.write(REPORT.format("Current thread", threading.get_ident(), '"acme.py", line 7').encode())
    node.both.running.close()
    node.start().end()
    (warning,) = node.warnings
    assert warning.startswith("an agent died on this node while a.example.com was in discover; Current thread 0x")
    assert 'File "acme.py", line 7' in warning
    assert "Thread 0x1\n" not in warning


def test_where_several_were_in_a_hook_all_are_charged_and_take_turns_from_then_on(node):
    node.die((A, "discover"), (B, "discover"))
    deaths = node.start()
    assert "a.example.com was in discover (as was b.example.com)" in node.warnings[0]
    order = []

    def second() -> None:
        deaths.running.began(B, "discover")
        order.append("b")
        deaths.running.ended(B, "discover", 0.1, None)

    deaths.running.began(A, "discover")
    thread = threading.Thread(target=second)
    thread.start()
    (path,) = node.left()
    assert [one.name for one in remains(path).running] == [A.name]
    order.append("a")
    deaths.running.ended(A, "discover", 0.1, None)
    thread.join()
    assert order == ["a", "b"]
    deaths.end()


def test_those_who_were_never_suspected_do_not_wait_for_each_other(node):
    deaths = node.start()
    deaths.running.began(A, "discover")
    thread = threading.Thread(target=lambda: deaths.running.began(B, "discover"))
    thread.start()
    thread.join()
    (path,) = node.left()
    assert {(one.name, one.hook) for one in remains(path).running} == {(A.name, "discover"), (B.name, "discover")}
    deaths.end()


def test_a_crash_outside_of_any_plugin_is_told_and_charged_to_nobody(node):
    node.die(report=REPORT.format("Current thread", 1, '"grpc.py", line 1'))
    node.start().end()
    (warning,) = node.warnings
    assert "outside of any plugin; Current thread" in warning


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 40000, b"boot-1"])
def test_a_record_that_is_none_is_passed_over(node, content):
    node.start().end()
    (node.plugins / ".drakit" / "running-x").write_bytes(content)
    assert not node.held_out()
    assert node.left() == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"name": 7}', b'{"name": "a.example.com", "deaths": [{"at": "x"}]}']
)
def test_a_history_that_cannot_be_read_holds_nobody_out(node, content):
    node.start().end()
    (node.plugins / ".drakit" / "deaths-a.example.com.json").write_bytes(content)
    assert not node.held_out()
    assert "cannot be read, and is passed over" in node.warnings[0]


def test_what_keeps_the_record_from_being_written_is_said_and_no_more(node):
    (node.plugins / ".drakit").write_text("a file")
    deaths = node.start()
    assert "what the agent might die of is not recorded" in node.warnings[0]
    with deaths.running.during(A.name, "import"):
        deaths.running.began(A, "prepare")
    assert deaths.held_out(A.name) is None
    deaths.end()


def test_a_history_is_bounded(node):
    for _ in range(30):
        node.die((A, "prepare"))
    node.start().end()
    assert len((node.plugins / ".drakit" / "deaths-a.example.com.json").read_bytes()) < 1500


def test_names_that_are_no_file_names_are_kept_apart(node):
    odd = instance("../../etc/passwd")
    for _ in range(LIMIT):
        node.die((odd, "attributes"))
    assert node.held_out(odd)
    assert sorted(path.name for path in node.plugins.iterdir()) == [".drakit"]


def test_more_threads_than_slots_break_nothing(tmp_path):
    descriptor = os.open(tmp_path / "running", os.O_RDWR | os.O_CREAT)
    running = RunningHooks(descriptor, "boot-1")
    for index in range(400):
        running.began(instance(f"plugin-{index}"), "health")
    assert len(remains(tmp_path / "running").running) == 256
    running.close()
