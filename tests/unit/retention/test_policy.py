"""What goes and what stays, for any artifacts at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nx_dte.coordinator.retention.policy import Policy, choose
from nx_dte.model.artifact import Artifact, IdleArtifact
from nx_dte.model.ids import ArtifactId, WorkspaceId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(
    keep_runs=timedelta(days=30), keep_cache_entries=timedelta(days=14), grace=timedelta(hours=1), max_bytes=0
)
BEFORE = POLICY.idle_before(NOW)


def idle(
    name: str, *, size: int = 10, age_s: float = 86400.0, is_needed: bool = False, is_named: bool = True
) -> IdleArtifact:
    artifact = Artifact(
        workspace_id=WorkspaceId("w"),
        artifact_id=ArtifactId(name),
        size=size,
        created_at=NOW - timedelta(days=400),
        last_used_at=NOW - timedelta(seconds=age_s),
        blob_key=f"w/{name}",
    )
    return IdleArtifact(artifact=artifact, is_needed=is_needed, is_named=is_named)


def names(chosen: tuple[Artifact, ...]) -> list[str]:
    return [artifact.artifact_id for artifact in chosen]


SOME = st.lists(
    st.builds(
        idle,
        st.integers(0, 10_000).map(str),
        size=st.integers(0, 1000),
        age_s=st.floats(0, 200_000) | st.sampled_from([3600.0, 4500.0, 4500.001]),
        is_needed=st.booleans(),
        is_named=st.booleans(),
    ),
    unique_by=lambda one: one.artifact.artifact_id,
    max_size=30,
)


@given(SOME, st.integers(0, 20_000))
def test_what_a_live_run_needs_or_somebody_just_used_never_goes(
    all_of: list[IdleArtifact], excess: int
) -> None:
    chosen = set(names(choose(all_of, idle_before=BEFORE, excess_bytes=excess)))

    for one in all_of:
        if one.is_needed or one.artifact.last_used_at >= NOW - POLICY.grace:
            assert one.artifact.artifact_id not in chosen


@given(SOME, st.integers(0, 20_000))
def test_all_that_nothing_names_goes(all_of: list[IdleArtifact], excess: int) -> None:
    chosen = set(names(choose(all_of, idle_before=BEFORE, excess_bytes=excess)))

    for one in all_of:
        if not one.is_named and not one.is_needed and one.artifact.last_used_at < BEFORE:
            assert one.artifact.artifact_id in chosen


@given(SOME, st.integers(0, 20_000))
def test_enough_goes_and_no_more_than_that(all_of: list[IdleArtifact], excess: int) -> None:
    chosen = choose(all_of, idle_before=BEFORE, excess_bytes=excess)
    may_go = [one for one in all_of if not one.is_needed and one.artifact.last_used_at < BEFORE]
    named = {one.artifact.artifact_id for one in all_of if one.is_named}

    freed = sum(artifact.size for artifact in chosen)
    assert freed >= min(excess, sum(one.artifact.size for one in may_go))
    in_the_way = [artifact for artifact in chosen if artifact.artifact_id in named]
    if in_the_way:
        assert freed - in_the_way[-1].size < excess


@given(SOME, st.integers(0, 20_000))
def test_the_longest_unused_go_first(all_of: list[IdleArtifact], excess: int) -> None:
    chosen = set(names(choose(all_of, idle_before=BEFORE, excess_bytes=excess)))
    may_go = [
        one for one in all_of if one.is_named and not one.is_needed and one.artifact.last_used_at < BEFORE
    ]
    gone = [one.artifact.last_used_at for one in may_go if one.artifact.artifact_id in chosen]
    kept = [one.artifact.last_used_at for one in may_go if one.artifact.artifact_id not in chosen]

    if gone and kept:
        assert max(gone) <= min(kept)


def test_without_need_only_what_nothing_names_goes() -> None:
    chosen = choose([idle("named"), idle("unnamed", is_named=False)], idle_before=BEFORE, excess_bytes=0)

    assert names(chosen) == ["unnamed"]


def test_a_lagging_note_of_use_is_no_reason_to_delete() -> None:
    # Noted at most every quarter of the grace: used 60 minutes ago may read 75 minutes.
    chosen = choose(
        [idle("maybe", age_s=4500, is_named=False), idle("surely", age_s=4501, is_named=False)],
        idle_before=BEFORE,
        excess_bytes=1000,
    )

    assert names(chosen) == ["surely"]


@pytest.mark.parametrize(
    ("max_bytes", "stored", "incoming", "is_disk_full", "expected"),
    [
        (0, 10_000, 0, False, 0),
        (0, 10_000, 5000, False, 0),
        (0, 10_000, 500, True, 1000),
        (0, 10_000, 5000, True, 5000),
        (0, 10_000, 50_000, True, 5000),
        (1000, 1200, 0, True, 250),
        (1000, 900, 100, False, 0),
        (1000, 900, 101, False, 51),
        (1000, 1100, 0, False, 150),
        (1000, 100, 5000, False, 0),
    ],
)
def test_how_much_must_go(
    max_bytes: int, stored: int, incoming: int, *, is_disk_full: bool, expected: int
) -> None:
    policy = replace(POLICY, max_bytes=max_bytes)

    assert policy.excess_bytes(stored=stored, incoming=incoming, is_disk_full=is_disk_full) == expected
