"""Finds out the facts: programs, checkout, workspace, coordinator, machine. The only part that looks at anything.

Everything is asked at once, in daemon threads, and nobody is waited for beyond one deadline: a mount that hangs costs its
own fact and no more.
"""

from nx_dte.doctor.gathering.everything import gather

__all__ = ["gather"]
