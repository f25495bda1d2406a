"""The git checkout, its history, and whether this user may work in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.doctor.findings import combined, not_checked, note, ok, problem
from nx_dte.doctor.versions import version_of

if TYPE_CHECKING:
    from nx_dte.doctor.facts import Facts, FolderFact
    from nx_dte.doctor.findings import Finding

__all__ = ["base", "build_folder", "checkout", "commit", "history", "origin", "safe_directory"]

_MOST_NAMED = 3
_OWNER_RIGHTS = 0o700
_BY_DEPTH = (
    "`nx-dte orchestrate` and `nx-dte resolve-base` fetch what they need; elsewhere set GIT_DEPTH to 0."
)


def checkout(facts: Facts) -> Finding:
    """Whether git works in the checkout."""
    found = facts.checkout
    if found is None:
        return not_checked(f"{facts.directory} is in no git checkout")
    if found.is_dubious:
        return problem(
            f"git refuses to work in {found.root} (dubious ownership): it belongs to user {found.owner_uid}, this is "
            f"user {facts.machine.uid}",
            f"git config --global --add safe.directory {found.root} (in an image: git config --system --add "
            "safe.directory '*').",
        )
    if found.problem is not None:
        return problem(
            f"git does not work in {found.root}: {found.problem}",
            "Check the project out again; a job with GIT_STRATEGY none has no checkout.",
        )
    if found.changed_files:
        return note(
            f"tracked files in {found.root} differ from its commit ({found.changed_files}); agents have the commit's",
            "`git status` names them. Commit them, or make such changes in a task.",
        )
    return ok(f"{found.root} at {(found.head or 'no commit')[:12]}")


def origin(facts: Facts) -> Finding:
    """Whether the remote answers; asked only with --origin."""
    found = facts.checkout
    if found is None or found.problem is not None:
        return not_checked("there is no checkout that git works in")
    if not found.is_origin_asked:
        return not_checked("only with --origin")
    if found.origin_problem is not None:
        return problem(
            f"origin does not answer: {found.origin_problem}",
            "See that this place reaches GitLab, trusts its certificate, and that the job's token may still read the project.",
        )
    return ok("origin answers")


def history(facts: Facts) -> Finding:
    """Whether the history that a base commit is looked for in is there."""
    found = facts.checkout
    if found is None or found.problem is not None or found.is_shallow is None:
        return not_checked("there is no checkout that git works in")
    if found.is_shallow:
        depth = "an unknown number of" if found.commits is None else f"the last {found.commits}"
        return note(f"a shallow clone with {depth} commits", _BY_DEPTH)
    return ok("complete")


def base(facts: Facts) -> Finding:
    """Whether the base that the variables give is one."""
    environ = facts.environ
    given, before = environ.get("NX_BASE", "").strip(), environ.get("CI_COMMIT_BEFORE_SHA", "").strip()
    if given and not given.strip("0"):
        return note(
            "NX_BASE is all zeros, GitLab's word for: there is no commit before",
            'Let nx-dte find the base: eval "$(nx-dte resolve-base)", without NX_BASE set.',
        )
    if given:
        return ok(f"NX_BASE is {given}")
    if environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "").strip():
        return ok("the merge request's base is known")
    if not before:
        return not_checked("neither NX_BASE nor CI_COMMIT_BEFORE_SHA is set")
    if not before.strip("0"):
        return note(
            "CI_COMMIT_BEFORE_SHA is all zeros, as in a first push, a tag, a schedule or a manual pipeline",
            'Not as NX_BASE: `nx-dte orchestrate` finds another base, and so does eval "$(nx-dte resolve-base)".',
        )
    return ok(f"CI_COMMIT_BEFORE_SHA is {before[:12]}")


def commit(facts: Facts) -> Finding:
    """Whether the checkout is at the pipeline's commit: agents must be at main's."""
    found, wanted = facts.checkout, facts.environ.get("CI_COMMIT_SHA", "").strip()
    if found is None or found.head is None:
        return not_checked("there is no checkout that git works in")
    if not wanted:
        return not_checked("CI_COMMIT_SHA is not set")
    if found.head != wanted:
        return note(
            f"the checkout is at {found.head[:12]}, the pipeline at {wanted[:12]}",
            "Main and agents must work on the same commit; check CI_COMMIT_SHA out, in all of them.",
        )
    return ok(f"the checkout is at CI_COMMIT_SHA ({wanted[:12]})")


def build_folder(facts: Facts) -> Finding:
    """Whether this user may write where a job must, and will be able to write what it makes."""
    folders = facts.machine.build_folders
    refusing = [folder for folder in folders if not folder.is_writable]
    findings = [_unwritable(refusing, facts)] if refusing else []
    umask = facts.machine.umask
    if umask is not None and umask & _OWNER_RIGHTS:
        findings.append(
            problem(
                f"the umask is {umask:04o}: jobs cannot use the files they make", "Set umask 0022 in the job."
            )
        )
    if not findings and not folders:
        return not_checked(f"{facts.directory} is in no git checkout")
    return combined(findings, otherwise="writable" + ("" if umask is None else f", umask {umask:04o}"))


def safe_directory(facts: Facts) -> Finding:
    """Whether an image's git works in checkouts of another owner: a runner's belong to root."""
    git, trusted = facts.programs.get("git"), facts.trusted_checkouts
    if git is None or version_of(git.version) is None or trusted is None:
        return not_checked("git does not work")
    if facts.machine.uid == 0:
        return ok("this user is root, as whoever makes the checkouts")
    # A later empty entry takes back the earlier ones.
    since_reset = trusted[len(trusted) - trusted[::-1].index("") :] if "" in trusted else trusted
    if not since_reset:
        return problem(
            f"user {facts.machine.uid} is not root, whom a runner's checkouts belong to, and git trusts no other owner",
            "git config --system --add safe.directory '*' in the image.",
        )
    return ok(f"safe.directory is {', '.join(since_reset)}")


def _unwritable(folders: list[FolderFact], facts: Facts) -> Finding:
    named = [
        f"{folder.path} (owner {folder.owner_uid}{'' if folder.mode is None else f', mode {folder.mode:04o}'})"
        for folder in folders[:_MOST_NAMED]
    ]
    more = f" and {len(folders) - _MOST_NAMED} more" if len(folders) > _MOST_NAMED else ""
    return problem(
        f"user {facts.machine.uid} cannot write in {', '.join(named)}{more}",
        "The build folder was made by another user or under another umask; every job then fails with `cannot touch "
        "…/gitlab_runner_env: Permission denied` or the like. Remove the runner's volume or folder for this project "
        "(docker volume ls names it after the runner), and let all its jobs use the same FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR.",
    )
