"""Why claims are not met, and the least that would have to change; how claims that are met came to their devices.

    question = Question(claims=..., nodes=..., slices=..., classes=..., allocated=..., profile=...)
    explanation = explain(question)             frozen values; nothing is raised of what is wrong with what was given
    for line in render(explanation): ...        lines of at most 80 columns, each with a tone for whoever colours it
    to_document(explanation)                    the same as plain data

What more is known makes it say more: `holders` (who holds a device), `kinds` (of what type a node is) and
`node_types` (others to be tried). All work is bounded by Limits, by counts and not by time, so that the same question
has the same explanation. Whatever it claims of a change or a reason was tried by the planner itself.

Inside: `question` asks the planner again with something changed (Trials), `edits` changes claims; `funnel` and `values`
count, `reasons` finds the smallest part of the claims that fails, `problems` what is wrong with selectors and names,
`drift` where versions differ, `given` what was passed over; `candidates`, `loosening` and `selectors` make changes that
may help, `changes` tries them. `explanation` puts it together, `text` and `document` show it.
"""

from drakit.plan.explain.changes import MAX_TYPES, Change, Edit, applied
from drakit.plan.explain.document import to_document
from drakit.plan.explain.explanation import Explanation, NodeExplanation, explain
from drakit.plan.explain.question import Answer, Limits, NodeType, Question
from drakit.plan.explain.reasons import Reason, ReasonKind
from drakit.plan.explain.text import Line, Tone, render

__all__ = [
    "MAX_TYPES",
    "Answer",
    "Change",
    "Edit",
    "Explanation",
    "Limits",
    "Line",
    "NodeExplanation",
    "NodeType",
    "Question",
    "Reason",
    "ReasonKind",
    "Tone",
    "applied",
    "explain",
    "render",
    "to_document",
]
