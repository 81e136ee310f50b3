"""docs/explain.md is what the command says of the claims beside it, every one of which cannot be met."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import click
import pytest
from drakit.cli.plan.sources import of_file, of_types
from drakit.decoding import read_yaml
from drakit.plan import Allocated, DeviceClass, kube_profile
from drakit.plan.explain import Question, applied, explain
from drakit.plan.profiles import NEWEST

ROOT = Path(__file__).parents[2]


def module():
    specification = importlib.util.spec_from_file_location("explain_page", ROOT / "docs" / "explain.py")
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


EXPLAIN = module()
PAGE = (ROOT / "docs" / "explain.md").read_text()


def shown(page, example):
    """The command of an example on a page, and what the page shows of its output."""
    section = page.split(f"\n## {example.title}\n")[1]
    command, output = section.split("```console\n$ ")[1].split("\n```")[0].split("\n", 1)
    return command, f"{output}\n"


@pytest.mark.parametrize("example", EXPLAIN.ALL, ids=lambda example: example.name)
def test_every_command_of_the_page_says_what_the_page_shows(example):
    command, output = shown(PAGE, example)
    assert EXPLAIN.said(command) == output, "docs/explain.md is stale; run `make docs`"


def test_the_rest_of_the_page_is_as_it_is_made_too(monkeypatch):
    outputs = dict(shown(PAGE, example) for example in EXPLAIN.ALL)
    monkeypatch.setattr(EXPLAIN, "said", outputs.__getitem__)
    assert EXPLAIN.page() == PAGE, "docs/explain.md is stale; run `make docs`"


def test_all_that_the_command_writes_is_on_the_page(monkeypatch):
    @click.command(context_settings={"ignore_unknown_options": True})
    @click.argument("given", nargs=-1)
    def other(given):
        click.echo("first")
        click.echo("a hint", err=True)
        click.echo("last")
        raise SystemExit(1)

    monkeypatch.setattr(EXPLAIN, "main", other)
    for example in EXPLAIN.ALL:
        assert shown(EXPLAIN.page(), example) == (example.command, "first\na hint\nlast\n")


def question(example):
    """What the command of an example asks."""
    source = of_types([example.node_type], None) if example.node_type else of_file(EXPLAIN.slices_file(example.slices))
    (claim,) = read_yaml(EXPLAIN.EXAMPLES / f"{example.name}.yaml")
    classes = [DeviceClass.from_document(one) for one in source.others if one["kind"] == "DeviceClass"]
    return Question(
        claims=[claim],
        nodes=[node.view for node in source.nodes],
        slices=source.slices,
        classes={one.name: one for one in classes},
        allocated=Allocated.of_claims([one for one in source.others if one["kind"] == "ResourceClaim"]),
        profile=kube_profile(example.version or NEWEST),
        kinds={node.name: node.kind for node in source.nodes if node.kind},
        node_types={other: functools.partial(empty_node, other) for other in [example.other] if other},
    )


def empty_node(node_type):
    source = of_types([node_type], None)
    return source.slices, source.nodes[0].view


@pytest.mark.parametrize("example", EXPLAIN.ALL, ids=lambda example: example.name)
def test_every_claim_of_the_page_fails_and_every_change_it_tells_mends_it(example):
    asked = question(example)
    found = explain(asked)
    assert not found.satisfied
    assert found.complete
    assert found.changes
    for change in found.changes:
        again = explain(applied(asked, change.edits))
        assert again.fits == change.nodes


def test_every_file_of_the_examples_is_on_the_page():
    names = {path.stem for path in EXPLAIN.EXAMPLES.glob("*.yaml")}
    assert names == {example.name for example in EXPLAIN.ALL}
    used = {example.slices for example in EXPLAIN.ALL if example.slices}
    assert used == {path.stem for path in (EXPLAIN.EXAMPLES / "nodes").glob("*.yaml")}
    assert all(len(read_yaml(path)) == 1 for path in EXPLAIN.EXAMPLES.glob("*.yaml"))
