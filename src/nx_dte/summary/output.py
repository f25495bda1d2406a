"""What a task printed, made fit for a summary. Pure."""

from __future__ import annotations

import re

__all__ = ["first_error_line", "plain_text", "tail"]

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_ERROR = re.compile(
    r"\berror\b|\bfail(?:ed|s)?\b|\bfailures?\b|\bexception\b|\bassert|[A-Za-z]Error\b|[✖✗✘●]", re.IGNORECASE
)
_BOILERPLATE = re.compile(r"^(?:> |\$ |yarn run |npm (?:ERR|error)! )|\b0 (?:errors?|fail)", re.IGNORECASE)
MAX_LINE = 200


def plain_text(output: str) -> str:
    """Without colours, cursor moves and whatever XML may not hold."""
    text = _ESCAPES.sub("", output).replace("\r\n", "\n").replace("\r", "\n")
    return _UNFIT.sub("", text)


def first_error_line(output: str) -> str:
    """The line that most likely says why: the first that speaks of an error, else the last that says anything."""
    lines = [line.strip() for line in plain_text(output).splitlines() if line.strip()]
    chosen = next((line for line in lines if _ERROR.search(line) and not _BOILERPLATE.search(line)), "")
    if not chosen and lines:
        chosen = lines[-1]
    return chosen if len(chosen) <= MAX_LINE else f"{chosen[: MAX_LINE - 1]}…"


def tail(output: str, *, lines: int) -> str:
    """The last lines, with a note when there were more."""
    all_lines = plain_text(output).rstrip("\n").split("\n")
    if len(all_lines) <= lines:
        return "\n".join(all_lines)
    return "\n".join([f"[{len(all_lines) - lines + 1} lines before]", *all_lines[-(lines - 1) :]])
