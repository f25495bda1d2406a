"""The command line: one subcommand per file, each imported only when it is called.

This package may import anything of nx_dte, but heavy things (the coordinator, the demo) only inside functions, so
that `nx-dte --help` starts in under 100 ms. It holds no logic of its own: it parses, calls, prints, and turns an error
into its exit code.
"""

from nx_dte.cli.root import cli, main

__all__ = ["cli", "main"]
