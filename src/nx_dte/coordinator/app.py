"""The composition root: the only place that knows every concrete part and wires them together."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from ulid import ULID

import nx_dte
from nx_dte.coordinator.api.application import build_api, build_metrics_app
from nx_dte.coordinator.api.services import ApiServices
from nx_dte.coordinator.api.serving import Applications, serve_until_told
from nx_dte.coordinator.api.traffic import Traffic
from nx_dte.coordinator.artifacts import ArtifactService, inspect_archive, open_blob_store
from nx_dte.coordinator.artifacts.staging import space_errors
from nx_dte.coordinator.auth import AuthService, StaticTokens, read_or_make
from nx_dte.coordinator.engine.clock import Clock
from nx_dte.coordinator.engine.gauges import Gauges
from nx_dte.coordinator.engine.service import Engine
from nx_dte.coordinator.engine.storage import Keeping
from nx_dte.coordinator.engine.tokens import StoredTokens
from nx_dte.coordinator.retention import Policy, Retention, Room
from nx_dte.coordinator.scheduler.context import Limits
from nx_dte.coordinator.store.sql.reach import migrate_when_reachable
from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.errors import ConfigurationError
from nx_dte.light_client import pack_bundle
from nx_dte.model.access import TokenAccess
from nx_dte.protocol import PROTOCOL_VERSION
from nx_dte.telemetry import Metrics, configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from pydantic import SecretStr

    from nx_dte.settings import CoordinatorSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger("nx_dte.app")


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A new ULID."""
    return str(ULID())


def serve(settings: CoordinatorSettings) -> None:
    """Run a coordinator until SIGTERM or SIGINT; says on stdout where it listens."""
    configure_logging(settings.log_level)
    asyncio.run(_serve(settings))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - for whoever started it; the log is for whoever supervises it


async def _serve(settings: CoordinatorSettings) -> None:
    async with running(settings) as services:
        await serve_until_told(
            settings,
            Applications(
                api=build_api(services),
                metrics=build_metrics_app(services),
                traffic=services.traffic,
                on_stop=services.engine.notifier.close,
            ),
        )


@asynccontextmanager
async def running(settings: CoordinatorSettings) -> AsyncIterator[ApiServices]:
    """Everything but the listeners: store migrated, deadlines fresh, reaper at work."""
    with data_folder(settings.data_dir):
        with usable(settings.data_dir):
            store = SqlStore(settings.database)  # first: nothing is made for a URL that cannot be used
        try:
            with usable(settings.data_dir):
                static, made = _static_tokens(settings)
                for file in made:
                    _say(f"nx-dte coordinator made a token for workspace default in {file}")
                await migrate_when_reachable(store, wait_s=settings.database_wait_s, say=_say)
                services = _wire(settings, store, static)
                leftovers = services.artifacts.start()
            away = await services.engine.reaper.start_over()
            log.info(
                "started",
                version=nx_dte.__version__,
                leftovers_removed=leftovers,
                deadlines_moved_s=away.total_seconds(),
            )
            at_work = [
                asyncio.create_task(services.engine.reaper.run_forever()),
                asyncio.create_task(services.retention.run_forever()),
            ]
            try:
                yield services
            finally:
                services.engine.notifier.close()
                for task in at_work:
                    task.cancel()
                await asyncio.gather(*at_work, return_exceptions=True)
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
        new_name=new_id,
        inspect=inspect_archive,
    )
    clock = Clock(wall=now, monotonic=time.monotonic)
    retention = _retention(settings, store, artifacts, metrics, clock)
    engine = Engine(
        store=store,
        keeping=Keeping(artifacts=artifacts, room=Room(retention), touch_every=retention.policy.touch_every),
        metrics=metrics,
        limits=Limits(
            lease_s=settings.lease_s,
            heartbeat_s=settings.heartbeat_s,
            main_silence_s=settings.main_silence_s,
            explicit_completion_s=settings.explicit_completion_s,
            max_lost_attempts=settings.max_lost_attempts,
            max_attempts=settings.max_attempts,
            slow_task_factor=settings.slow_task_factor,
            slow_task_extra_s=settings.slow_task_extra_s,
            slow_task_unknown_s=settings.slow_task_unknown_s,
        ),
        clock=clock,
        new_id=new_id,
        reap_interval_s=settings.reap_interval_s,
    )
    auth = AuthService(
        static=static,
        repository=StoredTokens(store),
        now=clock.now,
        monotonic=asyncio.get_running_loop().time,
        count=lambda decision, reason: metrics.auth_decisions_total.labels(
            decision=decision, reason=reason
        ).inc(),
    )
    return ApiServices(
        settings=settings,
        engine=engine,
        artifacts=artifacts,
        retention=retention,
        auth=auth,
        metrics=metrics,
        gauges=Gauges(
            metrics=metrics,
            counts=engine.queries.counts,
            data_dir=settings.data_dir,
            monotonic=asyncio.get_running_loop().time,
        ),
        traffic=Traffic(metrics),
        bundle=pack_bundle(),
    )


def _retention(
    settings: CoordinatorSettings,
    store: SqlStore,
    artifacts: ArtifactService,
    metrics: Metrics,
    clock: Clock,
) -> Retention:
    policy = Policy(
        keep_runs=timedelta(seconds=settings.run_retention_s),
        keep_cache_entries=timedelta(seconds=settings.cache_retention_s),
        grace=timedelta(seconds=settings.retention_grace_s),
        max_bytes=settings.artifacts_total_max_bytes,
    )
    metrics.artifact_store_limit_bytes.set(policy.max_bytes)
    return Retention(
        store=store,
        artifacts=artifacts,
        metrics=metrics,
        policy=policy,
        interval_s=settings.retention_interval_s,
        now=clock.now,
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
def usable(folder: Path) -> Iterator[None]:
    """Say in our words what the data folder's disk does not let us do at the start.

    Raises:
        NoSpaceError: it is full.
        ConfigurationError: anything else.
    """
    try:
        with space_errors():
            yield
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or folder} cannot be used: {error.strerror}; correct what is there, or set another --data-dir"
        ) from error


@contextmanager
def data_folder(folder: Path) -> Iterator[None]:
    """Make the data folder and keep it to ourselves: a second coordinator would sweep our uploads away."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {folder} cannot be used: {error.strerror}; let user {os.getuid()} write there, or set --data-dir"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise ConfigurationError(
                f"the data folder {folder} cannot be locked: {error.strerror}; use a local disk"
            ) from error
        raise ConfigurationError(
            f"another coordinator uses the data folder {folder}; stop it, or set another --data-dir"
        ) from error
    else:
        yield
    finally:
        os.close(descriptor)
