"""What many rounds come to, in a few lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.chaos.checks import FindingKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.rounds import Played

__all__ = ["is_good", "summarise"]

_HEADLINE = (FindingKind.HANG, FindingKind.WRONG_GREEN, FindingKind.WRONG_RED, FindingKind.LOST_RESULT)


def is_good(rounds: Sequence[Played]) -> bool:
    """Whether no promise was broken."""
    return not any(played.findings for played in rounds)


def summarise(seed: int, rounds: Sequence[Played], wall_s: float) -> list[str]:
    """Faults by kind, rounds with findings and how to play them again, and the one line that counts."""
    faults = Counter(str(fault.kind) for played in rounds for fault in played.done)
    found = Counter(finding.kind for played in rounds for finding in played.findings)
    lines = [
        f"seed {seed}, {wall_s:.0f} s, {faults.total()} faults: "
        + ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items())),
    ]
    for played in rounds:
        if played.findings:
            kinds = ", ".join(sorted({str(finding.kind) for finding in played.findings}))
            again = f"python -m tests.chaos --seed {seed} --round {played.scenario.number}"
            lines.append(f"round {played.scenario.number}: {kinds}; kept: {played.folder}; again: {again}")
    others = ", ".join(
        f"{found[kind]} x {kind}" for kind in FindingKind if kind not in _HEADLINE and found[kind]
    )
    if others:
        lines.append(f"and {others}")
    headline = ", ".join(f"{found[kind]} {kind}s" for kind in _HEADLINE)
    lines.append(f"{len(rounds)} runs: {headline}")
    return lines
