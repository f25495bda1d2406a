"""What an operator does beside a coordinator, or while none runs: tokens, backup, restore.

Like `app`, it wires concrete parts together; it starts no coordinator and never changes a schema.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import nx_dte
from nx_dte.coordinator import app, backup
from nx_dte.coordinator.auth import AuthService, StaticTokens
from nx_dte.coordinator.engine.tokens import StoredTokens
from nx_dte.coordinator.store.sql import dialect, embedded
from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.errors import ConfigurationError
from nx_dte.model.access import TokenAccess
from nx_dte.model.ids import TokenId, WorkspaceId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime, timedelta
    from typing import TypeVar

    from nx_dte.model.access import Token
    from nx_dte.settings import CoordinatorSettings

    T = TypeVar("T")


# --------------------------------------------------------------------------------------------- tokens
@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedToken:
    """A new token, at the only moment its secret can be seen."""

    token_id: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedToken:
    """A token without its secret."""

    token_id: str
    workspace: str
    access: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def token_create(
    settings: CoordinatorSettings, *, workspace: str, access: str, expires_in: timedelta | None
) -> CreatedToken:
    """Make a token for a workspace."""

    async def work(auth: AuthService) -> CreatedToken:
        made = await auth.create(
            workspace_id=WorkspaceId(workspace),
            access=TokenAccess(access),
            token_id=TokenId(app.new_id()),
            expires_in=expires_in,
        )
        return CreatedToken(token_id=made.token_id, secret=made.token)

    return _with_auth(settings, work)


def token_list(settings: CoordinatorSettings) -> list[ListedToken]:
    """All stored tokens; those of the settings are not among them."""

    def listed(token: Token) -> ListedToken:
        return ListedToken(
            token_id=token.token_id,
            workspace=token.workspace_id,
            access=token.access.value,
            created_at=token.created_at,
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
        )

    async def work(auth: AuthService) -> list[ListedToken]:
        return [listed(token) for token in await auth.list_all()]

    return _with_auth(settings, work)


def token_revoke(settings: CoordinatorSettings, *, token_id: str) -> None:
    """Revoke a token; a running coordinator follows within seconds.

    Raises:
        ConfigurationError: there is no token of this id.
    """

    async def work(auth: AuthService) -> bool:
        return await auth.revoke(TokenId(token_id))

    if not _with_auth(settings, work):
        raise ConfigurationError(
            f"there is no token {token_id}; `nx-dte coordinator token list` shows those there are"
        )


def _with_auth(settings: CoordinatorSettings, work: Callable[[AuthService], Awaitable[T]]) -> T:
    """Run an administrator's command on the store, beside a coordinator or without one."""

    async def run() -> T:
        _database_file(settings)
        store = SqlStore(settings.database)
        try:
            if lacking := await asyncio.to_thread(store.pending_migrations):
                raise ConfigurationError(
                    f"the database lacks {lacking} schema changes of nx-dte {nx_dte.__version__}; start this version's "
                    "coordinator once, or use the version that runs"
                )
            auth = AuthService(
                static=StaticTokens({}),
                repository=StoredTokens(store),
                now=app.now,
                monotonic=asyncio.get_running_loop().time,
            )
            return await work(auth)
        finally:
            await asyncio.to_thread(store.close)

    return asyncio.run(run())


def _database_file(settings: CoordinatorSettings) -> Path | None:
    """The embedded database, which must be there; None for a server's."""
    url = dialect.parse_url(settings.database)
    if not dialect.is_embedded(url):
        return None
    file = Path(str(url.database)).resolve()
    if not file.is_file():
        raise ConfigurationError(
            f"there is no coordinator database {file}; name the coordinator's data folder with --data-dir, "
            "or start the coordinator once"
        )
    return file


# --------------------------------------------------------------------------------- backup and restore
TOOLS = backup.DatabaseTools(copy=embedded.copy_database, read=embedded.read_contents)


def make_backup(settings: CoordinatorSettings, folder: Path) -> backup.Manifest:
    """Back up the embedded store into a new folder, while its coordinator runs or not.

    Raises:
        ConfigurationError: there is no embedded database.
        BackupError: it cannot be read, or the folder not be written.
    """
    database = _database_file(settings)
    if database is None:
        raise _is_a_server(
            "back it up with pg_dump, and the object store or artifacts folder by its own means"
        )
    return backup.make_backup(
        folder.absolute(), _places(settings, database), TOOLS, version=nx_dte.__version__, now=app.now()
    )


def restore_backup(settings: CoordinatorSettings, folder: Path) -> backup.Manifest:
    """Put a backup into an empty data folder.

    Raises:
        ConfigurationError: a coordinator runs on the data folder, or the settings name a database server.
        BackupError: the backup is not whole, or something is there already.
    """
    url = dialect.parse_url(settings.database)
    if not dialect.is_embedded(url):
        raise _is_a_server("restore it with pg_restore or psql")
    with app.data_folder(settings.data_dir):
        places = _places(settings, Path(str(url.database)).resolve())
        return backup.restore_backup(folder.absolute(), places, TOOLS)


def _is_a_server(instead: str) -> ConfigurationError:
    return ConfigurationError(
        f"this command is for the embedded database, and database_url names a server: {instead} (docs/operations.md)"
    )


def _places(settings: CoordinatorSettings, database: Path) -> backup.Places:
    objects: Path | None = settings.data_dir.absolute() / "artifacts" / "objects"
    if settings.artifacts_url is not None:
        url = urlsplit(settings.artifacts_url)
        objects = Path(unquote(url.path)) if url.scheme == "file" else None
    return backup.Places(database=database, tokens=settings.data_dir.absolute() / "tokens", objects=objects)
