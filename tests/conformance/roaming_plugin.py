"""A plugin that reaches outside of its root in every way that is seen, and in all that are allowed."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess

from attrs import frozen
from drakit import ContainerEdits, Device, Pool, PreparedDevice, hookimpl


@frozen(kw_only=True)
class Options:
    named: str
    outside: str


class Roaming:
    driver_name = "roaming.example.com"
    options = Options

    def __init__(self, context):
        self.context = context

    @hookimpl
    def discover(self):
        return [Pool([Device(name=path.name) for path in sorted(self.context.path("/dev").iterdir())])]

    @hookimpl
    def prepare(self, claim):
        return [PreparedDevice.of(device, ContainerEdits()) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        pass

    @hookimpl
    def health(self):
        self.stay()
        self.roam(self.context.options.outside)
        return []

    def stay(self):
        (self.context.root / "run").mkdir(exist_ok=True)
        (self.context.root / "run" / "state").write_text("mine")
        with open(self.context.options.named) as named, open(os.devnull, "w") as null:
            null.write(named.read())
        with open(json.__file__) as library, open(__file__) as own:
            assert library.read(1)
            assert own.read(1)

    def roam(self, outside):
        with open(f"{outside}made", "w") as made:
            made.write("theirs")
        os.rename(f"{outside}made", f"{outside}moved")
        with open("/etc/passwd") as passwd:
            assert passwd.read()
        assert os.listdir("/etc")
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(f"{outside}absent.sock")
        subprocess.run(["/bin/true"], check=True)
