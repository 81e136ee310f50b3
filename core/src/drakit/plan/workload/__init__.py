"""Workloads: manifests in, checked as the API server would, and the pods that they come to out.

`read_documents` reads a text and keeps the lines; `Workload.of` checks all of it (`claims`, `pods`, `kinds`), says all
that is wrong at once, and expands what is right to pods with their claims, in the order of the files.
"""

from drakit.plan.workload.hints import KnownNames, hints
from drakit.plan.workload.manifest import (
    MAX_PODS,
    ClaimUse,
    InvalidWorkload,
    PlannedPod,
    Workload,
    claim_for,
    refuse_invalid,
)
from drakit.plan.workload.problems import Problem, meant, meant_or_known
from drakit.plan.workload.reading import Located, read_documents

__all__ = [
    "MAX_PODS",
    "ClaimUse",
    "InvalidWorkload",
    "KnownNames",
    "Located",
    "PlannedPod",
    "Problem",
    "Workload",
    "claim_for",
    "hints",
    "meant",
    "meant_or_known",
    "read_documents",
    "refuse_invalid",
]
