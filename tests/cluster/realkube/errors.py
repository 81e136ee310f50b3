"""What keeps a real cluster from running here."""

from __future__ import annotations


class Lacking(Exception):
    """Something that a real cluster needs cannot be had on this machine; the message says what, and why."""


class ClusterFailure(Exception):
    """The cluster did not come to what was waited for; the message says what, and what was seen instead."""
