"""Pipelines of all kinds, with names and words that are hard to write down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from nx_dte.errors import ConfigurationError
from nx_dte.pipeline import GuardJob, PackageManager, PipelineKind, PipelineOptions, Workspace
from tests.unit.pipeline.texts import LINE

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["OPTIONS"]

_NAME = LINE.map(
    lambda text: text.strip().lstrip(".").replace("$", "s").translate(str.maketrans("*?[", "abc"))
).filter(lambda name: bool(name) and name == name.strip())
_WORDS = st.lists(LINE, min_size=1, max_size=4).map(tuple)
_FOLDER = st.sampled_from(["", "web", "a b/it's", "x: y"])


@st.composite
def _workspace(draw: st.DrawFn) -> Workspace:
    manager = draw(st.sampled_from(PackageManager))
    lock = {"yarn": "yarn.lock", "npm": "package-lock.json", "pnpm": "pnpm-lock.yaml"}[manager.value]
    folder = draw(_FOLDER)
    return Workspace(
        package_manager=manager,
        folder=folder,
        lock_file=f"{folder}/{lock}" if folder and draw(st.booleans()) else lock,
        is_yarn_berry=manager is PackageManager.YARN and draw(st.booleans()),
        prefers_single_quotes=draw(st.booleans()),
    )


@st.composite
def _options(draw: st.DrawFn) -> PipelineOptions | None:
    values: dict[str, Any] = {
        "workspace": draw(_workspace()),
        "agents": draw(st.integers(1, 200)),
        "agent_timeout_min": draw(st.integers(10, 300)),
        "commands": draw(st.lists(_WORDS, min_size=1, max_size=2).map(tuple)),
        "records": draw(st.lists(_WORDS, max_size=2).map(tuple)),
        "stop_agents_after": draw(st.none() | LINE),
        "install": draw(st.none() | st.sampled_from(["", "make node_modules", "echo 'a: b' # c"])),
        "before": draw(st.sampled_from([(), ("corepack enable", 'echo "x: y" # z')])),
        "image": draw(st.none() | LINE),
        "main_tags": draw(st.lists(_NAME, max_size=2).map(tuple)),
        "agent_tags": draw(st.lists(_NAME, max_size=2).map(tuple)),
        "main_job": draw(st.just("nx-dte") | _NAME),
        "agent_job": draw(st.just("nx-dte-agent") | _NAME),
        "guard_job": draw(st.just("nx-rerun-guard") | _NAME),
        "stage": draw(st.just("affected") | _NAME),
        "guard": draw(st.sampled_from(GuardJob)),
        "kinds": draw(st.frozensets(st.sampled_from(PipelineKind), min_size=1)),
        "is_default_branch_only": draw(st.booleans()),
        "coordinator_url": draw(st.none() | st.just("https://nx-dte.example.org/a?b=c&d=$E#f")),
        "audience": draw(st.none() | LINE),
        "git_depth": draw(st.integers(0, 50)),
        "artifacts": draw(st.lists(_NAME.map(lambda name: name.strip("/~.") or "x"), max_size=2).map(tuple)),
        "artifacts_expire_in": draw(st.sampled_from(["5 days", "12 hours", "never"])),
    }
    if values["guard"] is not GuardJob.OFF:
        values["guard_mode"] = draw(st.sampled_from([None, "strict", "mirror"]))
    try:
        return PipelineOptions(**values)
    except ConfigurationError:
        return None  # two names that are the same, say: what is refused has tests of its own


OPTIONS: SearchStrategy[PipelineOptions] = _options().filter(lambda made: made is not None)  # type: ignore[assignment]
