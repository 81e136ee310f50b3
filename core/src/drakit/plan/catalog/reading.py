"""Catalog files to a catalog: whose templates there are, and what holds for all of them."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import field, frozen

from drakit.decoding import read_text, the_document
from drakit.errors import ConfigError, DRAError
from drakit.model.converters import frozen_mapping
from drakit.plan.catalog.expanding import Template, Variant, expand
from drakit.plan.catalog.model import API_VERSION, KIND, CatalogDocument, Guardrails
from drakit.plan.catalog.places import placed
from drakit.plan.cel import compile_selector
from drakit.plan.workload.reading import Located, read_documents

FILE_NAME = "catalog.yaml"
"""In the `data` of a plugin."""


@frozen(kw_only=True)
class CatalogFile:
    """One file, read and checked. `entries` is in which of its entries each template is."""

    path: Path
    document: CatalogDocument = field(repr=False)
    located: Located = field(repr=False)
    templates: Mapping[str, Template] = field(converter=frozen_mapping)
    entries: Mapping[str, int] = field(converter=frozen_mapping)

    @property
    def guardrails(self) -> Guardrails:
        """What holds for the templates of all files."""
        return self.document.guardrails


@frozen
class Catalog:
    """The templates that can be had, by name."""

    templates: Mapping[str, Template] = field(converter=frozen_mapping)

    def get(self, name: str) -> Template:
        """The template of this name. Raises ConfigError, with names that are near."""
        if (found := self.templates.get(name)) is not None:
            return found
        near = difflib.get_close_matches(name, self.templates, n=3) or [
            other for other in self.templates if name and (name in other or other in name)
        ]
        hint = f"did you mean {' or '.join(map(repr, near[:3]))}?" if near else "`drakit template list` has them all"
        raise ConfigError(f"there is no template {name!r}; {hint}")

    def nothing_for(self, node_type: str) -> str:
        """What is said of a type of node that no template is for."""
        known = sorted({one for template in self.templates.values() for one in template.variants})
        near = difflib.get_close_matches(node_type, known, n=1, cutoff=0.8)
        hint = f"did you mean {near[0]!r}?" if near else f"there are some for: {', '.join(known) or 'none'}"
        return f"no template is for {node_type!r}; {hint}"


def variant_for(template: Template, node_type: str) -> Variant:
    """The template on this type of node. Raises ConfigError, with the types that it has."""
    if (found := template.variants.get(node_type)) is not None:
        return found
    if (why := template.withheld.get(node_type)) is not None:
        raise ConfigError(f"template {template.name!r} may not be used on {node_type!r}: {why}")
    has = ", ".join(template.variants) or f"none within the guardrails, which rule out {', '.join(template.withheld)}"
    raise ConfigError(f"template {template.name!r} has no variant for {node_type!r}; it has: {has}")


def read_catalog(path: Path, origin: str | None = None) -> CatalogFile:
    """Read a catalog file. Raises ConfigError, with file, line and place of everything that is wrong.

    `origin` is how the file's templates are said to be whose; the path by default.
    """
    found = read_documents(read_text(path), str(path)) or [Located(str(path), None)]
    write = functools.partial(placed, found[0])
    document = the_document([one.document for one in found], path, CatalogDocument, API_VERSION, KIND, placed=write)
    templates: dict[str, Template] = {}
    entries: dict[str, int] = {}
    problems = [f"guardrails{problem}" for problem in _wrong_guardrails(document.guardrails)]
    for index, entry in enumerate(document.templates):
        try:
            for template in expand(entry, origin or str(path)):
                if template.name in templates:
                    raise ValueError(f"name: there is another template {template.name!r} in this file")  # noqa: TRY301
                templates[template.name] = template
                entries[template.name] = index
        except ValueError as error:
            problems.append(f"templates[{index}]: {error}")
    if problems:
        raise ConfigError("; ".join(map(write, problems)))
    return CatalogFile(path=path, document=document, located=found[0], templates=templates, entries=entries)


def _wrong_guardrails(guardrails: Guardrails) -> Iterable[str]:
    if guardrails.max_devices is not None and guardrails.max_devices < 1:
        yield f".maxDevices: must be a number from 1 on, not {guardrails.max_devices}"
    for name, selectors in guardrails.selectors.items():
        for expression in selectors:
            try:
                compile_selector(expression)
            except DRAError as error:
                yield f".selectors.{name}: {expression!r} does not compile: {error}"


def combine(shipped: Iterable[CatalogFile], own: Iterable[CatalogFile]) -> tuple[Catalog, list[str]]:
    """One catalog of all files, and what of those that are shipped is left out.

    Of the own files a later one wins over an earlier one and over what is shipped, template by template; guardrails of
    all files hold for all templates.
    """
    templates: dict[str, Template] = {}
    problems = []
    files = [*shipped]
    for file in files:
        for name, template in file.templates.items():
            if name in templates:
                problems.append(f"template {name!r} of {template.origin} is left out: {templates[name].origin} has one")
            templates.setdefault(name, template)
    for file in own:
        templates |= file.templates
        files.append(file)
    for file in files:
        templates = {name: one.within(file.guardrails, f"guardrails of {file.path}") for name, one in templates.items()}
    return Catalog(templates), problems
