"""Makes docs/reliability.md from the tests: `python docs/reliability.py` writes it, `--check` says whether it is stale.

A test that proves a promise carries `@pytest.mark.reliability(fault=..., injected=..., promise=...)`. The texts are
read from the source, so that no test has to be imported: they must be plain strings.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
MARK = "reliability"
FIELDS = ("fault", "injected", "promise")

HEAD = """\
# Reliability

What can go wrong, how the tests make it go wrong, what drakit promises then, and the test that proves it. This page is
made from the tests (`make docs`), and a test compares the two. One section runs on real Kubernetes, and says so; the
others run with real processes, sockets, files and HTTP, against the kubelet and the API server of `drakit.testing`: see
[testing.md](testing.md). Only hardware can prove what lies below the device nodes.

"""


class Promise(NamedTuple):
    """One row: what a test proves."""

    area: str
    fault: str
    injected: str
    promise: str
    test: str


AREAS = {
    "recovery": "Crashes, restarts and reboots",
    "core": "Records, holds and files",
    "e2e": "The agent as a process",
    "kubelet": "The kubelet",
    "kube": "The API server",
    "cluster": "On real Kubernetes",
}
"""The sections of the page, in order, by the directory of the test; what is not named here follows."""


def promises(tests: Path) -> Iterator[Promise]:
    """Every promise of the tests below a directory. Raises ValueError, naming the test, for a malformed mark."""
    for path in sorted(tests.rglob("test_*.py")):
        place = path.relative_to(tests.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for call in _marks(node):
                    yield _promise(path.relative_to(tests).parts[0], f"{place}::{node.name}", call)


def page(found: list[Promise]) -> str:
    """The whole page."""
    areas = dict.fromkeys([*AREAS, *sorted({promise.area for promise in found} - AREAS.keys())])
    sections = [_section(area, [one for one in found if one.area == area]) for area in areas]
    return HEAD + "\n".join(section for section in sections if section)


def _marks(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == f"pytest.mark.{MARK}":
            yield decorator


def _promise(area: str, test: str, call: ast.Call) -> Promise:
    texts = {keyword.arg: keyword.value for keyword in call.keywords}
    if call.args or set(texts) != set(FIELDS):
        raise ValueError(f"{test}: @pytest.mark.{MARK} takes {', '.join(FIELDS)}, by name")
    said = {}
    for field in FIELDS:
        value = texts[field]
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str) or not value.value.strip():
            raise ValueError(f"{test}: {field} must be a plain string")
        said[field] = value.value
    return Promise(area, said["fault"], said["injected"], said["promise"], test)


def _section(area: str, found: list[Promise]) -> str:
    if not found:
        return ""
    rows = "".join(
        f"| {_cell(one.fault)} | {_cell(one.injected)} | {_cell(one.promise)} | {_link(one.test)} |\n" for one in found
    )
    title = AREAS.get(area, area.capitalize())
    return f"## {title}\n\n| fault | injected | promise | proven by |\n| --- | --- | --- | --- |\n{rows}"


def _cell(text: str) -> str:
    return (text[0].upper() + text[1:]).replace("|", "\\|")


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


def main() -> None:
    """Write the page, or with `--check` exit with 1 where it is not what the tests say."""
    text = page(list(promises(ROOT / "tests")))
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.relative_to(ROOT)} is stale; run `make docs`")


if __name__ == "__main__":
    main()
