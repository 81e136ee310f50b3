"""Wheels made by hand: what a plugin of somebody else comes as."""

from __future__ import annotations

import base64
import hashlib
import zipfile

PLUGIN = """
from drakit import hookimpl


class Racks:
    driver_name = None

    def __init__(self, context):
        pass

    @hookimpl
    def attributes(self, ref, device):
        return {}
"""


class Wheelhouse:
    """A directory of wheels."""

    def __init__(self, directory):
        self.wheels = directory / "wheels"
        self.wheels.mkdir()

    def add(
        self,
        name="acme",
        version="1.0",
        tag="py3-none-any",
        needs=(),
        files=None,
        offers="racks = acme:Racks",
        source=PLUGIN,
    ):
        """Put a wheel there; returns the line that pins it."""
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        contents = {f"{module}.py": source, **(files or {})}
        contents[f"{info}/METADATA"] = "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {it}" for it in needs)]
        )
        contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
        if offers:
            contents[f"{info}/entry_points.txt"] = f"[drakit.plugins]\n{offers}\n"
        contents[f"{info}/RECORD"] = (
            "".join(f"{path},sha256={self._digest(text)},{len(text.encode())}\n" for path, text in contents.items())
            + f"{info}/RECORD,,\n"
        )
        path = self.wheels / f"{module}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name_, text in contents.items():
                archive.writestr(name_, text)
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"

    @staticmethod
    def _digest(text):
        return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
