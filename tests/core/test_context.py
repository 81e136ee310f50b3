"""A plugin's one door to the host: paths never leave the root, devices are opened in one place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from drakit import PluginContext
from drakit.context import check_root, read_boot_id
from drakit.errors import ConfigError


def context(root: Path, **more) -> PluginContext:
    return PluginContext(driver="gpu.example.com", node="node-1", pool="node-1", root=root, **more)


def test_a_path_is_found_under_the_root(tmp_path):
    assert context(tmp_path).path("/sys/class/gpu") == tmp_path / "sys/class/gpu"


def test_an_absolute_symlink_is_resolved_inside_the_root(tmp_path):
    (tmp_path / "sys/devices/gpu0").mkdir(parents=True)
    (tmp_path / "sys/class").mkdir()
    (tmp_path / "sys/class/gpu0").symlink_to("/sys/devices/gpu0")
    assert context(tmp_path).path("/sys/class/gpu0/name") == tmp_path / "sys/devices/gpu0/name"


def test_a_relative_symlink_is_resolved_beside_itself(tmp_path):
    (tmp_path / "sys/class").mkdir(parents=True)
    (tmp_path / "sys/class/gpu0").symlink_to("../devices/pci0000:10/gpu0")
    assert context(tmp_path).path("/sys/class/gpu0") == tmp_path / "sys/devices/pci0000:10/gpu0"


@pytest.mark.parametrize("path", ["/../../etc/passwd", "../../etc/passwd", "/sys/../../../etc/passwd"])
def test_dots_stop_at_the_root(tmp_path, path):
    assert context(tmp_path).path(path) == tmp_path / "etc/passwd"


def test_a_symlink_cannot_lead_out_of_the_root(tmp_path):
    (tmp_path / "out").symlink_to("../../../../etc")
    assert context(tmp_path).path("/out/passwd") == tmp_path / "etc/passwd"


def test_a_circle_of_symlinks_is_an_os_error(tmp_path):
    (tmp_path / "a").symlink_to("/b")
    (tmp_path / "b").symlink_to("/a")
    with pytest.raises(OSError, match="levels of symbolic links"):
        context(tmp_path).path("/a")


def test_without_a_root_paths_are_the_hosts_own(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert context(Path("/")).path(str(tmp_path / "link")) == Path(os.path.realpath(tmp_path)) / "target"


def test_the_runtime_is_told_the_path_it_sees(tmp_path):
    assert context(tmp_path).host_path("/dev/gpu0") == str(tmp_path / "dev/gpu0")
    assert context(tmp_path, host_root="/").host_path("/dev/gpu0") == "/dev/gpu0"


def test_a_device_is_opened_under_the_root_without_blocking(tmp_path):
    (tmp_path / "dev").mkdir()
    os.mkfifo(tmp_path / "dev/gpu0")
    with context(tmp_path).open_device("/dev/gpu0") as device:
        device.write(b"ping")
        assert device.read(4) == b"ping"
        assert not os.get_blocking(device.fileno())
        assert not os.get_inheritable(device.fileno())


def test_an_absent_device_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        context(tmp_path).open_device("/dev/gpu0", os.O_RDONLY)


def test_the_boot_id_is_empty_where_the_tree_has_none(tmp_path):
    assert read_boot_id(tmp_path) == ""
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("b00t\n")
    assert read_boot_id(tmp_path) == "b00t"


def test_a_root_that_is_no_directory_is_refused_by_name(tmp_path):
    check_root(tmp_path)
    with pytest.raises(ConfigError, match=r"nowhere.*is mounted"):
        check_root(tmp_path / "nowhere")
