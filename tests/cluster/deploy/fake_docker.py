"""As much of `docker` as kind asks for until the first node is to run kubeadm, which fails. Everything is noted.

FAKED is a directory: `run/NODE` holds the arguments of each node, `kubeadm/NODE` the configuration it was given.
"""

# ruff: noqa: T201 - it is a command
from __future__ import annotations

import json
import os
import sys
from pathlib import Path

FAKED = Path(os.environ["FAKED"])
INFO = {
    "CgroupVersion": "2",
    "CgroupDriver": "systemd",
    "MemoryLimit": True,
    "PidsLimit": True,
    "CPUShares": True,
    "SecurityOptions": [],
    "Driver": "overlay2",
    "DriverStatus": [],
}
NETWORK = "kind-network"


def main(words: list[str]) -> int:
    command, rest = words[0], words[1:]
    if command in ("rm", "pull"):
        return 0
    answer = {"-v": version, "info": info, "ps": nodes, "inspect": inspect, "network": network, "run": run}.get(command)
    if command == "logs":
        print("Reached target Multi-User System.")
        return 0
    if command == "exec":
        return execute(rest)
    if answer is None:
        print(f"docker {' '.join(words)}: not faked", file=sys.stderr)
        return 1
    answer(rest)
    return 0


def version(_words: list[str]) -> None:
    print("Docker version 29.0.0, build 0")


def info(words: list[str]) -> None:
    form = words[-1].strip("'")
    field = form.removeprefix("{{json .").removeprefix("{{.").rstrip("}")
    print(json.dumps(INFO.get(field, INFO)))


def nodes(_words: list[str]) -> None:
    for path in sorted((FAKED / "run").iterdir()):
        print(path.name)


def inspect(words: list[str]) -> None:
    if words[0] == "--type=image":
        return
    if "io.x-k8s.kind.role" in " ".join(words):
        arguments = (FAKED / "run" / words[-1]).read_text().splitlines()
        print(next(it.partition("kind.role=")[2] for it in arguments if "kind.role=" in it))
    elif "NetworkSettings" in " ".join(words):
        print("172.18.0.2,fc00::2")


def network(words: list[str]) -> None:
    if words[0] == "ls":
        print(NETWORK)
    elif words[0] == "inspect" and "--format" not in words and "-f" not in words:
        print(json.dumps([{"Name": "kind", "Id": NETWORK, "Containers": {}}]))


def run(words: list[str]) -> None:
    name = words[words.index("--name") + 1]
    (FAKED / "run" / name).write_text("\n".join(words))


def execute(words: list[str]) -> int:
    while words[0].startswith("-"):
        words = words[1:]
    node, *command = words
    if command == ["cat", "/kind/version"]:
        print((FAKED / "version").read_text().strip())
    elif command[:2] == ["cp", "/dev/stdin"] and command[-1] == "/kind/kubeadm.conf":
        (FAKED / "kubeadm" / node).write_text(sys.stdin.read())
    elif command[0] == "kubeadm":
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
