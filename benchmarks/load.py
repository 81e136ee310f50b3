"""A kubelet's calls, many at once, over the DRA socket of one driver; prints one JSON line of what it saw."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parent))
from apiserver import uid
from drakit.kubelet.proto import dra_v1_pb2 as dra

SERVICE = "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/"


def claims(number: int, per_call: int) -> list[dra.Claim]:
    """The claims of one call."""
    numbers = range(number * per_call, (number + 1) * per_call)
    return [dra.Claim(namespace="default", name=f"claim-{n}", uid=uid(n)) for n in numbers]


class Load:
    """One run: `count` calls by `concurrency` callers."""

    def __init__(self, channel: grpc.aio.Channel, options: argparse.Namespace) -> None:
        self.prepare = channel.unary_unary(
            f"{SERVICE}NodePrepareResources",
            dra.NodePrepareResourcesRequest.SerializeToString,
            dra.NodePrepareResourcesResponse.FromString,
        )
        self.unprepare = channel.unary_unary(
            f"{SERVICE}NodeUnprepareResources",
            dra.NodeUnprepareResourcesRequest.SerializeToString,
            dra.NodeUnprepareResourcesResponse.FromString,
        )
        self.options = options
        self.milliseconds: list[float] = []
        self.errors: list[str] = []

    async def caller(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            batch = claims(number, self.options.per_call)
            if self.options.operation != "unprepare":
                start = time.perf_counter()
                answer = await self.prepare(dra.NodePrepareResourcesRequest(claims=batch))
                self.milliseconds.append((time.perf_counter() - start) * 1e3)
                self.errors += [
                    f"{c.uid}: {e.error}" for c in batch if (e := answer.claims[c.uid]).error or not e.devices
                ]
            if self.options.operation != "prepare":
                answer = await self.unprepare(dra.NodeUnprepareResourcesRequest(claims=batch))
                self.errors += [e.error for e in answer.claims.values() if e.error]

    async def run(self) -> dict[str, object]:
        options = self.options
        repeated = options.operation == "repeat"
        numbers = iter(
            [options.offset] * options.count if repeated else range(options.offset, options.offset + options.count)
        )
        if repeated:
            options.operation = "prepare"
        start = time.perf_counter()
        await asyncio.gather(*(self.caller(numbers) for _ in range(options.concurrency)))
        wall = time.perf_counter() - start
        times = sorted(self.milliseconds) or [0.0]
        quantile = [times[min(len(times) - 1, int(q * len(times)))] for q in (0.5, 0.99)]
        rate = options.count * options.per_call / wall
        return {
            "p50": quantile[0],
            "p99": quantile[1],
            "rate": rate,
            "errors": self.errors[:3],
            "failed": len(self.errors),
        }


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("socket")
    parser.add_argument("--operation", choices=("cycle", "prepare", "unprepare", "repeat"), default="cycle")
    for name, default in (("count", 60), ("concurrency", 1), ("offset", 0), ("per-call", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    async with grpc.aio.insecure_channel(f"unix:{options.socket}") as channel:
        print(json.dumps(await Load(channel, options).run()))


if __name__ == "__main__":
    asyncio.run(main())
