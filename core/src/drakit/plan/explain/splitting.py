"""What is too much for one claim, asked for in several."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from drakit.plan.allocator import Claim
from drakit.plan.claims import claim_name
from drakit.plan.explain.changes import Edit, Option
from drakit.plan.explain.editing import lower_count, who
from drakit.plan.explain.edits import Document, Place, devices_of, places
from drakit.plan.explain.question import Question
from drakit.plan.task import MAX_RESULTS


def splits_of(question: Question) -> Iterator[Option]:
    """Every way to do so that is worth a trial: not of what is under a constraint, which cannot span claims."""
    for place in places(question.claims):
        devices = devices_of(question.claims[place.claim])
        count = place.find(question.claims).get("count") or 1
        others = sum((one.get("exactly") or {}).get("count") or 1 for one in devices["requests"]) - count
        kept = min(count, MAX_RESULTS - others)
        if place.alternative is None and 0 < kept < count and not _constrained(devices, place):
            yield Option(cost=2, subject=f"{place.claim}/{place.path} split", steps=((_split(question, place, kept),),))


def _constrained(devices: Document, place: Place) -> bool:
    name = devices["requests"][place.request]["name"]
    return any(name in (one.get("requests") or [name]) for one in devices.get("constraints") or ())


def _split(question: Question, place: Place, kept: int) -> Edit:
    """A request for as many devices as its claim can have, and claims like it for the others."""
    count = place.find(question.claims)["count"]
    counts = [min(MAX_RESULTS, count - start) for start in range(kept, count, MAX_RESULTS)]
    fewer = lower_count(question, place, count, kept)

    def beside(claim: Claim, number: int, fewer: int) -> Claim:
        request = devices_of(claim)["requests"][place.request]
        metadata = {**(claim.get("metadata") or {}), "name": f"{claim_name(claim)}-{number}", "uid": ""}
        alone = {"requests": [request | {"exactly": request["exactly"] | {"count": fewer}}]}
        return {**claim, "metadata": metadata, "spec": {"devices": alone}}

    def apply(other: Question) -> Question:
        claim = other.claims[place.claim]
        return evolve(
            fewer.apply(other),
            claims=(*fewer.apply(other).claims, *(beside(claim, at, one) for at, one in enumerate(counts, 2))),
        )

    others = "another claim" if len(counts) == 1 else "other claims"
    text = f"{who(question, place)}: ask for {kept} here and in {others} {' and '.join(f'for {one}' for one in counts)}"
    return evolve(fewer, now=" + ".join(map(str, (kept, *counts))), text=text, apply=apply)
