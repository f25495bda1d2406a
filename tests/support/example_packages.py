"""Prints the folder of yarn's cache that has every package of the example workspace; fills it when it has not."""

from __future__ import annotations

import sys

from nx_dte.demo.layout import find_layout
from nx_dte.demo.workspace import install_dependencies


def main() -> int:
    """Do it; the exit code."""
    layout = find_layout()
    install_dependencies(layout)
    sys.stdout.write(f"{layout.cache / 'yarn'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
