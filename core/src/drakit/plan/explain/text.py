"""An explanation as lines of plain text for a screen of some width. Names from outside are harmless in it."""

from __future__ import annotations

import enum
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from drakit.plan.explain.drift import Drift
from drakit.plan.explain.explanation import Explanation, NodeExplanation
from drakit.plan.explain.funnel import ConjunctCount, RequestFunnel
from drakit.plan.explain.given import Given
from drakit.plan.explain.problems import Poison, spelled
from drakit.plan.explain.question import Answer
from drakit.plan.explain.values import AS_A_WHOLE, ValueTable, by_value
from drakit.plan.explain.words import counted, listed, shown, tallied
from drakit.plan.inspection import Stage

WIDTH = 80
NARROWEST = 40
CLOSE_REQUESTS = 6
"""So many requests are shown step by step; of more, only those that a reason names."""
MOST_ROWS = 12


class Tone(enum.Enum):
    """What a line is, for whoever colours it."""

    HEADING = "heading"
    BAD = "bad"
    GOOD = "good"
    PLAIN = "plain"


@frozen
class Line:
    """One line."""

    text: str
    tone: Tone = Tone.PLAIN

    def __str__(self) -> str:
        return self.text


def render(explanation: Explanation, width: int = WIDTH) -> tuple[Line, ...]:
    """All there is to say, wrapped; a line is longer only where a single word is."""
    width = max(width, NARROWEST)
    return tuple(
        Line(f"{' ' * indent}{row}".rstrip(), tone)
        for indent, text, tone, hanging in _lines(explanation, width)
        for row in _wrapped(text, width - indent, hanging)
    )


def _wrapped(text: str, width: int, hanging: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    ) or [""]


Rows = Iterator[tuple[int, str, Tone, int]]


def _row(indent: int, text: str, tone: Tone = Tone.PLAIN, hanging: int = 2) -> tuple[int, str, Tone, int]:
    return indent, text, tone, hanging


def _lines(explanation: Explanation, width: int) -> Rows:
    claims = f"{'claim' if len(explanation.claims) == 1 else 'claims'} {', '.join(explanation.claims)}"
    if explanation.error is not None:
        yield _row(0, f"{claims}: {explanation.error}", Tone.BAD)
        if explanation.hint:
            yield _row(2, explanation.hint)
        return
    if not explanation.nodes:
        yield _row(0, f"{claims}: there is no node to be met on", Tone.BAD)
        return
    for number, node in enumerate(explanation.nodes):
        if number:
            yield _row(0, "")
        yield from _node(claims, node, width)
    for answer, count in explanation.others:
        yield _row(0, f"{counted(count, 'other node')} not shown: {answer.value}")
    if not explanation.satisfied:
        yield from _changes(explanation)


_VERDICTS = {
    Answer.FITS: "{} fits on {}",
    Answer.DOES_NOT_FIT: "{} does not fit on {}",
    Answer.ERROR: "{}: the scheduler stops with an error on {}",
    Answer.UNKNOWN: "{}: neither yes nor no on {}",
}


def _node(claims: str, node: NodeExplanation, width: int) -> Rows:
    fits = node.answer is Answer.FITS
    yield _row(0, _VERDICTS[node.answer].format(claims, _where(node)), Tone.GOOD if fits else Tone.BAD)
    if fits and node.one_of_several:
        yield _row(2, "this is one of several answers: this version tries pools in random order")
    if node.similar:
        yield _row(2, f"names and values below are those of {listed(node.nodes, 3)}")
    for text in (node.error, *node.pools, *(spelled(one) for one in node.misspellings)):
        if text is not None:
            yield _row(2, text, Tone.BAD)
    yield from _reasons(node)
    for poison in node.poisons:
        yield from _poison(poison, known=node.error is not None and poison.error in node.error)
    if fits:
        for given in node.given:
            yield from _given(given)
    else:
        yield from _details(node, width)
    if node.drift is not None:
        yield from _drift(node.drift)


def _where(node: NodeExplanation) -> str:
    names = (*node.nodes, *node.similar)
    if node.kind is None:
        return listed(names, 3)
    if len(names) == 1:
        return names[0] if names[0] == node.kind else f"{names[0]} ({node.kind})"
    return f"all {len(names)} {node.kind}" if node.whole_kind else f"{len(names)} {node.kind} ({listed(names, 3)})"


