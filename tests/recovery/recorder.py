"""Plugins whose calls and side effects are files below their root, so that none can happen or leak unseen."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from drakit import ContainerEdits, Device, DeviceUnfit, Pool, PreparedDevice, hookimpl


class Plain:
    """Eight devices, or as many as the file `devices` says, numbered as the file `numbers` says; nothing but CDI.

    `prepare` notes each call in the file `calls`, and waits while there is a file `hold`.
    """

    driver_name = "plain.example.com"

    def __init__(self, context):
        self.context = context

    @hookimpl
    def discover(self):
        count = int(self._said("devices", "8"))
        return [Pool([Device(name=f"gpu-{index}") for index in range(count)])]

    @hookimpl
    def prepare(self, claim):
        with self.context.path("/calls").open("a") as calls:
            calls.write(f"{claim.claim.uid}\n")
        while self.context.path("/hold").exists():
            time.sleep(0.002)
        numbers = json.loads(self._said("numbers", "{}"))
        return [self._prepared(device, numbers) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        """Nothing to undo."""

    def _said(self, name, default):
        try:
            return self.context.path(f"/{name}").read_text()
        except FileNotFoundError:
            return default

    def _prepared(self, device, numbers):
        name = device.device.name
        node = f"/dev/gpu{numbers.get(name, name.removeprefix('gpu-'))}"
        return PreparedDevice.of(device, ContainerEdits(device_nodes=[node], env={name.replace("-", "_").upper(): "1"}))


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


class Described(Effects):
    """The same, with metadata files for containers."""

    driver_name = "described.example.com"
    device_metadata = True


class Unruly(Plain):
    """Does in `prepare` what the claim's name says, and in `unprepare` what the file `unprepare` says."""

    driver_name = "unruly.example.com"

    @hookimpl
    def prepare(self, claim):
        good = super().prepare(claim)
        return getattr(self, claim.claim.name, lambda good: good)(good)

    @hookimpl
    def unprepare(self, claim, prepared):
        habit = self._said("unprepare", "")
        if habit == "hangs":
            self.context.path("/hangs").touch()
            while self.context.path("/unprepare").exists():
                time.sleep(0.002)
        elif habit:
            getattr(self, habit)(prepared)

    def raises(self, good):
        raise RuntimeError("the firmware is on fire")

    def exits(self, good):
        sys.exit(3)

    def interrupts(self, good):
        raise KeyboardInterrupt

    def nothing(self, good):
        return None

    def rubbish(self, good):
        return "prepared"

    def endless(self, good):
        while True:
            yield good[0]

    def leaks(self, good):
        def later():
            yield good[0]
            raise RuntimeError("later than anyone looks")

        return later()

    def unasked(self, good):
        return [*good, *good]

    def stops(self, good):
        raise StopIteration

    def recurses(self, good):
        return self.recurses(good)

    def unfit(self, good):
        raise DeviceUnfit("gpu-0 has lost its link", fault="unlinked", devices=["gpu-0"])

    def aborts(self, good):
        os.abort()

    def spawns(self, good):
        thread = threading.Thread(target=sys.exit, args=("a thread of the plugin's own",))
        dying = threading.Thread(target=lambda: 1 / 0)
        for each in (thread, dying):
            each.start()
            each.join()
        return good
