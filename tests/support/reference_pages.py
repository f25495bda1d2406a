"""The reference pages that are generated from code: `make docs` writes them, a test compares them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.protocol import PROTOCOL_VERSION
from nx_dte.settings import describe
from nx_dte.telemetry import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

GENERATED = "<!-- Generated from code by `make docs`. Change the declarations, not this page. -->"
ROOT = Path(__file__).resolve().parents[2]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


def settings_page() -> str:
    """docs/settings.md."""
    rows = [
        (
            f"`{item.name}`",
            f"`{item.variable}`",
            f"`{item.flag}`" if item.flag else "-",
            f"`{item.default}`",
            item.meaning,
        )
        for item in describe()
    ]
    return "\n".join(
        [
            GENERATED,
            "",
            "# Settings of the coordinator",
            "",
            "Each is an environment variable, a key of the TOML file that `--config` names, and for the commonest a flag of",
            "`nx-dte coordinator serve`. A flag goes before the variable, that before the file, that before the default.",
            "Names that end in `_s` are seconds, in `_bytes` bytes. `nx-dte coordinator settings` prints the same list.",
            "",
            *_table(("key", "variable", "flag", "default", "meaning"), rows),
            "",
        ]
    )


def metrics_page() -> str:
    """docs/metrics.md."""
    declared = Metrics(version="", protocol=PROTOCOL_VERSION).declared
    rows = [
        (f"`{item.name}`", item.kind, ", ".join(f"`{label}`" for label in item.labels) or "-", item.help_text)
        for item in declared
    ]
    return "\n".join(
        [
            GENERATED,
            "",
            "# Metrics of the coordinator",
            "",
            "Served for Prometheus at `/metrics` on a listener of its own (`--metrics-listen`). Counters and histograms belong to",
            "one process: use `sum`. Gauges tell of the store, so every replica shows the same: use `max`, never `sum`; those of",
            "one process are `nx_dte_build_info`, `nx_dte_store_up`, `nx_dte_requests_in_progress` and `nx_dte_data_disk_…`. They",
            "are read from the store at most every 5 seconds. The usual `process_…` metrics are there as well.",
            "",
            "No label holds an id or a name that somebody chose, except `target`: the first 50 targets seen by the process, then",
            "`other`. A target's name is part of the workspace's configuration; keep the listener private if it is secret.",
            "",
            *_table(("metric", "type", "labels", "meaning"), rows),
            "",
            "[monitoring/alerts.yaml](../monitoring/alerts.yaml) has alerts on them, [operations.md](operations.md) what to do.",
            "",
        ]
    )


PAGES = {"docs/settings.md": settings_page, "docs/metrics.md": metrics_page}


def main() -> None:
    """Write them."""
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
