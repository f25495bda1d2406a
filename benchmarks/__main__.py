"""`python -m benchmarks [name ...]`: run the benchmarks named, or all of them."""

from __future__ import annotations

import os
import platform
import sys
from importlib import import_module

NAMES = ("scheduler", "coordinator", "nx")


def main(arguments: list[str]) -> int:
    """Run them in turn."""
    unknown = [name for name in arguments if name not in NAMES]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; choose from {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in arguments or NAMES:
        print(f"\n== {name}", flush=True)
        import_module(f"benchmarks.{name}_bench").run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