def _reasons(node: NodeExplanation) -> Rows:
    if node.drift is not None and node.drift.is_the_reason:
        yield _row(2, f"because of known bugs of {node.drift.version}, without which it fits", Tone.BAD)
        return
    if node.poisons and node.error is not None:
        return  # the error says it
    for reason in node.reasons:
        if reason.short:
            yield _row(2, f"because {reason.text}", Tone.BAD)
        else:
            yield _row(
                2,
                f"no short reason was found: {len(reason.parts)} requests and constraints fail only together",
                Tone.BAD,
            )
            yield _row(4, reason.text)
        if not reason.exact:
            yield _row(4, "there may be a smaller reason: not everything could be tried")
    if not node.reasons and node.error is None and node.answer is Answer.DOES_NOT_FIT:
        yield _row(2, "no short reason was found within the limits", Tone.BAD)


def _poison(poison: Poison, *, known: bool) -> Rows:
    """`known`: it has been told already which selector fails, and on which device."""
    if known:
        if poison.devices > 1:
            yield _row(2, f"the selector fails on {counted(poison.devices, 'device')}", Tone.BAD)
    else:
        of_many = f"{poison.devices} devices, such as {shown(poison.device)}"
        where = shown(poison.device) if poison.devices == 1 else of_many
        yield _row(2, f"a selector fails on {where}: {shown(poison.error)}", Tone.BAD)
        yield _row(4, f"{shown(poison.where)}")
    yield _row(4, f"as it is: {shown(poison.expression)}")
    if poison.guarded is not None:
        yield _row(4, f"guarded: {shown(poison.guarded)}")
    if poison.hint:
        yield _row(4, shown(poison.hint))


def _details(node: NodeExplanation, width: int) -> Rows:
    named = {part for reason in node.reasons for part in reason.parts}
    few = len(node.funnels) <= CLOSE_REQUESTS
    several = len({funnel.claim for funnel in node.funnels}) > 1
    for funnel in node.funnels:
        if few or funnel.missing or funnel.part in named:
            yield from _funnel(funnel, of=f" (claim {shown(funnel.claim)})" if several else "")
    for table in node.tables:
        if table.part in named or ((not table.possible or not node.reasons) and table.rows):
            yield from _table(table, width)


def _funnel(funnel: RequestFunnel, of: str) -> Rows:
    needed = "all devices" if funnel.needed is None else counted(funnel.needed, "device")
    who = f"request {shown(funnel.request)}{of}"
    yield _row(2, f"{who} needs {needed} of class {shown(funnel.device_class)}:", Tone.HEADING)
    yield _row(4, f"{funnel.seen:>5} on the node", hanging=6)
    for step in funnel.steps:
        detail = f": {step.detail}" if step.detail and step.stage is not Stage.NOT_IN_CLASS else ""
        yield _row(4, f"{-step.lost:>5} {step.stage.value}{detail}", hanging=6)
        if step.stage is Stage.NOT_SELECTED or (step.stage is Stage.NOT_IN_CLASS and not step.left):
            for one in funnel.conjuncts:
                yield from _conjunct(one)
    yield _row(4, f"{funnel.usable:>5} usable", Tone.BAD if funnel.missing else Tone.GOOD, 6)


def _conjunct(one: ConjunctCount) -> Rows:
    if one.holds == one.of:
        return
    yield _row(10, shown(one.text))
    have = "; ".join(f"{shown(name)} is {tallied_values(counts)}" for name, counts in one.values.items())
    fails = f", fails on {one.fails}" if one.fails else ""
    yield _row(12, f"holds on {one.holds} of {one.of}{fails}" + (f": {have}" if have else ""))


def tallied_values(counts: Mapping[str, int]) -> str:
    """Values, the most frequent first, each with how many devices have it unless it is the only one."""
    return next(iter(counts)) if len(counts) == 1 else tallied({f"x {value}": count for value, count in counts.items()})


