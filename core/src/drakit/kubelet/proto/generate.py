"""Generate the message modules from the `.proto` files: `python -m drakit.kubelet.proto.generate`.

Needs grpcio-tools, which nothing else does. Modules refuse a protobuf runtime older than the compiler that made them,
so the version of grpcio-tools decides the lowest protobuf that the distribution may ask for.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PROTOS = Path(__file__).parent
SOURCE_ROOT = PROTOS.parents[2]


def generate(target: Path = SOURCE_ROOT) -> list[Path]:
    """Write `drakit/kubelet/proto/*_pb2.py` and `.pyi` below `target`; returns their paths."""
    from grpc_tools import protoc  # type: ignore[import-untyped]  # a developer's tool, absent where drakit runs

    names = sorted(path.relative_to(SOURCE_ROOT).as_posix() for path in PROTOS.glob("*.proto"))
    options = [f"-I{SOURCE_ROOT}", f"--python_out={target}", f"--pyi_out={target}"]
    status = protoc.main(["protoc", *options, *names])
    if status:
        raise SystemExit(status)
    return [target / re.sub(r"\.proto$", suffix, name) for name in names for suffix in ("_pb2.py", "_pb2.pyi")]


if __name__ == "__main__":
    for path in generate():
        sys.stdout.write(f"{path}\n")
