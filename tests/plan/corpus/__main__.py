"""`python -m tests.plan.corpus FILE…`: each difference, then how many cases passed and failed."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.plan.corpus.files import differences, load


def main(arguments: list[str]) -> int:
    """Compare all cases of all files; 1 if anything differs, 2 for a file that cannot be read."""
    passed = failed = 0
    for argument in arguments:
        try:
            for name, difference in differences(load(Path(argument))):
                if difference is None:
                    passed += 1
                else:
                    failed += 1
                    sys.stdout.write(f"{argument}: {name}: {difference}\n")
        except (OSError, ValueError, KeyError) as error:
            sys.stderr.write(f"{argument}: {error}\n")
            return 2
    sys.stdout.write(f"{passed} passed, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
