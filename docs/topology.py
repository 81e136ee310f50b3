"""Makes docs/topology.md and the drawing in it: `python docs/topology.py` writes both."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from drakit import DeviceRef
from drakit.cli.nodetypes import survey_of
from drakit.plan.topology import Inputs, draw, pictures_of, svg_document, text_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "topology.md"
DRAWING = ROOT / "docs" / "topology.svg"
DRAWN, WRITTEN = "trn2.48xlarge", "inf2.48xlarge"
GROUP = "resource.aws.com/devicegroup4_id"

TEXT = """\
# The topology picture

`drakit topology` draws the devices of a node: which NUMA node and PCIe root each is at, which belong together, how they
are linked, and who has them.

```
drakit topology --node trn2.48xlarge                     # a node of a type that nobody has at hand
drakit topology --node trn2.48xlarge -o html > trn2.html # for a design review
drakit topology --root /                                 # this machine
drakit topology --cluster                                # all nodes of the current kubeconfig, with their claims
drakit topology --cluster --node-name worker-7
drakit topology --slices slices.yaml --claims claims.yaml
drakit plan -f job.yaml --cluster -o html > plan.html    # and which devices the pods of a file would be given
```

![The devices of a trn2.48xlarge in frames of NUMA nodes, PCIe roots and groups, and their links](topology.svg)

This drawing is of a trn2.48xlarge on which one claim has a group of four accelerators with their network adapters, one
accelerator is tainted, and two stand out: what a pod would be given, as `drakit plan … -o svg` and `-o html` draw it on
all nodes that they plan for ([plan.md](plan.md#the-answer-drawn)).

| `-o` | what |
| --- | --- |
| `text` | for a terminal, in colour there (not with `NO_COLOR`), in 80 columns in a pipe |
| `svg` | one file with its style in it |
| `html` | one file: every node, with what is drawn also as a table; point at a group of the legend to see its devices |

SVG and HTML look right on light and on dark pages, and fetch nothing. Of many nodes, text and SVG show those that look
alike once, with their names; HTML has a section for each. Point at a device to see all that is known of it.

## How to read it

- **Frames** are NUMA nodes, PCIe roots, device groups, and counter sets that partitions of a device share. They are
  inside one another as far as they nest. A group that is not within one NUMA node, or cuts across another, has a frame
  in each, and a dashed label: its members are all that these frames enclose. A frame that would be the same as another
  is drawn once, with the labels of both.
- **Labels** such as `4·B` are the second group of the attribute for groups of four; the legend has the attributes, the
  smallest groups first, and the values as tooltips. The hue of a small group lies among those of the larger one that it
  is in.
- **Devices** are free, allocated, tainted, shared with part of them in use (the bar is their scarcest capacity), or
  without counters left: free, but partitions beside them have taken what they need. A device that is both allocated and
  tainted looks allocated, in the outline of a taint.
- **Links** have a part of their own, in which devices go by their number.

The text form says the same in lines:

```
$ drakit topology --node {written}
{text}```

## What it goes by

Nothing in it is of one vendor. A device of any driver is drawn by these attributes, if it has them:

| attribute | meaning |
| --- | --- |
| `resource.kubernetes.io/numaNode`, `resource.kubernetes.io/pcieRoot` | where it is |
| `<any domain>/devicegroup<N>_id` | it belongs with all of the same value; `N` is the nominal size of a group |
| `connectedDevices`, of any domain | the numbers of those it is linked with |
| `topology_x`, `topology_y`, of any domain | its row and its column in a grid |

The numbers are those in which names end, of devices of the same pool whose names are else the same. Linked devices that
do not all have a place of their own in a grid are drawn as a ring or a row where they are one, else on a circle. Taints
come from the slices, allocations from the claims' status; administrative access takes nothing.

`--cluster` lists ResourceSlices, ResourceClaims and Nodes, and needs to be allowed to. A file for `--slices` may hold
all three, as `kubectl get resourceslices,resourceclaims,nodes -A -o yaml` writes them; DeviceClasses in it, as in a
file for `drakit plan --slices`, are passed over. At most 2 MiB of YAML are read, or 256 MiB of JSON, which
`-o json` writes.

Exit code 1 means that something could not be drawn: a pool that is being updated or contradicts itself, a link to a
device that is not there, or nothing at all; the picture or stderr says what. 2 is bad input.

## Slices of a node type

What `--node TYPE` looks at is had by `drakit slices --node TYPE` and `drakit inventory --node TYPE` too: the type is
laid out in a temporary directory, as `drakit mock layout` does, and the real backends survey it. Without a
configuration these are the installed ones that have hardware on such a node, with one those that it names. So what a
simulation is fed with, of an autoscaler, Karpenter or KWOK, is what the agent would publish:

```
drakit slices --node trn2.48xlarge --node-name kwok-0 | kubectl create -f -
```

The node and its pools are called as the type, or as `--node-name` says. The answer is the same every time. For types
with hardware of which no installed backend is, as GPUs, give a configuration with the mock and a profile.
"""


def drawing() -> str:
    """The SVG file."""
    slices = survey_of(DRAWN).slices
    devices = [
        (DeviceRef(one["spec"]["driver"], one["spec"]["pool"]["name"], device["name"]), device)
        for one in slices
        for device in one["spec"]["devices"]
    ]
    first = next(device["attributes"][GROUP] for ref, device in devices if ref.name == "neuron-device-0")
    claims = [_claim("train-0", (ref for ref, device in devices if device["attributes"][GROUP] == first))]
    by_name = dict(zip((ref.name for ref, _ in devices), devices, strict=True))
    by_name["neuron-device-13"][1]["taints"] = [{"key": "neuron.aws.com/unhealthy", "effect": "NoSchedule"}]
    marks = {by_name[f"neuron-device-{n}"][0]: "infer-0/neurons" for n in (8, 9)}
    (picture,) = pictures_of(Inputs(slices, claims, marks=marks))
    return svg_document([draw(picture)], f"Topology of {DRAWN}")


def _claim(name: str, devices: Iterable[DeviceRef]) -> dict[str, Any]:
    results = [{"request": "r", "driver": ref.driver, "pool": ref.pool, "device": ref.name} for ref in devices]
    status = {"allocation": {"devices": {"results": results}}}
    return {"metadata": {"name": name, "namespace": "team-a"}, "status": status}


def page() -> str:
    """The whole page."""
    (picture,) = pictures_of(Inputs(survey_of(WRITTEN).slices))
    text = "".join(f"{line.plain}\n" for line in text_of(picture, 80))
    return TEXT.replace("{written}", WRITTEN).replace("{text}", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    DRAWING.write_text(drawing(), encoding="utf-8")
