"""How `nx` and `nx-cloud` are called in a checkout: by which package manager, and whether they are there at all.

This package may import `errors` only; it runs nothing.
"""

from nx_dte.nx_commands.checkout import NxCheckout, Runner, find_checkout

__all__ = ["NxCheckout", "Runner", "find_checkout"]
