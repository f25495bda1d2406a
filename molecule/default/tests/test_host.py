"""What an operator has after the scenario's playbook."""

from __future__ import annotations

from typing import Any


def test_every_service_runs(host: Any) -> None:
    assert host.run("systemctl is-system-running").stdout.strip() == "running"
