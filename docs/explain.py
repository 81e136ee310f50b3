"""Makes docs/explain.md by planning claims that cannot be met: `python docs/explain.py` writes it."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

from attrs import frozen
from click.testing import CliRunner
from drakit.cli import FINDING, main

PAGE = Path(__file__).with_name("explain.md")
ROOT = PAGE.parents[1]
EXAMPLES = PAGE.parent / "examples" / "unsatisfiable"

HEAD = """\
# Why a claim is not met

A scheduler says of a claim that it cannot be allocated. The planner says why, and what is the least that would have to
change. This page is made by running the commands on it (`make docs`), on claims that cannot be met, and a test compares
it. The claims are in [examples/unsatisfiable](examples/unsatisfiable).

What is said of each kind of node:

- the *reason*: the smallest part of the claims that cannot be met by itself. Without any one thing in it, it could be.
  Where that is more than six requests and constraints, no short reason was found, and this is said.
- for each request, what becomes of all devices on the node: each question takes some away, and what is left in the end
  is usable. Of selectors each condition is asked by itself, with the values that the devices have.
- for each constraint that matters, how many devices there are for each value, `usable of all`.
- selectors that *fail* on a device: the scheduler stops with the error as soon as it looks at that device, whatever
  other devices there are.
- where versions of Kubernetes differ, which do, and because of which known bug or feature gate.

What is said to help was tried: the planner was asked again with the change, and met the claim. Changes are ordered by
how little they change: names and guards first, then tolerations, counts and capacities, then other values and
attributes, then what others would have to give back, and conditions and constraints that are dropped. Where no change
is enough by itself, two together are tried. All of this is bounded by a number of trials; if it is reached, that is
said.

"""


@frozen(kw_only=True)
class Example:
    """One claim, what is wrong with it, and the node it is planned on: a type, or a file of its slices.

    `other` is a type of node that is tried besides.
    """

    name: str
    title: str
    text: str
    node_type: str = ""
    slices: str = ""
    other: str = ""
    version: str = ""

    @property
    def command(self) -> str:
        """What is run, in the directory of the project, and shown."""
        where = f"--node {self.node_type}" if self.node_type else f"--slices {_shown(slices_file(self.slices))}"
        other = f" --try {self.other}" if self.other else ""
        version = f" --kube-version {self.version}" if self.version else ""
        return f"drakit plan -f {_shown(_file(self.name))} {where}{other}{version}"


def _file(name: str) -> Path:
    return EXAMPLES / f"{name}.yaml"


def slices_file(name: str) -> Path:
    """The file of a node's slices."""
    return EXAMPLES / "nodes" / f"{name}.yaml"


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


TRN1, TRN2 = "trn1.32xlarge", "trn2.48xlarge"
ALL = (
    Example(
        name="too-many-devices",
        title="More devices than the node has",
        text="The simplest case: 17 devices of a node that has 16.",
        node_type=TRN2,
    ),
    Example(
        name="wrong-value",
        title="A condition that no device meets",
        text="A template for one type of node, on another. The conditions are asked one by one.",
        node_type=TRN1,
        other=TRN2,
    ),
    Example(
        name="misspelt-attribute",
        title="A name that no device has",
        text="An underscore is missing: no device has the attribute, so that no two can agree on it.",
        node_type=TRN2,
    ),
    Example(
        name="group-too-small",
        title="Groups that are too small",
        text="There are enough devices of both kinds, but a group of four Neuron devices has two adapters on this "
        "type of node. The published template for Trn2 is no good here.",
        node_type=TRN1,
        other=TRN2,
    ),
    Example(
        name="two-efas-four-neurons",
        title="A group of one",
        text="A group of this size holds one device of a kind, so that neither request can be met in it.",
        node_type=TRN2,
    ),
    Example(
        name="only-together",
        title="Only together",
        text="Each request, and the constraint, could be met if it were not for the others. The request for the "
        "network has nothing to do with it, and is not blamed.",
        node_type=TRN2,
    ),
    Example(
        name="poisoned-selector",
        title="A selector that fails",
        text="One device lacks the attribute. It matters not that two others have it: the scheduler looks at this "
        "device first, and stops.",
        slices="unlike-gpus",
    ),
    Example(
        name="tainted",
        title="A taint",
        text="Four devices are there, and one of them is tainted.",
        slices="tainted-gpu",
    ),
    Example(
        name="all-in-use",
        title="Everything is in use",
        text="It is known who holds the devices, and who would have to give some back.",
        slices="busy-gpus",
    ),
    Example(
        name="too-little-capacity",
        title="Too little capacity",
        text="The adapter is shared, and another claim has a part of it already.",
        slices="shared-nic",
    ),
    Example(
        name="version-drift",
        title="Where a version is wrong",
        text="This release looks at the tainted half first, and forgets to give back the memory that it counted for "
        "it: the whole seems not to fit any more. Later releases are right.",
        slices="partitioned-gpu",
        version="1.36",
    ),
)


def said(command: str) -> str:
    """All that a command writes, in a pipe, of a claim that is not met. What is set in our environment is no matter."""
    with contextlib.chdir(ROOT):
        result = CliRunner(env={"DRAKIT_CONFIG": None}).invoke(main, shlex.split(command)[1:])
    assert result.exit_code == FINDING, f"{command}: exit code {result.exit_code}: {result.output}"
    return result.output


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(map(_section, ALL))


def _section(example: Example) -> str:
    text = _filled(f"{example.text} The claim is [{example.name}.yaml](examples/unsatisfiable/{example.name}.yaml).")
    return f"## {example.title}\n\n{text}\n\n```console\n$ {example.command}\n{said(example.command)}```\n"


def _filled(text: str, width: int = 120) -> str:
    rows = [""]
    for word in text.split():
        if rows[-1] and len(rows[-1]) + 1 + len(word) > width:
            rows.append("")
        rows[-1] += f"{' ' if rows[-1] else ''}{word}"
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
