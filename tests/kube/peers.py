"""What a scripted server does where any server will do."""

from __future__ import annotations

NODE = {"metadata": {"name": "node-1", "uid": "u-1", "resourceVersion": "7"}}


async def answer_all(peer):
    while True:
        await peer.request()
        await peer.answer(NODE)
