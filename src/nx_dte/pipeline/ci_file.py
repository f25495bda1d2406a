"""A `.gitlab-ci.yml` with everything put in its place: local includes, `!reference`, `extends`, `default`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nx_dte.pipeline.ci_job import CiJob
from nx_dte.pipeline.located import CiFileError, LocatedDict, LocatedList, Place, Reference, load, merged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CiFile", "Missing", "read"]

DEFAULT_STAGES = ("build", "test", "deploy")
MAX_DEPTH = 11
"""Of `extends` and includes, as GitLab has it; of references somewhat less than ours."""
MAX_VALUES = 300_000
"""Anchors of anchors can make any number of a few lines."""
_KEYWORDS = frozenset({"default", "stages", "variables", "workflow", "include", "spec", "types"})
# Deprecated at the top level, but the recipe and many pipelines have them there.
_OLD_DEFAULTS = ("after_script", "before_script", "cache", "image", "services")
_INHERITABLE = (
    *_OLD_DEFAULTS,
    "artifacts",
    "hooks",
    "id_tokens",
    "interruptible",
    "retry",
    "tags",
    "timeout",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Something the file names that is not there, or was not read."""

    what: str
    place: Place
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CiFile:
    """What GitLab makes of the file."""

    name: str
    """As it was given."""
    jobs: tuple[CiJob, ...]
    """The visible ones, in the order of the file."""
    stages: tuple[str, ...]
    has_workflow_rules: bool
    unread: tuple[Missing, ...] = ()
    """Includes that are elsewhere: what they hold is not known."""
    unknown: tuple[Missing, ...] = ()
    """Names in `extends` and `!reference` that nothing has."""

    @property
    def is_whole(self) -> bool:
        """Whether what is not in it is not there at all."""
        return not self.unread


def read(file: Path, *, text: str | None = None) -> CiFile:
    """Read a file and its local includes; `text` stands for what is in it.

    Raises:
        CiFileError: it cannot be read, or GitLab could not.
    """
    reader = _Reader(file)
    try:
        document = reader.document(file, text if text is not None else _text_of(file))
        return reader.resolved(document)
    except RecursionError as error:
        raise CiFileError(f"{file} refers to itself") from error


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise CiFileError(f"{file} cannot be read: {reason}") from error


