"""What the files of a faked tree tell of, by a table of the plugin whose hardware it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from drakit import PciFunction
from drakit.errors import ConfigError
from drakit.testing import lay_out
from drakit_mock.rehearsal import Rehearsal
from drakit_mock.tree import FakedTree
from hypothesis import given, settings
from hypothesis import strategies as st

CARDS = ("card-0", "card-1")
CLASS = "sys/class/card"


def function(number):
    device = f"sys/devices/virtual/card/card{number}"
    return PciFunction(
        address=f"0000:10:0{number}.0",
        vendor=1,
        device=1,
        class_code=0,
        published_as=CARDS[number],
        companions=[device],
        faults={
            "unhealthy": {f"{device}/errors": "+1"},
            "noisy": {f"{device}/errors": "+10", f"{CLASS}/alarm": "on\n"},
            "silent": {f"{CLASS}/alarm": "silenced\n"},
        },
    )


@pytest.fixture
def tree(tmp_path, make_tree):
    return make_tree(tmp_path / "node")


@pytest.fixture(scope="session")
def make_tree(faker):
    """Two cards, with a counter each and one alarm for both."""

    def write(_node_type, root):
        (root / CLASS).mkdir(parents=True)
        (root / CLASS / "alarm").write_text("off, for now and for as long as nothing happens\n")
        for number in range(len(CARDS)):
            directory = root / f"sys/devices/virtual/card/card{number}"
            directory.mkdir(parents=True)
            (directory / "errors").write_text("0\n")
            (directory / "errors").chmod(0o444)
        return [function(number) for number in range(len(CARDS))]

    return lambda root: Tree(lay_out("box", root, [faker("cards", write)]).root)


class Tree:
    def __init__(self, root):
        self.root = root

    def do(self, *words):
        return Rehearsal(root=self.root).do(*words)

    def listed(self):
        return Rehearsal(root=self.root).listed()

    def clear(self):
        Rehearsal(root=self.root).clear()

    def errors(self, number):
        return int((self.root / f"sys/devices/virtual/card/card{number}/errors").read_text())

    def alarm(self):
        return (self.root / CLASS / "alarm").read_text().split(",")[0].strip()

    def state(self):
        paths = [Path(parent, name) for parent, _, names in os.walk(self.root) for name in names]
        return {path: (path.lstat().st_ino, path.lstat().st_mode, path.read_bytes()) for path in paths}


def test_a_count_goes_up_each_time_and_is_as_it_was_when_the_device_is_healed(tree):
    before = tree.state()
    for _ in range(3):
        tree.do("card-1", "unhealthy")
    tree.do("card-1", "noisy")
    assert (tree.errors(0), tree.errors(1)) == (0, 13)
    assert tree.listed() == ["card-1: unhealthy"] * 3 + ["card-1: noisy"]
    tree.do("card-1", "heal")
    assert (tree.errors(1), tree.listed()) == (0, [])
    assert tree.state() == before


def test_faults_of_two_devices_that_show_in_one_file_end_each_by_itself(tree):
    tree.do("card-0", "noisy")
    tree.do("card-1", "silent")
    assert tree.alarm() == "silenced"
    tree.do("card-1", "heal")
    assert tree.alarm() == "on"
    tree.do("card-1", "silent")
    tree.do("card-0", "heal")
    assert (tree.alarm(), tree.errors(0)) == ("silenced", 0)
    tree.do("card-1", "heal")
    assert tree.alarm() == "off"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CARDS), st.sampled_from(["unhealthy", "noisy", "silent", "vanish", "heal"]))))
def test_whatever_was_injected_clear_leaves_the_tree_as_it_was(tmp_path_factory, make_tree, steps):
    tree = make_tree(tmp_path_factory.mktemp("any") / "node")
    before, expected = tree.state(), dict.fromkeys(CARDS, 0)
    for card, word in steps:
        is_gone = f"{card}: vanish" in tree.listed()
        if is_gone and word not in ("vanish", "heal"):
            with pytest.raises(ConfigError, match="has vanished; bring it back first"):
                tree.do(card, word)
            continue
        tree.do(card, word)
        expected[card] = 0 if word == "heal" else expected[card] + {"unhealthy": 1, "noisy": 10}.get(word, 0)
    for number, card in enumerate(CARDS):
        if f"{card}: vanish" not in tree.listed():
            assert tree.errors(number) == expected[card]
    tree.clear()
    assert tree.state() == before


def test_a_reset_ends_what_the_files_tell_and_brings_nothing_back(tree):
    tree.do("card-0", "noisy")
    tree.do("card-0", "vanish")
    assert tree.do("card-0", "reset") == ["card-0: was reset"]
    assert (tree.listed(), tree.alarm()) == (["card-0: vanish"], "off")
    tree.do("card-0", "return")
    assert tree.errors(0) == 0


def test_a_device_that_vanished_while_it_told_of_a_fault_tells_of_it_when_it_is_back(tree):
    tree.do("card-0", "unhealthy")
    tree.do("card-0", "vanish")
    tree.do("card-1", "noisy")
    FakedTree(tree.root).bring_back(function(0))  # what `return` does before it heals
    assert (tree.errors(0), tree.errors(1)) == (1, 10)


def test_what_was_interrupted_between_the_record_and_the_files_is_finished_by_the_next_step(tree):
    tree.do("card-0", "unhealthy")
    path = tree.root / "sys/devices/virtual/card/card0/errors"
    path.chmod(0o644)
    path.write_text("0\n")  # as it was, had the process died after it wrote the record
    tree.do("card-1", "unhealthy")
    assert (tree.errors(0), tree.errors(1)) == (1, 1)


@pytest.mark.parametrize("content", ["", "[]", '{"told": [{}], "before": {}}', '{"told": 3}'])
def test_a_record_that_is_damaged_is_named(tree, content):
    tree.do("card-0", "unhealthy")
    (tree.root / ".drakit-aside/told.json").write_text(content)
    with pytest.raises(ConfigError, match=r"told\.json cannot be read .*lay the node out anew"):
        tree.listed()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("card-0", "noisi"), "did you mean 'noisy'?"),
        (("card-0", "hang"), "only mock devices can be hang"),
        (("card-9", "noisy"), "did you mean 'card-"),
    ],
)
def test_a_fault_that_the_hardware_cannot_have_is_refused_with_those_it_can(tree, words, said):
    with pytest.raises(ConfigError) as refused:
        tree.do(*words)
    assert said in str(refused.value)


def test_a_node_without_kernel_modules_has_none_to_load_anew(tree):
    with pytest.raises(ConfigError, match="there is nothing to load anew"):
        Rehearsal(root=tree.root).reload()