def _table(table: ValueTable, width: int) -> Rows:
    kind = "matchAttribute" if table.matches else "distinctAttribute"
    yield _row(2, f"{kind} {shown(table.attribute)}, usable devices of all that are selected:", Tone.HEADING)
    rows: list[tuple[str, ...]] = [
        ("value", *(shown(label) for label in table.requests)),
        ("needed", *("all" if one is None else str(one) for one in table.needed)),
    ]
    folded = list(by_value(table).items())
    for (free, every), values in folded[:MOST_ROWS]:
        rows.append((listed(values, 2), *(f"{one} of {of}" for one, of in zip(free, every, strict=True))))
    if len(folded) > MOST_ROWS:
        rows.append((f"{len(folded) - MOST_ROWS} more kinds", *("" for _ in table.requests)))
    rows += (
        ("without it", *(f"{one} of {of}" for one, of in zip(row.free, row.all, strict=True)))
        for row in table.rows
        if row.value is None
    )
    if not table.rows:
        rows.append(("none has it", *("" for _ in table.requests)))
    yield from _columns(rows, width - 4)
    if any(row.value is not None and row.value.endswith(AS_A_WHOLE) for row in table.rows):
        yield _row(4, "lists count as a whole, since DRAListTypeAttributes is off")


def _columns(rows: Sequence[Sequence[str]], width: int) -> Rows:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    if sum(widths) + 2 * len(widths) <= width:
        for row in rows:
            cells = [
                row[0].ljust(widths[0]),
                *(cell.rjust(size) for cell, size in zip(row[1:], widths[1:], strict=True)),
            ]
            yield 4, "  ".join(cells), Tone.PLAIN, 0
        return
    for row in rows[1:]:
        yield _row(
            4, f"{row[0]}: " + ", ".join(f"{name} {cell}" for name, cell in zip(rows[0][1:], row[1:], strict=True))
        )


def _drift(drift: Drift) -> Rows:
    yield _row(2, "versions of Kubernetes differ:", Tone.HEADING)
    by_answer: dict[Answer, list[str]] = {drift.answer: [f"{drift.version} (asked)"]}
    for version, answer in drift.others:
        by_answer.setdefault(answer, []).append(version)
    if drift.fixed is not drift.answer:
        by_answer.setdefault(drift.fixed, []).append(f"{drift.version} without its known bugs")
    for answer, versions in by_answer.items():
        yield _row(4, f"{', '.join(versions)}: {answer.value}")
    for bug in drift.bugs:
        yield _row(4, f"because of bug {bug.value}")
    if drift.fixed.refuses is not drift.answer.refuses and not drift.bugs:
        yield _row(4, "because of several known bugs at once")
    by_cause: dict[str, list[str]] = {}
    for version, cause in drift.causes:
        by_cause.setdefault(cause, []).append(version)
    for cause, versions in by_cause.items():
        yield _row(4, f"{', '.join(versions)} because of {cause}")


def _given(given: Given) -> Rows:
    names = listed((one.name for one in given.devices), 16)
    pools = listed(dict.fromkeys(f"{one.driver}/{one.pool}" for one in given.devices), 4)
    yield _row(2, f"request {shown(given.request)}: {names} of {pools}", Tone.HEADING)
    yield _row(4, f"the first {len(given.devices)} of {given.usable} usable that go together")
    for attribute, value in given.common.items():
        yield _row(4, f"all with {shown(attribute)} {value}")
    for text in given.passed:
        yield _row(4, f"passed over: {text}")
    for text in given.instead_of:
        yield _row(4, f"instead of {text}")


def _changes(explanation: Explanation) -> Rows:
    yield _row(0, "")
    several = len(explanation.nodes) > 1
    if explanation.changes:
        yield _row(0, "what would make it fit, each tried:", Tone.HEADING)
    for change in explanation.changes:
        where = f" (on {listed(change.nodes, 3)})" if several else ""
        yield _row(2, f"- {'; and '.join(edit.text for edit in change.edits)}{where}", Tone.GOOD)
        for edit in change.edits:
            if edit.path:
                yield _row(4, f"{edit.path}")
    if explanation.node_types:
        yield _row(0, f"as it is, it fits on an empty {listed(explanation.node_types, 12)}", Tone.GOOD)
    if not explanation.changes and not explanation.node_types:
        yield _row(0, "no single change and no two that were tried would make it fit")
    if not explanation.complete:
        yield _row(0, "not everything was tried: the limits were reached")
