"""The pages of the agent: /livez, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from drakit.vitals.readiness import LOOP_SECONDS, lives, readiness
from drakit.vitals.state import Vitals
from drakit.vitals.web import Page


def make_pages(vitals: Vitals, *, health: bool, metrics: bool) -> dict[str, Callable[[], Page]]:
    """By path, what makes each page of one port."""
    pages: dict[str, Callable[[], Page]] = {}
    if health:
        pages |= {"/livez": lambda: _livez(vitals), "/readyz": lambda: _readyz(vitals)}
    if metrics:
        # Only where metrics are wanted: the Prometheus client is large.
        from drakit.vitals.exposition import exposition

        pages["/metrics"] = exposition(vitals)
    return pages


def _livez(vitals: Vitals) -> Page:
    if lives(vitals.loop):
        return Page("ok\n")
    return Page(f"the event loop has not answered within {LOOP_SECONDS:g} s\n", HTTPStatus.SERVICE_UNAVAILABLE)


def _readyz(vitals: Vitals) -> Page:
    state = readiness(vitals)
    return Page(str(state), HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE)
