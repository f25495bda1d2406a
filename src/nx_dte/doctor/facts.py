"""What was found out, as values. Nothing here judges; None stands for what could not be found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nx_dte.client import CloudEnvironment, Probe
    from nx_dte.doctor.role import Role
    from nx_dte.nx_commands import NxCheckout, Runner

__all__ = [
    "CertificateFact",
    "CheckoutFacts",
    "CoordinatorFacts",
    "EngineFact",
    "Facts",
    "FolderFact",
    "LoaderFact",
    "LocaleFact",
    "MachineFacts",
    "Program",
    "TokenFact",
    "WorkspaceFacts",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that is or is not on PATH."""

    name: str
    path: str | None = None
    """None: it is not there."""
    version: str | None = None
    """As it says it, digits and dots only."""
    problem: str | None = None
    """Why it does not say its version."""
    is_late: bool = False
    """Its time was over before it could say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutFacts:
    """A git checkout, as git itself sees it in this job."""

    root: Path
    problem: str | None = None
    """Why git does not work in it, in git's words."""
    owner_uid: int | None = None
    head: str | None = None
    is_shallow: bool | None = None
    commits: int | None = None
    """In a shallow clone: how many of head's history there are."""
    changed_files: int | None = None
    """Tracked files that differ from head."""
    is_origin_asked: bool = False
    origin_problem: str | None = None

    @property
    def is_dubious(self) -> bool:
        """Whether git refuses because of the folder's owner."""
        return self.problem is not None and "dubious ownership" in self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceFacts:
    """An Nx workspace."""

    root: Path
    usable: NxCheckout | None = field(default=None, repr=False)
    """As nx-dte's own commands see it; None where they refuse to work."""
    manager: Runner | None = None
    """Which package manager the lock file is of."""
    named_manager: str | None = None
    """What package.json names, as `yarn@4.5.0`."""
    brings_yarn: bool = False
    """Whether the repository holds the yarn to be used."""
    problem: str | None = None
    """Why they refuse."""
    nx_version: str | None = None
    nx_cloud_package: Path | None = None
    """Where the npm package nx-cloud is installed. Only its folder is looked for."""
    names_nx_cloud: bool = False
    """Whether package.json wants that package."""
    nx_json: Mapping[str, Any] = field(default_factory=dict, repr=False)
    nx_json_problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderFact:
    """How the two requests of Nx's own loader went."""

    verify_s: float
    problem: str | None = None
    bundle_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFact:
    """What a coordinator of ours answers when it is asked for this pipeline's CI run with the job's token."""

    status: int | None = None
    """The HTTP status; None: no answer."""
    words: str = ""
    ci_run_id: str | None = None
    attempt: int | None = None
    workspace: str | None = None
    access: str | None = None
    """Of the token that opened the CI run. Nothing tells a token's own access."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorFacts:
    """Who answers at NX_CLOUD_API, and how. Everything is None where nobody was asked."""

    probe: Probe | None = None
    loader: LoaderFact | None = None
    token: TokenFact | None = None
    clock_skew_s: float | None = None
    """How far the coordinator's clock is ahead of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFact:
    """A folder, as this user may use it."""

    path: Path
    is_there: bool = True
    is_writable: bool = True
    owner_uid: int | None = None
    mode: int | None = None
    free_bytes: int | None = None
    free_inodes: int | None = None
    """None too where the file system does not count them."""
    total_inodes: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocaleFact:
    """The locale for characters: who sets it, to what, and whether the C library knows it."""

    variable: str | None = None
    value: str = ""
    is_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFact:
    """A file of certificates that a variable names."""

    variable: str
    path: str
    count: int = 0
    expired: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFact:
    """The container engine."""

    address: str
    has_socket: bool | None = None
    """None: it is not reached by a socket file."""
    version: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """The machine or container, and who we are on it."""

    uid: int
    temp: FolderFact
    init: str | None = None
    """The name of process 1."""
    is_init: bool = False
    """Whether nx-dte itself is process 1, as in `docker run IMAGE nx-dte doctor`."""
    is_reaping: bool | None = None
    """Whether orphans that have ended are waited for by whoever adopts them."""
    umask: int | None = None
    home: FolderFact | None = None
    """None: HOME is not set."""
    build_folders: tuple[FolderFact, ...] = ()
    """The checkout and what a job must be able to write in and beside it, as far as it is there."""
    locale: LocaleFact = field(default_factory=LocaleFact)
    certificates: tuple[CertificateFact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the checks may look at."""

    role: Role
    directory: Path
    environ: Mapping[str, str] = field(repr=False)
    """The job's, with what nx.json says of address and token where the job says nothing."""
    cloud: CloudEnvironment
    python: tuple[int, int, int]
    machine: MachineFacts
    programs: Mapping[str, Program] = field(default_factory=dict)
    """By name; those that were looked for."""
    checkout: CheckoutFacts | None = None
    """None: the directory is in no git checkout."""
    workspace: WorkspaceFacts | None = None
    """None: the directory is in no Nx workspace."""
    coordinator: CoordinatorFacts = field(default_factory=CoordinatorFacts)
    engine: EngineFact | None = None
    """Looked for on hosts only."""
    trusted_checkouts: tuple[str, ...] | None = None
    """git's safe.directory, of the system and this user; looked for in images only."""

    def is_set(self, name: str) -> bool:
        """Whether a variable has a value."""
        return bool(self.environ.get(name, "").strip())
