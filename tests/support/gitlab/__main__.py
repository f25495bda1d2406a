"""The stand-in as a program of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvicorn

from tests.support.gitlab.app import create_app
from tests.support.gitlab.instance import Instance


def main(arguments: list[str]) -> int:
    """Serve until told to stop; the first line says where, and with which token one may do everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.gitlab", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:8929", metavar="HOST:PORT")
    parser.add_argument("--url", help="the address that runners and jobs use (default: from --listen)")
    parser.add_argument("--repositories", type=Path, required=True, help="folder of bare repositories")
    parser.add_argument("--token", default="glpat-stand-in-of-the-tests", help="root's access token")
    parser.add_argument(
        "--project", action="append", default=[], metavar="GROUP/NAME", help="make it (repeatable)"
    )
    options = parser.parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    instance = Instance(
        url=(options.url or f"http://{options.listen}").rstrip("/"), repositories=options.repositories
    )
    instance.add_token(instance.add_user("root"), "api", token=options.token)
    for path in options.project:
        instance.add_project(path)
    print(f"stand-in GitLab on {instance.url}, token {options.token}", flush=True)  # noqa: T201 - a program's output
    uvicorn.run(create_app(instance), host=host, port=int(port), log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
