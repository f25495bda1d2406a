"""Asks the coordinator what the CI run came to, for the summary and the JUnit report."""

from __future__ import annotations

import io
import json
import tarfile
import time
import zlib
from typing import TYPE_CHECKING

from nx_dte.errors import NxDteError
from nx_dte.summary import RunReport, final_tasks, junit_xml, summary_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nx_dte.client import CoordinatorClient
    from nx_dte.nx_commands import NxCheckout
    from nx_dte.protocol.tasks import TaskView

__all__ = ["project_roots", "report", "terminal_output"]

OUTPUTS_S = 20.0
MAX_OUTPUTS = 50
MAX_ARCHIVE_BYTES = 32 * 1024 * 1024
"""A failed task with larger outputs is reported without its own words; the job's log has them."""
MAX_TERMINAL_BYTES = 64 * 1024 * 1024
_GRAPHS = (
    ".nx/workspace-data/project-graph.json",
    ".nx/cache/project-graph.json",
    "node_modules/.cache/nx/project-graph.json",
)


def report(
    client: CoordinatorClient,
    ci_run_id: str,
    *,
    checkout: NxCheckout,
    exit_code: int,
    failed_steps: tuple[str, ...],
    junit: Path | None,
    say: Callable[[str], None],
) -> None:
    """Print the summary and write the JUnit report; where that cannot be done, say why in a line.

    Raises no Exception: however it goes, the job ends as its commands did.
    """
    try:
        run = client.run(ci_run_id)
        tasks = final_tasks(client.tasks(ci_run_id))
        made = RunReport(
            run=run,
            tasks=tasks,
            exit_code=exit_code,
            failed_steps=failed_steps,
            outputs=_outputs(client, tasks),
            roots=project_roots(checkout.root),
            nx=" ".join((*checkout.runner.words, "nx")),
            url=client.cloud.shown_url,
        )
        for line in summary_lines(made):
            say(line)
        if junit is not None:
            junit.parent.mkdir(parents=True, exist_ok=True)
            junit.write_text(junit_xml(made), encoding="utf-8")
    except NxDteError as error:
        say(f"nx-dte: no summary of CI run {ci_run_id}: {error.message}")
    except OSError as error:
        say(f"nx-dte: no JUnit report: {junit}: {error.strerror}")
    except Exception as error:  # noqa: BLE001  # a fault in what is only told must not fail what was done
        say(
            f"nx-dte: no summary of CI run {ci_run_id}: {type(error).__name__}: {error}; please report this fault"
        )


def _outputs(client: CoordinatorClient, tasks: tuple[TaskView, ...]) -> dict[str, str]:
    """What failed tasks have printed, as far as it can be had in time."""
    deadline = time.monotonic() + OUTPUTS_S
    found: dict[str, str] = {}
    for task in tasks:
        is_wanted = task.outcome is not None and task.outcome.is_failure and task.artifact is not None
        if not is_wanted or task.artifact is None or task.artifact.size > MAX_ARCHIVE_BYTES:
            continue
        left_s = deadline - time.monotonic()
        if left_s <= 0 or len(found) >= MAX_OUTPUTS:
            break
        try:
            archive = client.artifact(task.artifact.artifact_id, timeout_s=min(left_s, 10.0))
        except NxDteError:
            continue  # gone, or the coordinator is: the summary is worth having without
        found[task.task_id] = terminal_output(archive)
    return found


def terminal_output(archive: bytes) -> str:
    """What a task has printed, from its archive; nothing where it cannot be read."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as members:
            for member in members:
                if member.name == "terminal-output":
                    file = members.extractfile(member)
                    return "" if file is None else file.read(MAX_TERMINAL_BYTES).decode("utf-8", "replace")
    except (tarfile.TarError, zlib.error, OSError, EOFError):
        return ""
    return ""


def project_roots(root: Path) -> Mapping[str, str]:
    """Project → its folder, from the graph that Nx has left in its cache; empty where there is none."""
    for name in _GRAPHS:
        try:
            nodes = json.loads((root / name).read_text(encoding="utf-8")).get("nodes", {})
            return {project: str(node["data"]["root"]) for project, node in nodes.items()}
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            continue
    return {}
