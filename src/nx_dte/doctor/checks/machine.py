"""The machine or container around a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.doctor.findings import combined, not_checked, note, ok, problem
from nx_dte.doctor.role import Role

if TYPE_CHECKING:
    from nx_dte.doctor.facts import Facts, FolderFact
    from nx_dte.doctor.findings import Finding

__all__ = ["home", "init", "locale", "space", "temp", "user"]

GIB = 1024**3
_FEW_BYTES = 2 * GIB
_TOO_FEW_BYTES = GIB // 4
_FEW_INODES = 50_000
_TOO_FEW_INODES = 2_000
_UTF8 = frozenset({"utf8", "utf-8"})


def user(facts: Facts) -> Finding:
    """Whether an image's user is somebody else than root."""
    uid = facts.machine.uid
    if uid == 0:
        return note("root", "End the image with USER and the number of a user that is not root.")
    return ok(f"user {uid}")


def locale(facts: Facts) -> Finding:
    """Whether text is UTF-8."""
    found = facts.machine.locale
    remedy = "Set LANG=C.UTF-8."
    if found.variable is None:
        return _as_bad_as(facts, "LANG is not set: programs take text for ASCII", remedy)
    shown = f"{found.variable}={found.value}"
    if found.value.partition("@")[0].rpartition(".")[2].lower() not in _UTF8:
        return _as_bad_as(facts, f"{shown} is not UTF-8", remedy)
    if not found.is_known:
        return _as_bad_as(facts, f"{shown} is not installed, so programs take text for ASCII", remedy)
    return ok(shown)


def home(facts: Facts) -> Finding:
    """Whether there is a home folder to write in."""
    folder = facts.machine.home
    remedy = "Set HOME to a folder that this user may write in; package managers and Nx keep caches there."
    if folder is None:
        return problem("HOME is not set", remedy)
    return _usable(folder, "HOME", remedy)


def temp(facts: Facts) -> Finding:
    """Whether there is a folder for temporary files."""
    remedy = "Set TMPDIR to a folder that this user may write in."
    return _usable(facts.machine.temp, "the temp folder", remedy)


def space(facts: Facts) -> Finding:
    """Whether there is room for what jobs make."""
    machine = facts.machine
    folders = {"checkout": machine.build_folders[:1], "temp": (machine.temp,), "HOME": (machine.home,)}
    named = [(name, folder) for name, found in folders.items() for folder in found if folder is not None]
    known = [(name, folder) for name, folder in named if folder.free_bytes is not None]
    if not known:
        return not_checked("no file system says how much room it has")
    findings = [finding for name, folder in known for finding in _room(name, folder)]
    roomy = ", ".join(f"{name} {(folder.free_bytes or 0) / GIB:.1f} GiB" for name, folder in known)
    return combined(findings, otherwise=f"free: {roomy}")


def init(facts: Facts) -> Finding:
    """Whether somebody waits for processes whose parent has gone."""
    machine = facts.machine
    name = machine.init or "an unknown program"
    if machine.is_init:
        return not_checked("nx-dte is process 1 here; call it in a shell, as jobs do")
    if machine.is_reaping is None:
        return not_checked("no orphan could be made to see who waits for it")
    if not machine.is_reaping:
        return problem(
            f"process 1 ({name}) does not wait for orphans: each leaves a zombie, until no process can be started",
            "Start the container with an init: ENTRYPOINT tini in the image, or `init = true` under [runners.docker].",
        )
    return ok(f"orphans are waited for; process 1 is {name}")


def _usable(folder: FolderFact, name: str, remedy: str) -> Finding:
    if not folder.is_there:
        return problem(f"{name} {folder.path} is not there", remedy)
    if not folder.is_writable:
        why = f": {folder.problem}" if folder.problem else ""
        return problem(f"{name} {folder.path} cannot be written in{why}", remedy)
    return ok(f"{folder.path} is writable")


def _room(name: str, folder: FolderFact) -> list[Finding]:
    findings = []
    remedy = f"Make room on the file system of {folder.path}."
    if folder.free_bytes is not None and folder.free_bytes < _FEW_BYTES:
        found = f"only {folder.free_bytes / GIB:.2f} GiB are free for {name} ({folder.path})"
        is_bad = folder.free_bytes < _TOO_FEW_BYTES
        findings.append(problem(found, remedy) if is_bad else note(found, remedy))
    if folder.total_inodes and folder.free_inodes is not None and folder.free_inodes < _FEW_INODES:
        found = f"only {folder.free_inodes} inodes are free for {name} ({folder.path})"
        is_bad = folder.free_inodes < _TOO_FEW_INODES
        findings.append(problem(found, remedy) if is_bad else note(found, remedy))
    return findings


def _as_bad_as(facts: Facts, found: str, remedy: str) -> Finding:
    """Jobs can live without; an image must not be built like that."""
    return problem(found, remedy) if facts.role is Role.IMAGE else note(found, remedy)
