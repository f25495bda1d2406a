"""Which gitlab-runner this stands in for."""

from __future__ import annotations

import os

__all__ = ["VERSION", "described"]

VERSION = os.environ.get("STAND_IN_RUNNER_VERSION", "18.5.0")
"""Its package on a host says so; in a checkout it is this one."""


def described() -> str:
    """What `--version` prints, in the real one's form."""
    lines = {
        "Version": VERSION,
        "Git revision": "standin",
        "Git branch": f"{VERSION.rpartition('.')[0].replace('.', '-')}-stable",
        "GO version": "none: this is a stand-in of the tests",
        "Built": "1970-01-01T00:00:00Z",
        "OS/Arch": "linux/amd64",
    }
    return "".join(f"{name + ':':<14}{value}\n" for name, value in lines.items())
