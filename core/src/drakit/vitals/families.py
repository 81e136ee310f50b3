"""What a family of metrics is, before anybody makes Prometheus text of it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

from attrs import frozen

from drakit.tally import Durations
from drakit.vitals.state import Vitals

Samples = Iterator[tuple[tuple[str, ...], "float | Durations"]]
"""Values with their labels; Durations are those of a histogram."""


class Kind(enum.StrEnum):
    """The kinds of Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@frozen
class Family:
    """One name, and the samples that have it. `samples` reads them from the live agent, on any thread."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    samples: Callable[[Vitals], Samples]


class Catalogue:
    """The families of one agent, in the order in which they are documented and exposed."""

    def __init__(self) -> None:
        self.families: list[Family] = []

    def counter(self, name: str, *labels: str) -> Callable[[Callable[[Vitals], Samples]], None]:
        """Take the decorated function as the samples of a counter, and its docstring as its help."""
        return self._take(Kind.COUNTER, f"drakit_{name}_total", labels)

    def gauge(self, name: str, *labels: str) -> Callable[[Callable[[Vitals], Samples]], None]:
        """Take the decorated function as the samples of a gauge."""
        return self._take(Kind.GAUGE, f"drakit_{name}", labels)

    def histogram(self, name: str, *labels: str) -> Callable[[Callable[[Vitals], Samples]], None]:
        """Take the decorated function as the durations of a histogram, in seconds."""
        return self._take(Kind.HISTOGRAM, f"drakit_{name}_seconds", labels)

    def _take(self, kind: Kind, name: str, labels: tuple[str, ...]) -> Callable[[Callable[[Vitals], Samples]], None]:
        def take(samples: Callable[[Vitals], Samples]) -> None:
            self.families.append(Family(name, kind, labels, " ".join((samples.__doc__ or "").split()), samples))

        return take
