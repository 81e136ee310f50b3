"""Rehearsing failures on one node: faults of its mock devices, and of the hardware in its tree if that is faked."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import attrs
from attrs import frozen
from drakit import FaultEnd, PciFunction, PluginContext, TaintEffect
from drakit.errors import ConfigError
from drakit.testing import configured, is_laid_out, read_layout

from drakit_mock.faults import (
    HOOKS,
    Fault,
    FaultKind,
    end_faults,
    faults_file,
    inject,
    read_faults,
    reset_device,
    state_directory,
)
from drakit_mock.reloading import reload_modules
from drakit_mock.renumbering import renumber
from drakit_mock.source import FleetSource, MockOptions
from drakit_mock.tree import FakedTree

ENDINGS = ("heal", "return")
"""The words that end what was injected into a device."""
RESET = "reset"
"""The word that has a device begin anew: what it counted and told of is over, and it says that it was reset."""
KINDS = (*FaultKind, RESET, *ENDINGS)
_WORDS = {"hook": HOOKS, "taint": tuple(TaintEffect), "end": tuple(FaultEnd)}
_TYPO = 0.8
"""How alike two names are of which one must be a slip of the pen."""


@frozen
class MockDriver:
    """One driver that the configuration mocks: the names of its devices, and the file of its faults."""

    devices: tuple[str, ...]
    file: Path


class Rehearsal:
    """One node. Raises ConfigError, at construction too, for what cannot be done on it, with what may be meant.

    With a `config` every mock device is known; without one, mock devices are taken to be there as they are named, and
    their faults are kept at the usual place below the root.
    """

    def __init__(self, config: Path | None = None, root: Path | None = None) -> None:
        node = configured("mock", config, root)
        if not node.root.is_dir():
            raise ConfigError(f"root {str(node.root)!r} is not a directory")
        self._root = node.root
        self._tree = FakedTree(node.root) if is_laid_out(node.root) else None
        self._drivers: Mapping[str, MockDriver] | None = None
        self._files = [faults_file(state_directory(node.root))]
        if node.options is not None:
            self._drivers = {driver: _driver(node.root, options) for driver, options in node.options.items()}
            self._files = list(dict.fromkeys(one.file for one in self._drivers.values()))

    def do(self, device: str, kind: str, driver: str | None = None, **details: object) -> list[str]:
        """Inject a fault into a device, or end those it has; returns what was done, in words.

        `details` are those of a Fault.
        """
        given = {name: value for name, value in details.items() if value is not None}
        for name, known in _WORDS.items():
            if name in given:
                check_known(name, str(given[name]), known)
        if self._tree is None and ":" in device:
            read_layout(self._root)  # says why no PCI function can be broken here
        mocked = driver is not None and driver in (self._drivers or ())
        function = self._tree.find(device) if self._tree and not mocked else None
        if self._tree and function:
            return self._do_to_tree(self._tree, function, device, kind, given)
        if self._tree and kind not in KINDS and any(kind in one.faults for one in self._tree.functions()):
            check_known("device", device, self._tree.names())
        check_known("kind of fault", kind, KINDS)
        if kind in tuple(FaultKind):
            return self._inject(device, FaultKind(kind), driver, given)
        if given:
            raise ConfigError(f"{kind} takes no {min(given)}")
        if kind == RESET:
            return self._reset(device, driver)
        ended = self._end(lambda fault: fault.concerns(device, driver))
        if not ended:
            self._check_device(device, driver)
        return [f"{describe(fault)}: ended" for fault in ended] or [f"{device} has no fault that was injected"]

    def listed(self) -> list[str]:
        """Everything that is injected, in words."""
        mocked = [describe(fault) for path in self._files for fault in read_faults(path)]
        return mocked + [
            f"{one.device or one.address}: {one.kind}" for one in (self._tree.faults() if self._tree else ())
        ]

    def clear(self) -> list[str]:
        """End everything that is injected; returns what was."""
        ended = self.listed()
        self._end(lambda _fault: True)
        if self._tree:
            self._tree.mend_all()
        return [f"{line}: ended" for line in ended]

    def renumber(self) -> list[str]:
        """Deal out the device numbers of the faked tree anew."""
        if self._tree is None:
            raise ConfigError(
                "only a node that was laid out by `drakit mock layout` can be renumbered; give its --root"
            )
        return renumber(self._tree)

    def reload(self) -> list[str]:
        """Load the kernel modules of the faked tree anew."""
        if self._tree is None:
            raise ConfigError("only a node that was laid out by `drakit mock layout` has modules; give its --root")
        return reload_modules(self._tree)

    def _inject(self, device: str, kind: FaultKind, driver: str | None, details: Mapping[str, object]) -> list[str]:
        if kind in (FaultKind.SLOW, FaultKind.HANG):
            details = {"hook": "prepare", **details}
        fault = Fault(device=device, kind=kind, driver=driver, **details)  # type: ignore[arg-type] # checked by it
        for path in self._check_device(device, driver):
            inject(path, fault)
        return [describe(fault)]

    def _reset(self, device: str, driver: str | None) -> list[str]:
        for path in self._check_device(device, driver):
            reset_device(path, device, driver)
        return [f"{device} was reset"]

    def _end(self, concerned: Callable[[Fault], bool]) -> list[Fault]:
        return [fault for path in self._files for fault in end_faults(path, concerned)]

    def _check_device(self, device: str, driver: str | None) -> Sequence[Path]:
        """The files of the mock drivers with this device. Raises ConfigError for one that no driver has."""
        real = self._tree.names() if self._tree else []
        if self._drivers is None:
            if close := difflib.get_close_matches(device, real, n=1, cutoff=_TYPO):
                raise ConfigError(
                    f"the faked node has no {device!r}; did you mean {close[0]!r}? If it is a mock device, give the "
                    "agent's configuration with --config"
                )
            return self._files
        if driver is not None:
            check_known("mock driver", driver, self._drivers)
        asked = [one for name, one in self._drivers.items() if driver in (None, name)]
        check_known("device", device, [*(name for one in asked for name in one.devices), *real])
        return list(dict.fromkeys(one.file for one in asked if device in one.devices))

    def _do_to_tree(
        self, tree: FakedTree, function: PciFunction, name: str, kind: str, details: Mapping[str, object]
    ) -> list[str]:
        if details:
            raise ConfigError(f"{name} is hardware of a faked node: it takes no {min(details)}")
        told = (*function.faults, FaultKind.UNHEALTHY)
        if kind in tuple(FaultKind) and kind not in (FaultKind.VANISH, *told):
            raise ConfigError(
                f"{name} is hardware of a faked node, whose plugin is a real one: only mock devices can be {kind}"
            )
        check_known("kind of fault", kind, [*dict.fromkeys((FaultKind.VANISH, *told)), RESET, *ENDINGS])
        if kind in told:
            tree.tell(function, kind)
            return [f"{name}: {kind}"]
        acts = {FaultKind.VANISH: tree.vanish, RESET: tree.reset}
        acts.get(kind, tree.mend)(function)
        said = {FaultKind.VANISH: "vanish", RESET: "was reset"}
        return [f"{name}: {said.get(kind, 'as it was')}"]


def describe(fault: Fault) -> str:
    """One line for people."""
    details = attrs.asdict(
        fault, filter=lambda field, value: field.name not in ("device", "driver", "kind") and value not in (None, "")
    )
    whose = f" of {fault.driver}" if fault.driver else ""
    return " ".join([f"{fault.device}{whose}: {fault.kind}", *(f"{name}={value}" for name, value in details.items())])


def _driver(root: Path, options: MockOptions | None) -> MockDriver:
    options = options or MockOptions()
    source = FleetSource(options, PluginContext(driver="", node="", pool="", root=root))
    return MockDriver(tuple(source.fleet.devices), faults_file(state_directory(root, options.state)))


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raise ConfigError, with what may be meant, unless the name is among the known."""
    known = list(map(str, known))
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"there is no {what} {name!r}; {hint}there are {', '.join(known)}")
