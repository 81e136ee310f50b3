"""Whether the claims of one container agree: of two that set a variable, CDI lets the last have its way, unsaid.

Claims of different containers may differ as they like. The kubelet knows which claims a container has, the API does
not tell a driver, so it is asked; only where claims differ, and once for a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from attrs import define, field

from drakit.errors import ClaimError, InvalidDeviceConfig, describe
from drakit.journal import Entry, Journal
from drakit.model import ClaimRef, PreparedDevice

Containers = Callable[[], Sequence[Collection[str]]]
"""The claims of each container on the node, as `namespace/name`. Raises what keeps it from being known."""


class _Difference(NamedTuple):
    variable: str
    value: str
    other: ClaimRef
    others_value: str

    def of(self, claim: ClaimRef) -> str:
        return (
            f"claim {claim} sets {self.variable}={self.value!r} and claim {self.other} sets "
            f"{self.variable}={self.others_value!r}"
        )


@define
class Agreement:
    """Of one driver's claims. For the thread that works on the journal, under its lock."""

    journal: Journal
    containers: Containers
    began: Callable[[str], None]
    warn: Callable[[str], None]
    _asked: Sequence[Collection[str]] | Exception | None = field(default=None, init=False)
    _told: set[str] = field(factory=set, init=False)

    def forget(self) -> None:
        """End a batch: what the kubelet has said of its pods holds for claims that were waiting then."""
        self._asked = None

    def check(self, claim: ClaimRef, prepared: Sequence[PreparedDevice], together: Collection[str]) -> None:
        """Look at a preparation that is new. `together` are the uids of the claims that the kubelet wants with it.

        Raises InvalidDeviceConfig where a container has it and another claim that sets a variable to another value,
        ClaimError where that is not known of claims that are wanted together, which thus are of one pod.
        """
        if next(self._differences(claim, prepared), None) is None:
            return
        try:
            beside = self._beside(claim)
        except Exception as error:
            self._in_doubt(claim, prepared, together, describe(error))
            return
        for difference in self._differences(claim, prepared) if beside else ():
            if str(difference.other) in beside:
                raise InvalidDeviceConfig(
                    f"{difference.of(claim)}, and one container has both, which would see one of the values for all "
                    f"devices: {_REMEDY}"
                )

    def _in_doubt(
        self, claim: ClaimRef, prepared: Sequence[PreparedDevice], together: Collection[str], why: str
    ) -> None:
        for uid in together:
            entry = self.journal.entries.get(uid)
            for difference in _between(prepared, entry) if entry is not None and uid != claim.uid else ():
                raise ClaimError(
                    f"{difference.of(claim)}; one pod has both claims, and whether one container has is not known: "
                    f"{why}. Mend that, or {_REMEDY}"
                )
        difference = next(self._differences(claim, prepared))
        if difference.variable not in self._told:
            self._told.add(difference.variable)
            self.warn(
                f"{difference.of(claim)}: should one container have both, it sees one of the values for all devices; "
                f"whether one has is not known: {why}"
            )

    def _differences(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> Iterator[_Difference]:
        for device in prepared:
            for variable, value in device.edits.env.items():
                for others_value, uids in self.journal.values(claim.namespace, variable).items():
                    for uid in uids if others_value != value else ():
                        if uid != claim.uid:
                            yield _Difference(variable, value, self.journal.entries[uid].claim, others_value)

    def _beside(self, claim: ClaimRef) -> set[str]:
        """The other claims of the containers that have this one."""
        if self._asked is None:
            self.began("asking the kubelet which claims a container has")
            try:
                self._asked = self.containers()
            except Exception as error:
                self._asked = error
        if isinstance(self._asked, Exception):
            raise self._asked
        return {name for names in self._asked if str(claim) in names for name in names if name != str(claim)}


def _between(prepared: Sequence[PreparedDevice], entry: Entry) -> Iterator[_Difference]:
    theirs = [item for device in entry.prepared for item in device.edits.env.items()]
    for device in prepared:
        for variable, value in device.edits.env.items():
            for name, others_value in theirs:
                if name == variable and others_value != value:
                    yield _Difference(variable, value, entry.claim, others_value)


_REMEDY = "give each container one of the claims, or configure both alike"
