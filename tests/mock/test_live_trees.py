"""Faked nodes that agents and containers of a real node use."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from drakit.errors import ConfigError
from drakit.testing import is_laid_out, lay_out, read_layout
from drakit_mock import live, numbers
from drakit_mock.command import mock
from drakit_mock.live import lay_out_live
from drakit_mock.rehearsal import Rehearsal

TYPE, OTHER = "inf2.24xlarge", "generic-gpu-nic"
LOCAL_MAJORS = {*range(60, 64), *range(120, 128)}


@pytest.fixture
def machine(tmp_path):
    """What is read of the machine: its boot id, and the majors of its drivers."""
    root = tmp_path / "machine"
    (root / "proc/sys/kernel/random").mkdir(parents=True)
    (root / "proc/sys/kernel/random/boot_id").write_text("5e6a7f0e-0000-4000-8000-000000000001\n")
    (root / "proc/devices").write_text("Character devices:\n  1 mem\n120 odd\n243 real\n\nBlock devices:\n121 disk\n")
    return root


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.delenv("DRAKIT_CONFIG", raising=False)
    return tmp_path / "mock/node"


def nodes(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_rdev for path in (root / "dev").rglob("*") if path.is_char_device()}


def can_make_nodes(directory: Path) -> bool:
    try:
        os.mknod(directory / "node", stat.S_IFCHR | 0o600, os.makedev(120, 0))
    except PermissionError:
        return False
    (directory / "node").unlink()
    return True


@pytest.fixture
def privileged(tmp_path):
    if not can_make_nodes(tmp_path):
        pytest.skip("device nodes can be made by root only")


def test_the_root_is_a_link_to_a_tree_beside_it_that_can_be_moved_with_it(place, machine):
    lay_out_live(TYPE, place, machine)
    assert place.is_symlink()
    assert not os.readlink(place).startswith("/")
    assert is_laid_out(place)
    moved = place.parent.rename(place.parent.with_name("elsewhere"))
    assert read_layout(moved / "node").node_type == TYPE


def test_a_tree_that_is_current_stays_with_the_faults_in_it(place, machine):
    lay_out_live(TYPE, place, machine)
    inode = place.stat().st_ino
    Rehearsal(root=place).do("neuron-device-3", "ecc")
    Rehearsal(root=place).do("gpu-1", "unhealthy")
    faults = Rehearsal(root=place).listed()
    again = lay_out_live(TYPE, place, machine)
    assert (again.kept, place.stat().st_ino) == (True, inode)
    assert Rehearsal(root=place).listed() == faults
    assert len(faults) == 2
    assert len(list(place.parent.iterdir())) == 2


def test_another_type_takes_the_place_of_the_tree_and_nothing_of_it_is_left(place, machine):
    lay_out_live(TYPE, place, machine)
    again = lay_out_live(OTHER, place, machine)
    assert (again.kept, again.before) == (False, TYPE)
    assert read_layout(place).node_type == OTHER
    assert not (place / "dev/neuron0").exists()
    assert len(list(place.parent.iterdir())) == 2


def test_a_layout_that_says_other_things_takes_the_place_of_the_tree(place, machine, monkeypatch):
    lay_out_live(TYPE, place, machine)

    def another(node_type, root):
        laid = lay_out(node_type, root)
        (root / "sys/class/neuron_device/neuron0/core_count").write_text("3")
        return laid

    monkeypatch.setattr(live, "lay_out", another)
    again = lay_out_live(TYPE, place, machine)
    assert (again.kept, again.before) == (False, TYPE)
    assert (place / "sys/class/neuron_device/neuron0/core_count").read_text() == "3"


def test_at_every_moment_the_root_is_a_whole_tree(place, machine, monkeypatch):
    """Whatever is done to the file system, between any two steps there is one tree or the other."""
    lay_out_live(TYPE, place, machine)
    whole = {TYPE: names(place)}
    lay_out_live(OTHER, place.with_name("other"), machine)
    whole[OTHER] = names(place.with_name("other"))
    seen = []
    for name in ("mkdir", "rename", "replace", "unlink", "symlink", "rmdir", "chmod", "link"):
        real = getattr(os, name)

        def watched(*arguments, real=real, **keywords):
            seen.append(read_layout(place).node_type)
            assert names(place) == whole[seen[-1]]
            return real(*arguments, **keywords)

        monkeypatch.setattr(os, name, watched)
    lay_out_live(OTHER, place, machine)
    assert seen[0] == TYPE
    assert seen[-1] == OTHER
    assert seen == sorted(seen, key=[TYPE, OTHER].index)


def names(root: Path) -> set[str]:
    base = os.path.realpath(root)
    return {os.path.relpath(os.path.join(at, name), base) for at, ds, fs in os.walk(base) for name in (*ds, *fs)}


def test_a_plugin_that_fails_costs_no_tree_its_place(place, machine, monkeypatch):
    lay_out_live(TYPE, place, machine)
    monkeypatch.setattr("drakit_neuron.layout._write_device", lambda *_: 1 / 0)
    for node_type in (TYPE, "trn1.32xlarge"):
        failed = lay_out_live(node_type, place, machine)
        assert [problem.plugin for problem in failed.layout.problems] == ["neuron"]
        assert read_layout(place).node_type == TYPE
        assert len(nodes(place) or list((place / "dev").iterdir())) == 6
    done = CliRunner().invoke(mock, ["layout", "--live", "--node", TYPE, str(place)])
    assert done.exit_code == 1
    assert "stays as it is" in done.output


@pytest.mark.parametrize("refused", [lambda path: path.mkdir(), lambda path: lay_out(TYPE, path)])
def test_a_directory_that_was_not_laid_out_to_be_live_is_refused(place, machine, refused):
    place.parent.mkdir()
    refused(place)
    before = names(place)
    with pytest.raises(ConfigError, match="was not laid out to be live"):
        lay_out_live(OTHER, place, machine)
    assert names(place) == before


def test_an_unknown_type_leaves_the_tree_and_nothing_else(place, machine):
    lay_out_live(TYPE, place, machine)
    with pytest.raises(ConfigError, match=r"no plugin knows the node type 'inf2\.25xlarge'"):
        lay_out_live("inf2.25xlarge", place, machine)
    assert read_layout(place).node_type == TYPE
    assert len(list(place.parent.iterdir())) == 2


def test_what_an_interruption_left_is_removed(place, machine):
    lay_out_live(TYPE, place, machine)
    (place.parent / ".node-abc/sys").mkdir(parents=True)
    (place.parent / ".node-link").symlink_to(".node-abc")
    lay_out_live(TYPE, place, machine)
    assert len(list(place.parent.iterdir())) == 2


def test_a_boot_of_the_machine_is_one_of_the_node_and_of_nothing_else(place, machine):
    lay_out_live(TYPE, place, machine)
    boot_id = place / "proc/sys/kernel/random/boot_id"
    assert boot_id.read_text() == "5e6a7f0e-0000-4000-8000-000000000001\n"
    Rehearsal(root=place).do("neuron-device-3", "ecc")
    (machine / "proc/sys/kernel/random/boot_id").write_text("5e6a7f0e-0000-4000-8000-000000000002\n")
    assert lay_out_live(TYPE, place, machine).kept
    assert boot_id.read_text() == "5e6a7f0e-0000-4000-8000-000000000002\n"
    assert len(Rehearsal(root=place).listed()) == 1


@pytest.mark.usefixtures("privileged")
def test_device_nodes_have_numbers_that_the_kernel_gives_to_no_driver(place, machine):
    lay_out_live("trn1.32xlarge", place, machine)
    found = nodes(place)
    assert {name for name in found if name.startswith("neuron")} == {f"neuron{number}" for number in range(16)}
    assert {name for name in found if name.startswith("uverbs")} == {f"uverbs{number}" for number in range(8)}
    assert len(set(found.values())) == len(found)
    assert {os.major(number) for number in found.values()} <= LOCAL_MAJORS - {120}  # a driver of the machine has that
    for name, number in found.items():
        (file,) = (path for path in (place / "sys/devices").rglob("dev") if path.parent.name == name)
        assert file.read_text() == f"{os.major(number)}:{os.minor(number)}\n"


@pytest.mark.usefixtures("privileged")
def test_a_number_that_a_driver_has_come_to_have_is_given_up(place, machine):
    lay_out_live(TYPE, place, machine)
    (before,) = {os.major(number) for number in nodes(place).values()}
    (machine / "proc/devices").write_text(f"Character devices:\n{before} new\n")
    assert not lay_out_live(TYPE, place, machine).kept
    assert before not in {os.major(number) for number in nodes(place).values()}


@pytest.mark.usefixtures("privileged")
def test_without_a_free_number_nothing_is_laid_out(place, machine):
    taken = "\n".join(f"{major} some" for major in LOCAL_MAJORS)
    (machine / "proc/devices").write_text(f"Character devices:\n{taken}\n")
    with pytest.raises(ConfigError, match="every device number"):
        lay_out_live(TYPE, place, machine)
    assert not os.path.lexists(place)
    assert list(place.parent.iterdir()) == []


@pytest.mark.usefixtures("privileged")
def test_numbers_are_dealt_out_and_modules_loaded_anew_without_the_right_to_make_device_nodes(
    place, machine, monkeypatch
):
    lay_out_live("trn1.32xlarge", place, machine)
    before = nodes(place)

    def refused(*_arguments, **_keywords):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", refused)
    Rehearsal(root=place).renumber()
    after = nodes(place)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in after if name.startswith("neuron"))
    assert {os.major(number) for number in after.values()} <= LOCAL_MAJORS
    Rehearsal(root=place).reload()
    assert nodes(place) == after
    assert Rehearsal(root=place).renumber()
    assert nodes(place) == before
    for file in numbers.number_files(place):
        if file.parent.name in before:
            number = before[file.parent.name]
            assert file.read_text() == f"{os.major(number)}:{os.minor(number)}\n"


def test_where_no_device_node_can_be_made_files_stand_in_and_it_is_said(place, machine, monkeypatch):
    def refused(*_arguments, **_keywords):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", refused)
    laid = lay_out_live(TYPE, place, machine)
    assert laid.stand_ins == tuple(f"/dev/neuron{number}" for number in range(6))
    done = CliRunner().invoke(mock, ["layout", "--live", "--node", TYPE, str(place)])
    assert done.exit_code == 0
    assert "/dev/neuron0 and 5 more are files" in done.output
    assert "CAP_MKNOD" in done.output


@pytest.mark.usefixtures("privileged")
def test_once_device_nodes_can_be_made_the_files_are_replaced(place, machine, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, "mknod", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no")))
        lay_out_live(TYPE, place, machine)
    assert not nodes(place)
    assert not lay_out_live(TYPE, place, machine).kept
    assert len(nodes(place)) == 6


def test_the_command_says_what_became_of_the_tree(place):
    def run(node_type):
        done = CliRunner().invoke(mock, ["layout", "--live", "--node", node_type, str(place)])
        assert done.exit_code == 0, done.output
        return done.output.splitlines()[0]

    assert run(TYPE) == f"{place}: a faked {TYPE}"
    assert run(TYPE) == f"{place}: a faked {TYPE}, as it was"
    assert (
        run(OTHER) == f"{place}: a faked {OTHER}, in the place of a faked {TYPE}; what was injected into that is over"
    )
