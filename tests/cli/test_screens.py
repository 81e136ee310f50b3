"""What a person sees on a terminal of 80 columns: every word whole, every row in its table."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from drakit.cli.switchover.commands import keep_away
from drakit.testing import InMemoryApiServer

from tests.cli.clusters import daemons, node

WIDTH = 80
BOUND_SECONDS = 60
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def screen():
    """Run the installed program on a terminal: `(*arguments)`; returns the lines it showed, without colours."""

    def run(*arguments):
        return [line.rstrip() for line in _ESCAPES.sub("", _shown(*arguments)).split("\n")]

    return run


def _shown(*arguments, **environment):
    """What a terminal is sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    foreign = ("COLUMNS", "LINES", "DRAKIT_CONFIG", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    program = Path(sys.executable).with_name("drakit")
    process = subprocess.Popen(
        [program, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=kept | {"TERM": "xterm"} | environment,
    )
    os.close(theirs)
    shown = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    process.wait(BOUND_SECONDS)
    return shown.decode().replace("\r", "")


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def words(lines):
    return {word.strip(",;:") for line in lines for word in line.split()}


@pytest.fixture(scope="module")
def inventory(screen, trn2, tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "agent.yaml"
    config.write_text(
        "apiVersion: drakit/v1alpha1\nkind: AgentConfiguration\nnodeName: node-7\n"
        "backends: [{plugin: neuron}, {plugin: efa}]\n"
    )
    return screen("inventory", "--config", config, "--root", trn2)


def test_no_line_is_wider_than_the_screen(inventory):
    assert max(map(len, inventory)) <= WIDTH


def test_names_and_values_of_an_inventory_are_whole(inventory):
    found = words(inventory)
    assert {"neuron-device-15", "pci-0000-c9-00-0", "0000:84:00.0", "237e3ef7b968b4d3", "rdmap201s0"} <= found
    assert {"topology8_id", "resource.kubernetes.io/", "pciBusID", "devicegroup4_id", "SHARED"} <= found


def test_columns_that_do_not_fit_follow_below_with_the_names_of_the_devices(inventory):
    rows = [line for line in inventory if line.split()[:1] == ["neuron-device-9"]]
    assert len(rows) > 1
    assert any("614e16dab9ba2f1f" in row for row in rows)


def test_the_members_of_a_group_are_whole_and_in_order(inventory):
    start = inventory.index("  resource.aws.com/devicegroup4_id: 4 groups")
    members = " ".join(inventory[start:]).split("13713e551cd37c19")[1].split("671622785349fddf")[0].split()
    assert [word.strip(";") for word in members if word.startswith("neuron-device")] == [
        f"neuron-device-{n}" for n in range(4)
    ]


def test_the_plugins_fit(screen, two_drivers):
    lines = screen("plugins", "--config", two_drivers)
    assert max(map(len, lines)) <= WIDTH
    assert {"neuron.aws.com", "drakit-neuron", "devicegroups", "installed"} <= words(lines)


def test_why_a_plugin_is_not_loaded_has_the_whole_width(screen, write_config):
    lines = screen("plugins", "--config", write_config({"plugin": "nueron"}))
    assert max(map(len, lines)) <= WIDTH
    assert "install the distribution that provides it" in " ".join(lines)


@pytest.mark.parametrize("command", ["check", "slices"])
def test_the_other_tables_fit(screen, two_drivers, trn2, command):
    lines = screen(command, "-o", "table", "--config", two_drivers, "--root", trn2)
    assert max(map(len, lines)) <= WIDTH
    assert any("neuron.aws.com" in line.split() for line in lines)


def test_commands_to_be_typed_are_whole_whatever_the_width(screen, tmp_path):
    with InMemoryApiServer() as server:
        server.create(node("n", aws_amazon_com__neuron=16))
        plugin = server.create(daemons("plugin", "public.ecr.aws/neuron/neuron-device-plugin:2"))
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
        lines = screen("check", "--cluster", "--kubeconfig", kubeconfig)
    shown = [line.removeprefix("  $ ") for line in lines if line.startswith("  $ ")]
    assert shown == [
        keep_away(plugin),
        "kubectl cordon n",
        "kubectl label node n drakit/node=true",
        "kubectl uncordon n",
    ]
    assert len(shown[0]) > WIDTH
    assert max(len(line) for line in lines if not line.startswith("  $ ")) <= WIDTH


def test_the_demo_fits_and_breaks_no_name(screen):
    lines = screen("demo")
    assert max(map(len, lines)) <= WIDTH
    found = words(lines)
    assert {"neuron-device-15", "pci-0000-f6-00-0", "v1alpha1.DRAResourceHealth", "devicegroup4_id"} <= found
    assert {"/dev/infiniband/uverbs10", "root/dev/infiniband/uverbs10", "plugins/neuron.aws.com/dra.sock"} <= found
    assert "requests must agree on their device group." in " ".join(" ".join(lines).split())


def test_the_topology_fits_and_breaks_no_name(screen):
    lines = screen("topology", "--node", "trn2.48xlarge")
    assert max(map(len, lines)) <= WIDTH
    assert {"neuron-device-15", "pci-0000-f6-00-0", "pci0000:ce", "237e3ef7b968b4d3", "torus"} <= words(lines)


def test_groups_are_coloured_bands_on_a_terminal_unless_no_colours_are_wanted():
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9;]*m")
    assert coloured.search(_shown("topology", "--node", "trn2.48xlarge"))
    assert not coloured.search(_shown("topology", "--node", "trn2.48xlarge", NO_COLOR="1"))
