"""docs/kind.md shows the scripts, node types, demos and faults that there are."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml
from drakit_mock.rehearsal import KINDS
from drakit_neuron.faked import FAKED_NODES, faults

ROOT = Path(__file__).parents[2]
KIND = ROOT / "deploy/kind"
PAGE = (ROOT / "docs/kind.md").read_text()
VALUES = yaml.safe_load((KIND / "values.yaml").read_text())


def rows(heading: str) -> list[list[str]]:
    """The cells of the table with this first heading."""
    (table,) = [part for part in PAGE.split("\n\n") if part.startswith(f"| {heading} |")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_scripts_stand_there_in_their_order():
    shown = re.findall(r"(?m)^deploy/kind/([\w-]+\.sh)", PAGE)
    assert sorted(shown) == sorted(path.name for path in KIND.glob("*.sh") if path.name != "common.sh")
    for script, following in itertools.pairwise(shown[:-1]):
        assert f"Next: deploy/kind/{following}" in (KIND / script).read_text()


def test_every_variable_has_its_row():
    used = set(re.findall(r"DRAKIT_[A-Z_]+", "".join(path.read_text() for path in KIND.glob("*.sh"))))
    assert {words(row[0])[0] for row in rows("variable")} == used


def test_every_demo_has_its_row():
    assert sorted(words(row[0])[0] for row in rows("demo")) == sorted(path.stem for path in KIND.glob("demos/*.yaml"))


def test_every_worker_has_its_row_with_its_type_and_drivers():
    shown = {words(row[0])[0]: (words(row[1])[0], words(row[2])) for row in rows("label `mock.drakit/node-type`")}
    assert shown == {
        node["nodeSelector"]["mock.drakit/node-type"]: (node["type"], node["drivers"])
        for node in VALUES["mock"]["nodes"]
    }


def test_the_printed_values_are_values():
    (printed,) = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    (node,) = printed["mock"]["nodes"]
    assert node.keys() == VALUES["mock"]["nodes"][0].keys()
    assert node["type"] in FAKED_NODES


@pytest.mark.parametrize("command", re.findall(r"-- drakit mock fault (.+)", PAGE))
def test_a_printed_fault_is_one(command):
    known = {*KINDS, *faults(FAKED_NODES["trn2.48xlarge"]), "list", "clear"}
    assert command.split()[-1] in known
