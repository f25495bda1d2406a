"""Gathering evidence: nobody is waited for once the job is told to stop."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from werkzeug import Request, Response

from nx_dte.client import CoordinatorClient
from nx_dte.gitlab import CiEnvironment
from nx_dte.processes import StoppedError, StopSignals
from nx_dte.rerun_guard import gather

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_httpserver import HTTPServer

GENEROUS_S = 20.0


def test_a_job_that_is_told_to_stop_does_not_wait_for_a_gitlab_that_hangs(
    httpserver: HTTPServer, tmp_path: Path
) -> None:
    has_left, has_answered = threading.Event(), threading.Event()
    was_left: list[bool] = []

    def hang(_request: Request) -> Response:
        os.kill(os.getpid(), signal.SIGTERM)
        was_left.append(has_left.wait(GENEROUS_S))
        has_answered.set()
        return Response(status=404)

    httpserver.expect_request("/api/v4/job").respond_with_handler(hang)
    environment = CiEnvironment.from_environ(
        {"CI_API_V4_URL": httpserver.url_for("/api/v4"), "CI_JOB_TOKEN": "t"}
    )
    with StopSignals() as stopping:
        with pytest.raises(StoppedError), stopping.interrupting():
            gather(
                environment,
                CoordinatorClient.from_environ({}),
                directory=tmp_path,
                environ={},
                timeout_s=2 * GENEROUS_S,
            )
        has_left.set()
        assert has_answered.wait(GENEROUS_S)
    assert was_left == [True]
