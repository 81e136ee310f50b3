"""Noticing that the kernel module was loaded anew: the kernel then deals out majors as it likes."""

from __future__ import annotations

import os

from drakit import PluginContext
from drakit.errors import describe

from drakit_neuron.sysfs import CLASS, MODULE, list_devices

Seen = tuple[int, str]


class Numbering:
    """The module and the major of its devices as they were last seen. Both threads may look."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._seen: Seen | None = None

    def look(self) -> None:
        """Tell the core where either differs from what was last seen, also if they were away meanwhile."""
        try:
            now = self._read()
        except OSError as error:
            self._context.log.debug("how devices are numbered cannot be read now: %s", describe(error))
            return
        before, self._seen = self._seen, now or self._seen
        if None not in (before, now) and before != now:
            self._context.renumbered()

    def _read(self) -> Seen | None:
        """None without devices. All of them have one major, which the module was given. Raises OSError."""
        numbers = list_devices(self._context)
        if not numbers:
            return None
        number = self._context.path(f"{CLASS}/neuron{numbers[0]}/dev").read_bytes()
        module = os.stat(self._context.path(MODULE)).st_ino  # another one for each load
        return module, number.partition(b":")[0].decode(errors="replace")
