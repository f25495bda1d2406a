"""What the runner tells about itself over HTTP: some of the real one's metrics, its jobs, that it is ready."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.support.runner.version import VERSION

if TYPE_CHECKING:
    from tests.support.runner.runner import ProtocolRunner

__all__ = ["exposition", "serve"]

_ABOUT = (
    'architecture="amd64",branch="stand-in",built_at="",go_version="",name="gitlab-runner",os="linux",'
    f'revision="standin",version="{VERSION}"'
)


def serve(runner: ProtocolRunner, address: str) -> ThreadingHTTPServer:
    """Answer at `listen_address` (host:port, or :port) from a thread of its own."""
    host, _, port = address.rpartition(":")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = _PAGES.get(self.path)
            content = (page(runner) if page else "404 page not found\n").encode()
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_values: object) -> None:
            """Nobody wants to read that."""

    server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def exposition(runner: ProtocolRunner) -> str:
    """Prometheus's text. As with the real one, there is no gitlab_runner_jobs at all while nothing runs."""
    lines = [
        "# TYPE gitlab_runner_version_info gauge",
        f"gitlab_runner_version_info{{{_ABOUT}}} 1",
        "# TYPE gitlab_runner_concurrent gauge",
        f"gitlab_runner_concurrent {runner.config.concurrent}",
        "# TYPE gitlab_runner_limit gauge",
    ]
    system = runner.config.system_id
    for entry in runner.config.entries:
        labels = f'runner="{entry.short_token}",runner_name="{entry.name}",system_id="{system}"'
        lines.append(f"gitlab_runner_limit{{{labels}}} {entry.limit}")
    counts = Counter(
        (build.entry.short_token, build.entry.name, build.entry.executor) for build in runner.builds
    )
    if counts:
        lines.append("# TYPE gitlab_runner_jobs gauge")
    for (token, name, executor), count in sorted(counts.items()):
        labels = (
            f'executor="{executor}",executor_stage="{executor}_run",runner="{token}",runner_name="{name}"'
        )
        labels += f',stage="step_script",state="running",system_id="{system}"'
        lines.append(f"gitlab_runner_jobs{{{labels}}} {count}")
    return "\n".join([*lines, ""])


def _jobs(runner: ProtocolRunner) -> str:
    return "".join(
        f"url={build.entry.url}/jobs/{build.job.id} state=running stage=step_script runner={build.entry.short_token}\n"
        for build in runner.builds
    )


def _ready(_runner: ProtocolRunner) -> str:
    return "ok\n"


_PAGES = {"/metrics": exposition, "/debug/jobs/list": _jobs, "/health/ready": _ready}
