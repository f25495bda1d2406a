"""The composition root: the only place that knows every concrete part and wires them together."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from ulid import ULID

import nx_dte
from nx_dte.coordinator.api.application import build_api, build_metrics_app
from nx_dte.coordinator.api.services import ApiServices
from nx_dte.coordinator.api.serving import serve_until_told
from nx_dte.coordinator.artifacts import ArtifactService, inspect_archive, open_blob_store
from nx_dte.coordinator.auth import AuthService, StaticTokens, read_or_make
from nx_dte.coordinator.engine.service import Engine
from nx_dte.coordinator.engine.tokens import StoredTokens
from nx_dte.coordinator.scheduler.context import Limits
from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.errors import ConfigurationError
from nx_dte.light_client import pack_bundle
from nx_dte.model.access import TokenAccess
from nx_dte.model.ids import TokenId, WorkspaceId
from nx_dte.protocol import PROTOCOL_VERSION
from nx_dte.telemetry import Metrics, configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from datetime import timedelta
    from pathlib import Path
    from typing import TypeVar

    from pydantic import SecretStr

    from nx_dte.model.access import Token
    from nx_dte.settings import CoordinatorSettings

    T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger("nx_dte.app")


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(ULID())


def serve(settings: CoordinatorSettings) -> None:
    """Run a coordinator until SIGTERM or SIGINT; says on stdout where it listens."""
    configure_logging(settings.log_level)
    asyncio.run(_serve(settings))


async def _serve(settings: CoordinatorSettings) -> None:
    async with running(settings) as services:
        await serve_until_told(
            settings,
            api=build_api(services),
            metrics=build_metrics_app(services),
            on_stop=services.engine.notifier.close,
        )


@asynccontextmanager
async def running(settings: CoordinatorSettings) -> AsyncIterator[ApiServices]:
    """Everything but the listeners: store migrated, deadlines fresh, reaper at work."""
    with _data_folder(settings.data_dir):
        static, made = _static_tokens(settings)
        for file in made:
            print(f"nx-dte coordinator made a token for workspace default in {file}", flush=True)  # noqa: T201
        store = SqlStore(settings.database)
        try:
            await asyncio.to_thread(store.migrate)
            services = _wire(settings, store, static)
            leftovers = services.artifacts.start()
            refreshed = await services.engine.reaper.start_over()
            log.info(
                "started",
                version=nx_dte.__version__,
                leftovers_removed=leftovers,
                deadlines_renewed=refreshed,
            )
            reaping = asyncio.create_task(services.engine.reaper.run_forever())
            try:
                yield services
            finally:
                services.engine.notifier.close()
                reaping.cancel()
                await asyncio.gather(reaping, return_exceptions=True)
        finally:
            await asyncio.to_thread(store.close)
            log.info("stopped")


def _wire(settings: CoordinatorSettings, store: SqlStore, static: StaticTokens) -> ApiServices:
    metrics = Metrics(version=nx_dte.__version__, protocol=PROTOCOL_VERSION)
    artifacts_folder = settings.data_dir / "artifacts"
    artifacts = ArtifactService(
        blobs=open_blob_store(settings.artifacts_url, artifacts_folder / "objects"),
        staging=artifacts_folder / "staging",
        max_bytes=settings.artifact_max_bytes,
        new_name=_new_id,
        inspect=inspect_archive,
    )
    engine = Engine(
        store=store,
        artifacts=artifacts,
        metrics=metrics,
        limits=Limits(
            lease_s=settings.lease_s,
            heartbeat_s=settings.heartbeat_s,
            main_silence_s=settings.main_silence_s,
            explicit_completion_s=settings.explicit_completion_s,
            max_lost_attempts=settings.max_lost_attempts,
            max_attempts=settings.max_attempts,
        ),
        now=_now,
        new_id=_new_id,
        reap_interval_s=settings.reap_interval_s,
    )
    auth = AuthService(
        static=static,
        repository=StoredTokens(store),
        now=_now,
        monotonic=asyncio.get_running_loop().time,
        count=lambda decision, reason: metrics.auth_decisions_total.labels(
            decision=decision, reason=reason
        ).inc(),
    )
    return ApiServices(
        settings=settings,
        engine=engine,
        artifacts=artifacts,
        auth=auth,
        metrics=metrics,
        bundle=pack_bundle(),
    )


def _static_tokens(settings: CoordinatorSettings) -> tuple[StaticTokens, list[Path]]:
    def plain(secret: SecretStr | None) -> str | None:
        return None if secret is None else secret.get_secret_value()

    return read_or_make(
        values={
            TokenAccess.READ_WRITE: plain(settings.read_write_token),
            TokenAccess.READ_ONLY: plain(settings.read_only_token),
        },
        files={
            TokenAccess.READ_WRITE: settings.read_write_token_file,
            TokenAccess.READ_ONLY: settings.read_only_token_file,
        },
        folder=settings.data_dir / "tokens",
    )


@contextmanager
def _data_folder(folder: Path) -> Iterator[None]:
    """Make the data folder and keep it to ourselves: a second coordinator would sweep our uploads away."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {folder} cannot be used: {error.strerror}; set --data-dir"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigurationError(
            f"another coordinator uses the data folder {folder}; stop it, or set another --data-dir"
        ) from error
    else:
        yield
    finally:
        os.close(descriptor)


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
            token_id=TokenId(_new_id()),
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
        store = SqlStore(settings.database)
        try:
            await asyncio.to_thread(store.migrate)
            loop = asyncio.get_running_loop()
            repository = StoredTokens(store)
            return await work(
                AuthService(static=StaticTokens({}), repository=repository, now=_now, monotonic=loop.time)
            )
        finally:
            await asyncio.to_thread(store.close)

    return asyncio.run(run())
