# ruff: noqa: INP001  # a script of the image, part of no package
"""Asks the coordinator of this container whether it is ready; ends with 1, and says why, if it is not."""

import http.client
import os
import sys

TIMEOUT_S = 8.0  # less than HEALTHCHECK's, so that there is something to read


def reason_against() -> str | None:
    """Why the coordinator should be sent no requests; None when it is ready."""
    host, _, port = os.environ.get("NX_DTE_LISTEN", "0.0.0.0:8720").rpartition(":")
    reached = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104  # an address to ask
    connection = http.client.HTTPConnection(reached, int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read(2000).decode("utf-8", "replace")
    except OSError as error:
        return f"nobody answers on {host}:{port}: {error}"
    except http.client.HTTPException as error:
        return f"the answer on {host}:{port} cannot be understood: {error!r}"
    return None if answer.status == http.client.OK else f"HTTP {answer.status}: {said}"


if __name__ == "__main__":
    sys.exit(reason_against())
