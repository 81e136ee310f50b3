"""The planner against answers recorded from upstream's own code. `python -m tests.plan.corpus` compares any file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.plan.corpus import allocator, cel
from tests.plan.corpus.__main__ import main
from tests.plan.corpus.files import differences, load

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"


def recorded(name):
    path = CORPUS / name
    if not path.is_file():
        pytest.skip(f"the recorded corpus {name} is not beside this checkout")
    return load(path)


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("allocator_v0.36.2.json", 219),
        ("allocator_v0.37-alpha.json", 223),
        ("allocator_fuzz_100.json", 100),
        ("allocator_bugs.json", 7),
        ("cel_truth.json", 82),
        ("cel_compile.json", 140),
    ],
)
def test_every_recorded_answer_is_ours(name, cases):
    found = list(differences(recorded(name)))
    assert [one for one in found if one[1] is not None] == []
    assert len(found) == cases


def test_exceptions_are_of_cases_there_are():
    names = {case["Name"] for case in recorded("allocator_v0.36.2.json")["cases"]}
    assert set(allocator.DIFFERENT) <= names


def test_runtime_errors_say_what_the_scheduler_says():
    truth = recorded("cel_truth.json")
    for row in truth["truth"]:
        if row["Runtime"]:
            kind, problem = cel.answer(row["Expr"], cel.as_seen(truth["devices"][row["Device"]], shared=False))
            assert kind == "runtime error"
            assert row["Runtime"].startswith(str(problem))


def case(golden):
    return {
        "Name": "one device",
        "FeatureBits": {},
        "Node": {"metadata": {"name": "n"}},
        "Classes": [{"metadata": {"name": "any"}, "spec": {}}],
        "Claims": [
            {
                "metadata": {"name": "c"},
                "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "any"}}]}},
            }
        ],
        "Slices": [
            {
                "metadata": {"name": "s"},
                "spec": {
                    "driver": "a.x",
                    "nodeName": "n",
                    "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
                    "devices": [{"name": "D"}],
                },
            }
        ],
        "Golden": golden,
    }


def test_the_runner_counts_what_agrees_and_what_does_not(tmp_path, capsys):
    plain, packed = tmp_path / "a.json", tmp_path / "b.json.gz"
    plain.write_text(json.dumps([case({"fixed": [["r=a.x/p/D"]]}), case({"stable": None, "experimental": None})]))
    packed.write_bytes(gzip.compress(json.dumps({"cases": [case({"fixed": [["r=a.x/p/D"]]})]}).encode()))
    assert main([str(plain), str(packed)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 passed, 1 failed"
    assert "one device: stable: " in lines[0]
    assert main([str(packed)]) == 0
    assert capsys.readouterr().out == "1 passed, 0 failed\n"


@pytest.mark.parametrize("text", ["{", "3", '[{"x": 1}]', '{"y": []}'])
def test_the_runner_refuses_what_is_no_corpus(tmp_path, capsys, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    assert main([str(path)]) == 2
    assert str(path) in capsys.readouterr().err
