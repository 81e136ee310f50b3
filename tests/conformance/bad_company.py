"""Plugins that break one rule each, named by it: beside other claims, threads and processes. Else as `Good`."""

# ruff: noqa: N801 - classes are called as the rules they break
from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from bad_plugins import GROUP, Good
from drakit import DeviceGroup, hookimpl


class claims_do_not_leak(Good):
    def __init__(self, context):
        super().__init__(context)
        self.seen = {}

    def environment(self, claim, device):
        self.seen[f"HAS_{device.device.name.upper()}"] = "1"
        own = {f"HAS_{other.device.name.upper()}" for other in claim.devices}
        return {
            name: value for name, value in self.seen.items() if name not in own or device.device.name in name.lower()
        }


class shares_do_not_leak(Good):
    def __init__(self, context):
        super().__init__(context)
        self.seen = {}

    def environment(self, claim, device):
        if device.share_id is None:
            return {}
        seen = self.seen.setdefault(device.device, [])
        if device.share_id not in seen:
            seen.append(device.share_id)
        return {f"SHARE_{number}": share for number, share in enumerate(seen)}


class threads_do_not_disturb_each_other(Good):
    """Has the ports in a field, which is empty for a moment whenever they are looked for."""

    def __init__(self, context):
        super().__init__(context)
        self.ports = super().names()

    def names(self):
        self.ports.clear()
        time.sleep(0.05)
        self.ports.extend(super().names())
        return list(self.ports)

    def environment(self, claim, device):
        return {"NUMBER": str(self.ports.index(device.device.name))}


class reads_what_discover_has_found(Good):
    def __init__(self, context):
        super().__init__(context)
        self.numbers = {}

    @hookimpl
    def discover(self):
        self.numbers = {name: number for number, name in enumerate(self.names())}
        return super().discover()

    def environment(self, claim, device):
        return {"NUMBER": str(self.numbers[device.device.name])}


class hooks_answer_in_time(Good):
    @hookimpl
    def health(self):
        time.sleep(3600)


class discovery_is_the_same_in_every_process(Good):
    def names(self):
        return sorted(super().names(), key=hash)


class directories_are_not_sorted(Good):
    def names(self):
        return [path.name for path in self.context.path("/dev").glob("port*")]


class groups_are_ranked_by_hash(Good):
    @hookimpl
    def devicegroups(self, inventory):
        refs = sorted(inventory.devices, key=lambda ref: hash(ref.name))
        return [DeviceGroup(GROUP, ref.name, {ref}, rank) for rank, ref in enumerate(refs)]


class prepare_is_the_same_in_every_process(Good):
    def environment(self, claim, device):
        return {"TICKET": str(hash(device.device.name))}


PREPARED_HERE = set()


class unprepare_works_in_a_new_process(Good):
    @hookimpl
    def prepare(self, claim):
        PREPARED_HERE.add(claim.claim.uid)
        return super().prepare(claim)

    @hookimpl
    def unprepare(self, claim, prepared):
        if prepared and claim.uid not in PREPARED_HERE:
            raise KeyError(claim.uid)


class nothing_outside_the_root_is_touched(Good):
    @hookimpl
    def health(self):
        assert Path("/etc/passwd").read_text()
        return super().health()


class hooks_do_not_print(Good):
    @hookimpl
    def health(self):
        print("all is well")  # noqa: T201 - it is what it does wrong
        return super().health()


class no_thread_is_left(Good):
    def __init__(self, context):
        super().__init__(context)
        threading.Thread(target=threading.Event().wait, name="watcher of ports", daemon=True).start()


class a_full_round_over_v1(Good):
    def __init__(self, context):
        super().__init__(context)
        if "agent" in sys.argv:
            raise RuntimeError("not in an agent")
