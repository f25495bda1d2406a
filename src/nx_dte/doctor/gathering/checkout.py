"""The git checkout, asked in the way the job's own commands will ask: without any setting of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.doctor.facts import CheckoutFacts

if TYPE_CHECKING:
    from pathlib import Path

    from nx_dte.doctor.gathering.programs import Programs

__all__ = ["checkout_facts", "git_root", "trusted_checkouts"]


def git_root(directory: Path) -> Path | None:
    """The checkout a folder is in, looked for by hand: git does not say where one of another owner is."""
    try:
        return next(
            (folder for folder in (directory, *directory.parents) if (folder / ".git").exists()), None
        )
    except OSError:  # a folder on the way must not be looked into
        return None


def checkout_facts(root: Path, programs: Programs, *, asks_origin: bool) -> CheckoutFacts:
    """What git says of a checkout."""
    owner_uid = _owner(root)
    git = programs.where("git")
    if git is None:
        return CheckoutFacts(root=root, owner_uid=owner_uid, problem="git is not on PATH")
    shallow = programs.run(git, "rev-parse", "--is-shallow-repository", folder=root)
    if not shallow.is_success:
        problem = shallow.complaint.removeprefix("fatal: ") or f"exit code {shallow.code}"
        return CheckoutFacts(root=root, owner_uid=owner_uid, problem=problem)
    is_shallow = shallow.output == "true"
    head = programs.run(git, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", folder=root)
    # Counting is quick in what a shallow clone holds, and only there it says something.
    count = programs.run(git, "rev-list", "--count", "HEAD", folder=root) if is_shallow else None
    changed = programs.run(git, "status", "--porcelain", "--untracked-files=no", folder=root)
    origin = programs.run(git, "ls-remote", "--quiet", "origin", "HEAD", folder=root) if asks_origin else None
    return CheckoutFacts(
        root=root,
        owner_uid=owner_uid,
        head=head.output if head.is_success else None,
        is_shallow=is_shallow,
        commits=int(count.output) if count is not None and count.output.isdecimal() else None,
        changed_files=len(changed.output.splitlines()) if changed.is_success else None,
        is_origin_asked=asks_origin,
        origin_problem=None
        if origin is None or origin.is_success
        else origin.complaint.removeprefix("fatal: ") or f"exit code {origin.code}",
    )


def trusted_checkouts(programs: Programs) -> tuple[str, ...] | None:
    """Git's safe.directory outside any repository, in order; None where git cannot say."""
    git = programs.where("git")
    if git is None:
        return None
    ran = programs.run(git, "config", "--null", "--get-all", "safe.directory")
    if ran.code not in {0, 1}:  # 1: it is not set
        return None
    return tuple(ran.output.removesuffix("\0").split("\0")) if ran.output else ()


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None
