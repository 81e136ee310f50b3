"""The node's place in an UltraServer, and the labels that say so on the Node object.

An UltraServer is several instances whose devices are linked. The kernel module tells by files beside the devices'
directories: by number of nodes of a job on Trn2 (`server_id_4`, `node_id_4`), alike for all numbers on Trn3
(`reservation_id`, `node_id`). While the nodes find out who is linked to whom it says `busy`.

The labels are those of AWS's device plugin for Neuron, which is not there where a DRA driver is. LeaderWorkerSet's
exclusive topology and pod affinity are set up by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import evolve, frozen
from drakit import PluginContext

from drakit_neuron.sysfs import CLASS, Absent, Unreadable, read_text

MODE_LABEL = "neuron.amazonaws.com/ultraserver-mode"
SIZES = (2, 4)
"""The numbers of nodes, above one, that a job can run over."""
SERVER_LABELS = {size: f"neuron.amazonaws.com/ultraserver-server-id-{size}" for size in SIZES}
NODE_LABELS = {size: f"neuron.amazonaws.com/ultraserver-node-id-{size}" for size in SIZES}
LABELS = (MODE_LABEL, *SERVER_LABELS.values(), *NODE_LABELS.values())

_NODES_OF_MODE = {1: 4, 2: 2, 3: 2, 4: 1}
"""How many nodes work together, by the kernel module's number for the mode."""
BUSY = "busy"
NO_SERVER = "0000000000000000"
NO_NODE = "-1"
_NO_MODE = "-1"
_ID = re.compile(r"[0-9A-Za-z]{1,32}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)


@frozen(kw_only=True)
class Membership:
    """A node's place in an UltraServer.

    `modes`: the kernel module's numbers for the modes that the node has links for now. By number of nodes of a job,
    above one: `servers`, the id of the group of nodes; `nodes`, the number of this node in it; `lacking`, why one of
    the two is not there.

    Nothing is known yet where it is `busy`, nor where its modes are `unclear`, which says why: also where the kernel
    module has no such file, as on nodes of no UltraServer. `problems`: which files hold what they cannot hold.
    """

    modes: tuple[int, ...] = ()
    servers: Mapping[int, str] = MappingProxyType({})
    nodes: Mapping[int, int] = MappingProxyType({})
    lacking: Mapping[int, str] = MappingProxyType({})
    busy: bool = False
    unclear: str = ""
    problems: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of nodes that a job may run over now, ascending."""
        return tuple(sorted({_NODES_OF_MODE[mode] for mode in self.modes if mode in _NODES_OF_MODE}))

    @property
    def is_known(self) -> bool:
        """Whether the kernel module says how the node is linked."""
        return not (self.busy or self.unclear)


def read_membership(context: PluginContext) -> Membership:
    """The node's place in an UltraServer, as the kernel module has it. Unclear where that knows of none."""
    path = f"{CLASS}/ultraserver_mode"
    try:
        text = read_text(context, path)
    except Absent as error:
        return Membership(unclear=str(error))
    except Unreadable as error:
        return Membership(unclear=str(error), problems=(str(error),))
    if text == BUSY:
        return Membership(busy=True)
    parts = [part.strip() for part in text.split(",")]
    modes = tuple(int(part) for part in parts if _NUMBER.fullmatch(part))
    problems = (f"{path} holds {text!r}, which is no list of modes",)
    if not modes and text != _NO_MODE:
        return Membership(unclear=problems[0], problems=problems)
    return _placed(context, Membership(modes=modes, problems=problems if modes and len(modes) < len(parts) else ()))


def _placed(context: PluginContext, membership: Membership) -> Membership:
    """With the ids for every size that the modes allow."""
    servers: dict[int, str] = {}
    nodes: dict[int, int] = {}
    lacking: dict[int, str] = {}
    problems = list(membership.problems)
    for size in membership.sizes:
        if size == 1:
            continue
        server = _ask(context, {f"server_id_{size}": _doubt_id, "reservation_id": _doubt_id}, NO_SERVER)
        # A file for one size counts within that; one for all sizes within the server, which is of the largest.
        node = _ask(context, {f"node_id_{size}": _doubt_number(size), "node_id": _doubt_number(SIZES[-1])}, NO_NODE)
        if BUSY in (server.value, node.value):
            return Membership(busy=True)
        if server.value:
            servers[size] = server.value
        if node.value:
            nodes[size] = int(node.value)
        if why := server.why or node.why:
            lacking[size] = why
        problems += [answer.why for answer in (server, node) if answer.is_bad and answer.why not in problems]
    return evolve(
        membership,
        servers=MappingProxyType(servers),
        nodes=MappingProxyType(nodes),
        lacking=MappingProxyType(lacking),
        problems=tuple(problems),
    )


def labels(membership: Membership, current: Mapping[str, str]) -> dict[str, str]:
    """The labels of this node; `current` are those it has, which stay while nothing better is known."""
    if not membership.is_known:
        return {key: current[key] for key in LABELS if key in current}
    modes = {MODE_LABEL: "_".join(map(str, membership.sizes))} if membership.sizes else {}
    servers = {SERVER_LABELS[size]: server for size, server in membership.servers.items()}
    nodes = {NODE_LABELS[size]: str(node) for size, node in membership.nodes.items()}
    return modes | servers | nodes


@frozen(kw_only=True)
class _Answer:
    """What a file says, or `why` there is nothing; `is_bad` where that is not how the kernel module says so."""

    value: str = ""
    why: str = ""
    is_bad: bool = False


def _ask(context: PluginContext, files: Mapping[str, Callable[[str], str]], none: str) -> _Answer:
    """What the first of these files says that is there, unless it is doubted. `none`: its word for nothing."""
    for name, doubt in files.items():
        path = f"{CLASS}/{name}"
        try:
            text = read_text(context, path)
        except Absent:
            continue
        except Unreadable as error:
            return _Answer(why=str(error), is_bad=True)
        if text == none:
            return _Answer(why=f"{path} is {none}, so this node is in no group of that size")
        if text != BUSY and (why := doubt(text)):
            return _Answer(why=f"{path} holds {text!r}, which is {why}", is_bad=True)
        return _Answer(value=text)
    return _Answer(why=f"{CLASS} has no file {' or '.join(files)}", is_bad=True)


def _doubt_id(text: str) -> str:
    """Why a text is no id of a server; "" if it is one."""
    return "" if _ID.fullmatch(text) else "no id of letters and digits"


def _doubt_number(nodes: int) -> Callable[[str], str]:
    """Why a text is no number of one of so many nodes; "" if it is one."""
    return lambda text: "" if _NUMBER.fullmatch(text) and int(text) < nodes else f"no number from 0 to {nodes - 1}"
