"""One round of fault injection; `make chaos` plays as many as one likes. See docs/chaos.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.campaign import Campaign
from tests.chaos.faults import FaultKind

if TYPE_CHECKING:
    from pathlib import Path

    from nx_dte.demo.layout import Layout

pytestmark = pytest.mark.timeout(400)

# A round that has a bit of everything: a full disk, a killed coordinator, a frozen main job, a stepped clock, a killed
# executor, cut connections.
SEED, ROUND = 16, 1


def test_a_pipeline_that_is_mistreated_ends_as_plain_nx_does(layout: Layout, node_modules: Path) -> None:
    said: list[str] = []
    with Campaign(layout=layout, node_modules=node_modules, seed=SEED, write=said.append) as campaign:
        campaign.play([ROUND])
        (played,) = campaign.rounds
        assert played.findings == [], "\n".join(said)
        kinds = {fault.kind for fault in played.done}
        assert {FaultKind.KILL_COORDINATOR, FaultKind.FREEZE_MAIN} <= kinds, "\n".join(said)
