"""Metrics as Prometheus reads them. To be imported late, for the Prometheus client is large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from drakit.tally import BOUNDS, Durations
from drakit.vitals.families import Family, Kind
from drakit.vitals.metrics import CATALOGUE
from drakit.vitals.state import Vitals
from drakit.vitals.web import Page


def exposition(vitals: Vitals) -> Callable[[], Page]:
    """What makes the page with all metrics of an agent, and those of its process."""
    registry = CollectorRegistry()
    registry.register(_Collector(vitals))
    ProcessCollector(registry=registry)
    return lambda: Page(generate_latest(registry).decode(), content_type=CONTENT_TYPE_LATEST)


class _Collector(Collector):
    """Asks the live agent whenever it is scraped."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry would ask the agent only to see the names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All families."""
        return (_metric(family, self._vitals) for family in CATALOGUE.families)


def _metric(family: Family, vitals: Vitals) -> Metric:
    if family.kind is Kind.HISTOGRAM:
        return _histogram(family, vitals)
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, value in family.samples(vitals):
        assert not isinstance(value, Durations)
        metric.add_metric(labels, float(value))
    return metric


def _histogram(family: Family, vitals: Vitals) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for labels, durations in family.samples(vitals):
        assert isinstance(durations, Durations)
        seconds = durations.seconds
        counts = accumulate(list(durations.counts))
        buckets = list(zip((*map(floatToGoString, BOUNDS), "+Inf"), counts, strict=True))
        metric.add_metric(labels, buckets, seconds)
    return metric
