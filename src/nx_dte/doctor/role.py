"""What is examined."""

from enum import StrEnum

__all__ = ["JOBS", "Role"]


class Role(StrEnum):
    """For what the place is meant where the doctor was called."""

    MAIN = "main"
    """The main job."""
    AGENT = "agent"
    """An agent job."""
    HOST = "host"
    """A machine that a GitLab runner is on."""
    IMAGE = "image"
    """The image of jobs, before there is any job."""

    @property
    def place(self) -> str:
        """The words for it."""
        return {
            Role.MAIN: "main job",
            Role.AGENT: "agent job",
            Role.HOST: "runner host",
            Role.IMAGE: "job image",
        }[self]


JOBS = frozenset({Role.MAIN, Role.AGENT})
