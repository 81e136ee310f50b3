"""A program that stands in for kind, kubectl, helm, make or docker: it notes how it was called, and does as told.

STUBS is a directory. `calls` gets a line of JSON for each call: the program, its arguments, its standard input. `fail`
has words for each call that fails, and `answers` what kubectl says to one, both by the beginning of its arguments. What
kind makes is a line in `clusters`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

STUBS = Path(os.environ["STUBS"])


def main(program: str, words: list[str]) -> int:
    text = sys.stdin.read() if words[-1:] == ["-"] else ""
    with (STUBS / "calls").open("a") as calls:
        calls.write(json.dumps([program, words, text]) + "\n")
    said = " ".join([program, *words])
    if any(start in said for start in lines("fail")):
        sys.stderr.write(f"{program}: told to fail\n")
        return 1
    if program == "kind":
        return kind(words)
    answers = json.loads((STUBS / "answers").read_text())
    found = next((answer for start, answer in answers.items() if start in said), "")
    if isinstance(found, list):  # one for each time that it is asked
        answers[next(start for start in answers if start in said)] = found[1:] or found
        (STUBS / "answers").write_text(json.dumps(answers))
        found = found[0]
    sys.stdout.write(found)
    return 0


def kind(words: list[str]) -> int:
    clusters = lines("clusters")
    if words == ["get", "clusters"]:
        sys.stdout.write("".join(f"{name}\n" for name in clusters))
        return 0
    name = words[words.index("--name") + 1]
    if words[:2] == ["create", "cluster"] and name in clusters:
        sys.stderr.write(f"node(s) already exist for a cluster with the name {name}\n")
        return 1
    changed = {"create": [*clusters, name], "delete": [one for one in clusters if one != name]}
    (STUBS / "clusters").write_text("".join(f"{one}\n" for one in changed.get(words[0], clusters)))
    return 0


def lines(name: str) -> list[str]:
    return (STUBS / name).read_text().splitlines()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
