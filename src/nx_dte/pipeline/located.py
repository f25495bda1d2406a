"""YAML that remembers where each key and each list item stood, and GitLab's `!reference`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CiFileError", "LocatedDict", "LocatedList", "Place", "Reference", "load", "merged"]

MAX_CHARACTERS = 2_000_000


class CiFileError(ConfigurationError):
    """A pipeline's file cannot be read."""

    code = "ci_file_unreadable"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file."""

    file: str
    line: int
    """From 1."""


class LocatedDict(dict[str, Any]):
    """A mapping; `places` has the place of each key."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, Place] = {}

    def put(self, key: str, value: Any, place: Place | None) -> None:
        """Set a key, and where it stands."""
        self[key] = value
        if place is not None:
            self.places[key] = place


class LocatedList(list[Any]):
    """A list; `places` has the place of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[Place] = []

    def add(self, value: Any, place: Place) -> None:
        """Append an item, and where it stands."""
        self.append(value)
        self.places.append(place)


@dataclass(frozen=True, slots=True)
class Reference:
    """`!reference [job, key, …]`, not followed yet."""

    path: tuple[str, ...]
    place: Place


class _Loader(yaml.SafeLoader):
    """SafeLoader that keeps places; a class of its own, because constructors are kept on the class."""

    file = ""

    def place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Iterator[LocatedDict]:
    made = LocatedDict()
    yield made
    loader.flatten_mapping(node)
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise CiFileError(f"{loader.file}:{loader.place(key_node).line}: a key must be one word or text")
        # As it is written: `on`, `1` and `null` are names here.
        made.put(str(key_node.value), loader.construct_object(value_node), loader.place(key_node))


def _sequence(loader: _Loader, node: yaml.SequenceNode) -> Iterator[LocatedList]:
    made = LocatedList()
    yield made
    for item in node.value:
        made.add(loader.construct_object(item), loader.place(item))


def _reference(loader: _Loader, node: yaml.Node) -> Reference:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise CiFileError(
            f"{loader.file}:{loader.place(node).line}: !reference needs a list, like [.job, script]"
        )
    return Reference(tuple(str(part.value) for part in node.value), loader.place(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _sequence)
_Loader.add_constructor("!reference", _reference)


def _fault(error: Exception) -> str:
    """What a parser says, on one line and without the name it has for a text in memory."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        words = ", ".join(part for part in (error.context, error.problem) if part)
        return f"line {error.problem_mark.line + 1}: {words}"
    return " ".join(str(error).replace('in "<unicode string>", ', "at ").split())


def load(text: str, file: str) -> LocatedDict:
    """The mapping that a file holds; of two documents the second, because GitLab's `spec:` header is the first.

    Raises:
        CiFileError: it is no YAML, or no mapping.
    """
    if len(text) > MAX_CHARACTERS:
        raise CiFileError(f"{file} is larger than {MAX_CHARACTERS} characters, so it is no pipeline's file")

    def make_loader(stream: str) -> _Loader:
        loader = _Loader(stream)
        loader.file = file
        return loader

    try:
        loader = make_loader(text)
        documents = []
        while loader.check_data():  # type: ignore[no-untyped-call]  # so is its stub
            documents.append(loader.get_data())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CiFileError(f"{file} is no YAML that GitLab would read: {_fault(error)}") from error
    if not documents:
        return LocatedDict()
    if not isinstance(documents[-1], LocatedDict):
        raise CiFileError(f"{file} is no pipeline's file: its top level is no mapping of jobs and keywords")
    return documents[-1]


def merged(base: LocatedDict, over: LocatedDict) -> LocatedDict:
    """Both, as GitLab merges included files and `extends`: mappings key by key, anything else is replaced."""
    made = LocatedDict()
    for source in (base, over):
        for key, value in source.items():
            known = made.get(key)
            if isinstance(known, LocatedDict) and isinstance(value, LocatedDict):
                made.put(key, merged(known, value), source.places.get(key))
            else:
                made.put(key, value, source.places.get(key))
    return made
