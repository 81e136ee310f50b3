"""Edits of claims: one thing changed at one place, and what that is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

from drakit.plan.claims import claim_name
from drakit.plan.explain.changes import Edit
from drakit.plan.explain.edits import Document, Place, devices_of, edited
from drakit.plan.explain.question import Question
from drakit.plan.explain.words import shown

LATE = 1_000
"""For edits that take an entry out of a list, less its place in it."""


@frozen
class Words:
    """Where an edit is made, what was there, what is there now, and all of it as a sentence."""

    path: str
    was: str
    now: str
    text: str


def edit(question: Question, claim: int, words: Words, change: Callable[[Document], None], late: int = 0) -> Edit:
    """An edit of one claim, by its place; `change` is made to a copy of its document."""
    name = shown((question.claims[claim].get("metadata") or {}).get("name") or "?")

    def apply(other: Question) -> Question:
        return evolve(other, claims=edited(other.claims, lambda copies: change(copies[claim])))

    return Edit(claim=name, path=words.path, was=words.was, now=words.now, text=words.text, apply=apply, late=late)


def who(question: Question, place: Place) -> str:
    """The request, for words; with its claim where there are several."""
    claim = question.claims[place.claim]
    request = devices_of(claim)["requests"][place.request]
    name = request["name"] if place.alternative is None else f"{request['name']}/{place.find(question.claims)['name']}"
    of = f" of claim '{shown(claim_name(claim))}'" if len(question.claims) > 1 else ""
    return f"request '{shown(name)}'{of}"


def at(place: Place, change: Callable[[Any], None]) -> Callable[[Document], None]:
    """A change to one alternative of a request, as one of its claim."""
    return lambda claim: change(evolve(place, claim=0).find([claim]))


def lower_count(question: Question, place: Place, count: int, fewer: int) -> Edit:
    """A request for fewer devices."""

    def change(request: Document) -> None:
        request["count"] = fewer

    text = f"{who(question, place)}: ask for {fewer} instead of {count}"
    return edit(question, place.claim, Words(f"{place.path}.count", str(count), str(fewer), text), at(place, change))
