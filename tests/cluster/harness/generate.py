"""Write go.mod and go.sum of one Kubernetes minor: `python tests/cluster/harness/generate.py 1.36 [1.36.3]`.

Without a patch release it takes the newest that the module proxy lists. k8s.io/kubernetes requires its staging modules
at v0.0.0 and replaces them by directories of its own repository; the replacements of a dependency are not heeded, so
each of these modules is mapped here to the version published with that release (v1.N.P goes with v0.N.P).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
KUBERNETES = "k8s.io/kubernetes"


def newest(minor: str) -> str:
    """The newest patch release of a minor that the module proxy lists."""
    listed = _go("list", "-m", "-versions", KUBERNETES, cwd=HERE.anchor).split()
    patches = [int(found[1]) for version in listed if (found := re.fullmatch(rf"v{re.escape(minor)}\.(\d+)", version))]
    if not patches:
        sys.exit(f"the module proxy lists no release of {KUBERNETES} {minor}; it lists {' '.join(listed[1:])}")
    return f"{minor}.{max(patches)}"


def module_file(release: str, upstream: str) -> str:
    """The go.mod that builds a release, from the go.mod which the release has itself."""
    staging = "v0." + release.partition(".")[2]
    lines = upstream.splitlines()
    cobra = next(line.split()[1] for line in lines if line.strip().startswith("github.com/spf13/cobra "))
    kept = [line for line in lines if re.match(r"(go|godebug) ", line)]
    replaced = [
        found[1] for line in lines if (found := re.match(r"\s*(?:replace )?(k8s\.io/[\w-]+) => \./staging/", line))
    ]
    return "\n".join(
        [
            "// Written by generate.py; not edited by hand.",
            "module drakit.test/k8s-harness",
            *kept,
            "require (",
            f"\tgithub.com/spf13/cobra {cobra}",
            f"\tk8s.io/component-base {staging}",
            f"\t{KUBERNETES} v{release}",
            ")",
            "replace (",
            *[f"\t{name} => {name} {staging}" for name in sorted(replaced)],
            ")",
            "",
        ]
    )


def main(minor: str, release: str | None = None) -> None:
    """Write <minor>/go.mod and <minor>/go.sum beside this file."""
    release = release or newest(minor)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        found = json.loads(_go("mod", "download", "-json", f"{KUBERNETES}@v{release}", cwd=directory))
        (work / "go.mod").write_text(module_file(release, Path(found["GoMod"]).read_text()))
        shutil.copy(HERE / "main.go", work)
        _go("mod", "tidy", cwd=directory)
        target = HERE / minor
        target.mkdir(exist_ok=True)
        for name in ("go.mod", "go.sum"):
            shutil.copy(work / name, target / name)


def _go(*arguments: str, cwd: str) -> str:
    done = subprocess.run(["go", *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"go {' '.join(arguments)} failed (see above)")
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
