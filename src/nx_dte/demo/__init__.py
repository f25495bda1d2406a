"""The demonstration: the recipe for real, on this machine, and the parts the acceptance tests build on.

It makes an origin and clones of the example workspace, starts jobs as GitLab's shell executor would, runs the
coordinator as a process of its own, and reads the result from the coordinator's public API. It imports only the
standard library, httpx2 and `nx_dte.errors`: it knows the product from outside.
"""

from nx_dte.demo.run import run

__all__ = ["run"]