class _Reader:
    """One reading: what is missing on the way is collected."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._root = _repository_of(file)
        self._count = 0
        self._unread: list[Missing] = []
        self._unknown: list[Missing] = []

    # ------------------------------------------------------------------------------------ includes
    def document(self, file: Path, text: str, depth: int = 0) -> LocatedDict:
        """The file over everything it includes."""
        own = load(text, str(file))
        made = LocatedDict()
        for entry, place in _items(own.get("include"), own.places.get("include") or Place(str(file), 1)):
            for included in self._included(entry, place, depth):
                made = merged(made, included)
        return merged(made, own)

    def _included(self, entry: Any, place: Place, depth: int) -> Iterator[LocatedDict]:
        local = entry.get("local") if isinstance(entry, dict) else entry
        if not isinstance(local, str) or "://" in local or "$" in local:
            self._unread.append(Missing(what=_name_of(entry), place=place))
            return
        if depth >= MAX_DEPTH:
            raise CiFileError(f"{place.file}:{place.line}: includes are nested too deeply, or in a circle")
        pattern = local.lstrip("/")
        found = sorted(self._root.glob(pattern)) if pattern and ".." not in pattern.split("/") else []
        files = [path for path in found if path.is_file()]
        if not files:
            self._unread.append(Missing(what=f"{local} (not found below {self._root})", place=place))
        for path in files:
            yield self.document(path, _text_of(path), depth + 1)

    # ------------------------------------------------------------------------------------ references, extends
    def resolved(self, document: LocatedDict) -> CiFile:
        """References first, then `extends`, then defaults: GitLab's order."""
        known: LocatedDict = self._followed(document, document, 0)
        default = LocatedDict()
        for key in _OLD_DEFAULTS:
            if key in known:
                default.put(key, known[key], known.places.get(key))
        if isinstance(known.get("default"), LocatedDict):
            default = merged(default, known["default"])
        variables = known.get("variables")
        shared = variables if isinstance(variables, LocatedDict) else LocatedDict()
        workflow = known.get("workflow")
        stages = known.get("stages")
        names = tuple(str(stage) for stage in stages) if isinstance(stages, list) else DEFAULT_STAGES
        jobs = {name: value for name, value in known.items() if _is_job(name, value)}
        return CiFile(
            name=str(self._file),
            jobs=tuple(
                CiJob(
                    name=name,
                    place=known.places.get(name, Place("", 1)),
                    body=_with_defaults(self._extended(name, jobs, 0), default),
                    shared_variables=shared,
                )
                for name in jobs
                if not name.startswith(".")
            ),
            stages=(".pre", *(name for name in names if name not in {".pre", ".post"}), ".post"),
            has_workflow_rules=isinstance(workflow, dict) and workflow.get("rules") is not None,
            unread=tuple(self._unread),
            unknown=tuple(dict.fromkeys(self._unknown)),
        )

    def _followed(self, value: Any, document: LocatedDict, depth: int) -> Any:
        if depth > MAX_DEPTH * 4:
            raise CiFileError(f"{self._file}: !reference and lists are nested too deeply, or in a circle")
        self._count += 1
        if self._count > MAX_VALUES:
            raise CiFileError(
                f"{self._file} comes to more than {MAX_VALUES} values once its anchors and references are followed, so it is "
                "no pipeline's file"
            )
        if isinstance(value, Reference):
            return self._followed(self._target(value, document), document, depth + 1)
        if isinstance(value, LocatedDict):
            made = LocatedDict()
            for key, item in value.items():
                made.put(key, self._followed(item, document, depth + 1), value.places.get(key))
            return made
        if not isinstance(value, LocatedList):
            return value
        items = LocatedList()
        for item, place in zip(value, value.places, strict=True):
            followed = self._followed(item, document, depth + 1)
            # A reference to a list inside a list is that list's items.
            if isinstance(item, Reference) and isinstance(followed, LocatedList):
                for each, where in zip(followed, followed.places, strict=True):
                    items.add(each, where)
            else:
                items.add(followed, place)
        return items

    def _target(self, reference: Reference, document: LocatedDict) -> Any:
        found: Any = document
        for part in reference.path:
            if not isinstance(found, dict) or part not in found:
                what = f"!reference [{', '.join(reference.path)}]"
                self._unknown.append(Missing(what=what, place=reference.place))
                return None
            found = found[part]
        return found

    def _extended(self, name: str, jobs: dict[str, LocatedDict], depth: int) -> LocatedDict:
        job = jobs[name]
        place = job.places.get("extends", Place("", 1))
        if depth > MAX_DEPTH:
            raise CiFileError(f"{place.file}:{place.line}: `extends` is nested too deeply, or in a circle")
        made = LocatedDict()
        for parent, _ in _items(job.get("extends"), place):
            if str(parent) in jobs:
                made = merged(made, self._extended(str(parent), jobs, depth + 1))
            else:
                self._unknown.append(Missing(what=f"extends: {parent}", place=place, jobs=(name,)))
        return merged(made, job)


def _is_job(name: str, value: Any) -> bool:
    return name not in _KEYWORDS and name not in _OLD_DEFAULTS and isinstance(value, LocatedDict)


def _with_defaults(job: LocatedDict, default: LocatedDict) -> LocatedDict:
    inherit = job.get("inherit")
    wanted = inherit.get("default", True) if isinstance(inherit, dict) else True
    made = LocatedDict()
    for key in _INHERITABLE:
        if key in default and (wanted is True or (isinstance(wanted, list) and key in wanted)):
            made.put(key, default[key], default.places.get(key))
    for key, value in job.items():
        made.put(key, value, job.places.get(key))
    return made


def _items(value: Any, place: Place) -> Iterator[tuple[Any, Place]]:
    """One or several, as GitLab allows both."""
    if isinstance(value, LocatedList):
        yield from zip(value, value.places, strict=True)
    elif value is not None:
        yield value, place


def _name_of(entry: Any) -> str:
    if isinstance(entry, dict):
        return ", ".join(f"{key}: {value}" for key, value in entry.items() if isinstance(value, str))
    return re.sub(r"\s+", " ", str(entry))


def _repository_of(file: Path) -> Path:
    """Where `include:local` looks from."""
    folder = file.resolve().parent
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)
