"""Collapsible sections of a GitLab job log; plain headlines where nobody folds them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SectionLog"]

_ERASE = "\x1b[0K"  # with the carriage return, it hides the marker on a terminal
_UNFIT = re.compile(r"[^a-zA-Z0-9_.-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
MAX_NAME = 80


class SectionLog:
    """Writes sections. Names are made fit and unique here; sections may stand inside one another."""

    def __init__(self, *, write: Callable[[str], object], now: Callable[[], float], is_gitlab: bool) -> None:
        """`write` gets text, `now` gives seconds since 1970; without `is_gitlab` only headlines are written."""
        self._write = write
        self._now = now
        self._is_gitlab = is_gitlab
        self._used: dict[str, int] = {}

    def start(
        self, name: str, header: str, *, is_collapsed: bool = False, began_at: float | None = None
    ) -> str:
        """Begin a section and say which name it got; `end` wants that name.

        GitLab shows how long a section took: from `began_at`, where that is earlier than now.
        """
        unique = self._unique(name)
        headline = _CONTROL.sub(" ", header)
        if not self._is_gitlab:
            self._write(f"{headline}\n")
            return unique
        options = "[collapsed=true]" if is_collapsed else ""
        self._write(
            f"{_ERASE}section_start:{int(self._now() if began_at is None else began_at)}:{unique}{options}\r{_ERASE}\x1b[1m{headline}\x1b[0m\n"
        )
        return unique

    def end(self, unique: str) -> None:
        """End the section that `start` gave this name."""
        if self._is_gitlab:
            self._write(f"{_ERASE}section_end:{int(self._now())}:{unique}\r{_ERASE}\n")

    @contextmanager
    def section(self, name: str, header: str, *, is_collapsed: bool = False) -> Iterator[None]:
        """A section around what is written inside; it ends whatever happens there."""
        unique = self.start(name, header, is_collapsed=is_collapsed)
        try:
            yield
        finally:
            self.end(unique)

    def _unique(self, name: str) -> str:
        fit = _UNFIT.sub("_", name).strip("_")[:MAX_NAME] or "section"
        seen = self._used.get(fit, 0)
        self._used[fit] = seen + 1
        return fit if seen == 0 else f"{fit}.{seen + 1}"
