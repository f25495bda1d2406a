"""Many rounds after one another, on what they share: the workspace's origin and what plain nx makes of it."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nx_dte.demo.workspace import make_origin
from tests.chaos.clock import find_library
from tests.chaos.disk import can_mount
from tests.chaos.faults import FaultKind
from tests.chaos.plain import PlainRuns
from tests.chaos.rounds import Played, Round
from tests.chaos.schedule import ALL_KINDS, draw, keep_only
from tests.chaos.summary import is_good

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from nx_dte.demo.layout import Layout

__all__ = ["Campaign"]


@dataclass(slots=True, kw_only=True)
class Campaign:
    """Plays rounds of one seed. A context manager; folders of rounds with findings stay."""

    layout: Layout
    node_modules: Path
    seed: int
    write: Callable[[str], None]
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nx-dte-chaos-")))
    rounds: list[Played] = field(default_factory=list)
    is_kept: bool = False
    """Every round's folder stays."""
    kinds: Collection[FaultKind] = ALL_KINDS
    _plain: PlainRuns | None = None
    _library: Path | None = None

    def __enter__(self) -> Self:
        """Make the origin, and see which faults are possible here."""
        origin = make_origin(self.layout, self.folder, self.node_modules)
        self._plain = PlainRuns(layout=self.layout, origin=origin, folder=self.folder)
        self._library = find_library(self.layout)
        if self._library is None:
            self.kinds = frozenset(self.kinds) - {FaultKind.STEP_CLOCK}
            self.write("left out: steps of the clock, for want of libfaketime")
        if not can_mount():
            self.kinds = frozenset(self.kinds) - {FaultKind.FILL_DISK}
            self.write("left out: full disks, since only root may mount a small one")
        return self

    def __exit__(self, *exception: object) -> None:
        """Clear up, unless there is something to look at."""
        if is_good(self.rounds) and not any(exception) and not self.is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def play(
        self, numbers: Iterable[int], *, until: float = float("inf"), only: Collection[int] = ()
    ) -> None:
        """Play these rounds; none is begun after `until` (monotonic). `only`: these faults alone."""
        for number in numbers:
            if time.monotonic() > until:
                return
            self._play(number, only)

    def _play(self, number: int, only: Collection[int]) -> None:
        assert self._plain is not None, "a campaign is a context manager"
        scenario = draw(self.seed, number, kinds=self.kinds)
        if only:
            scenario = keep_only(scenario, only)
        for line in scenario.describe():
            self.write(line)
        played = Round(
            layout=self.layout,
            plain=self._plain,
            folder=self.folder / f"round-{number}",
            scenario=scenario,
            library=self._library,
            has_small_disk=can_mount(),
            is_kept=self.is_kept,
            write=self.write,
        ).play()
        self.rounds.append(played)
        for text in (*played.notes, *map(str, played.findings)):
            self.write(f"  {text[:2000]}")
        verdict = f"{len(played.findings)} findings" if played.findings else "good"
        if played.findings or self.is_kept:
            verdict += f", kept: {played.folder}"
        self.write(f"  {verdict} ({played.wall_s:.0f} s)\n")
