"""How `nx` and `nx-cloud` are called in a checkout: by which package manager, and whether they are there at all.

This package may import `errors` only; it runs nothing.
"""

from nx_dte.nx_commands.checkout import NxCheckout, find_checkout
from nx_dte.nx_commands.runner import Runner, package_manager

__all__ = ["NxCheckout", "Runner", "find_checkout", "package_manager"]
