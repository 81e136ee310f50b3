"""A plugin whose side effects are files below its root, so that none can leak unseen."""

from __future__ import annotations

import json

from drakit import ContainerEdits, Device, Pool, PreparedDevice, hookimpl


class Plain:
    """Eight devices, and nothing but CDI. Nodes are numbered as the file `numbers` below the root says."""

    driver_name = "plain.example.com"

    def __init__(self, context):
        self.context = context

    @hookimpl
    def discover(self):
        return [Pool([Device(name=f"gpu-{index}") for index in range(8)])]

    @hookimpl
    def prepare(self, claim):
        try:
            numbers = json.loads(self.context.path("/numbers").read_text())
        except FileNotFoundError:
            numbers = {}
        return [self._prepared(device, numbers) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        """Nothing to undo."""

    def _prepared(self, device, numbers):
        name = device.device.name
        node = f"/dev/gpu{numbers.get(name, name.removeprefix('gpu-'))}"
        return PreparedDevice.of(device, ContainerEdits(device_nodes=[node], env={"GPU": name}))


class Effects(Plain):
    """The same, with a file for each device of each prepared claim."""

    driver_name = "effects.example.com"
    side_effects = True

    @hookimpl
    def prepare(self, claim):
        directory = self.context.path("/effects")
        directory.mkdir(exist_ok=True)
        for device in claim.devices:
            (directory / f"{claim.claim.uid}.{device.device.name}").touch()
        return super().prepare(claim)

    @hookimpl
    def unprepare(self, claim, prepared):
        for path in self.context.path("/effects").glob(f"{claim.uid}.*"):
            path.unlink()
