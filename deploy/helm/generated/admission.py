"""files/admission: the frame of the policy for opaque parameters, and what it has of each shipped plugin."""

from __future__ import annotations

from drakit.admission import expression, frame, part
from drakit.cli.output import to_yaml

from generated.plugins import DRIVER
from generated.shipped import shipped

DIRECTORY = "files/admission"
_HEAD = (
    "# Made by `make chart` from the plugins' config classes. driver.invalid stands for the name of the driver, and\n"
    "# problems0 for a name of the variable.\n"
)


def files() -> dict[str, str]:
    """The files: _frame.yaml, and one for each plugin."""
    texts = {"_frame": to_yaml(frame())}
    for name, plugin in shipped().items():
        variable, validation = part(DRIVER, 0, expression(plugin.declarations.config_types)[0])
        texts[name] = to_yaml({"variable": variable, "validation": validation})
    return {f"{DIRECTORY}/{name}.yaml": _HEAD + text for name, text in texts.items()}
