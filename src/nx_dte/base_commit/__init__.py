"""The base commit: what `nx affected` must compare this pipeline's commit with.

`resolve` goes through the rules in order and takes the first commit that is really there, deepening a shallow clone as
far as needed; the checkout's branches and files stay as they are. A base equal to head means "nothing is affected", so
only a merge request without changes gets one. This package may import `gitlab`, `errors` and, for the last green
commit, whatever it is given as a function.
"""

from nx_dte.base_commit.git import Git, NotACheckoutError
from nx_dte.base_commit.resolving import Base, Rule, resolve

__all__ = ["Base", "Git", "NotACheckoutError", "Rule", "resolve"]
