"""Writes the rules into docs/conformance.md, between its marks: `python docs/conformance.py`. The rest is by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from drakit.testing import blackbox, conformance
from drakit.testing.conformance import Rule

PAGE = Path(__file__).with_name("conformance.md")
PARTS: dict[str, Sequence[Rule[Any]]] = {"rules of a plugin": conformance.RULES, "rules of a driver": blackbox.RULES}


def page(text: str) -> str:
    """The page with the rules as they are."""
    for name, rules in PARTS.items():
        before, mark, rest = text.partition(f"<!-- {name}: made by `make docs` -->\n")
        assert mark, f"the page has no mark for the {name}"
        text = before + mark + _table(rules) + rest[rest.index("<!-- end -->") :]
    return text


def _table(rules: Sequence[Rule[Any]]) -> str:
    lines = []
    for topic, members in groupby(rules, key=lambda rule: rule.topic):
        lines += [f"\n**{topic}**\n", "| rule | what must hold | why |", "| --- | --- | --- |"]
        lines += [f"| `{rule.name}` | {rule.law} | {rule.reason} |" for rule in members]
    return "\n".join(lines) + "\n\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
