"""files/catalog: of each type of node the templates that the shipped plugins have for it, and what they ask for."""

from __future__ import annotations

import yaml
from drakit.plan.catalog import FILE_NAME, chart_values, combine, read_catalog

from generated.shipped import shipped

DIRECTORY = "files/catalog"
_HEAD = "# Made by `make chart` from the catalogs of the plugins.\n"


def files() -> dict[str, str]:
    """A file for each type of node that some template is for. Raises ConfigError for a catalog that is wrong."""
    places = {name: plugin.declarations.data for name, plugin in shipped().items()}
    paths = {name: data / FILE_NAME for name, data in places.items() if data and (data / FILE_NAME).is_file()}
    catalog, _ = combine([read_catalog(path, origin=f"plugin {name!r}") for name, path in paths.items()], ())
    templates = catalog.templates.values()
    node_types = sorted({node_type for template in templates for node_type in template.variants})
    return {f"{DIRECTORY}/{name}.yaml": _HEAD + _text(chart_values(templates, name)) for name in node_types}


def _text(values: dict[str, object]) -> str:
    return yaml.safe_dump(values, sort_keys=False, width=110)
