"""Routes of bytes: artifacts and cache."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Request
from fastapi.responses import StreamingResponse

from nx_dte.coordinator.api.services import Caller, Services, upload_of
from nx_dte.model.ids import ArtifactId, CiRunId, LeaseId, TaskHash
from nx_dte.protocol import cache as wire
from nx_dte.protocol.base import ArtifactRef

router = APIRouter(prefix="/api/v1", tags=["artifacts and cache"])
ArtifactPath = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
HashPath = Annotated[str, Path(min_length=1, max_length=512)]


@router.put("/leases/{lease_id}/artifact")
async def put_lease_artifact(
    lease_id: str, request: Request, caller: Caller, services: Services
) -> ArtifactRef:
    """Upload the outputs of a task attempt."""
    upload = upload_of(request)
    artifact = await services.engine.storage.add_for_lease(caller, LeaseId(lease_id), upload)
    return ArtifactRef(artifact_id=artifact.artifact_id, size=artifact.size)


@router.put("/ci-runs/{ci_run_id}/artifacts")
async def put_run_artifact(
    ci_run_id: str, request: Request, caller: Caller, services: Services
) -> ArtifactRef:
    """Upload main's own local hit."""
    artifact = await services.engine.storage.add_for_run(caller, CiRunId(ci_run_id), upload_of(request))
    return ArtifactRef(artifact_id=artifact.artifact_id, size=artifact.size)


@router.get("/artifacts/{artifact_id}", response_class=StreamingResponse)
async def get_artifact(artifact_id: ArtifactPath, caller: Caller, services: Services) -> StreamingResponse:
    """Download an archive."""
    artifact = await services.engine.storage.artifact(caller.workspace_id, ArtifactId(artifact_id))
    return StreamingResponse(
        await services.engine.storage.stream(artifact),
        media_type="application/gzip",
        headers={"content-length": str(artifact.size), "nx-dte-digest": f"sha256:{artifact_id}"},
    )


@router.post("/cache/lookup")
async def lookup(body: wire.Lookup, caller: Caller, services: Services) -> wire.LookupAnswer:
    """Which of these hashes have an entry?"""
    ci_run_id = None if body.ci_run_id is None else CiRunId(body.ci_run_id)
    entries = await services.engine.cache.entries(caller, [TaskHash(item) for item in body.hashes], ci_run_id)
    requests = services.metrics.cache_requests_total
    for entry in entries.values():
        requests.labels(scope=entry.scope.value, result="hit").inc()
    requests.labels(scope="any", result="miss").inc(len(set(body.hashes)) - len(entries))
    return wire.LookupAnswer(
        entries={
            task_hash: wire.CacheEntryView(artifact_id=entry.artifact_id, size=entry.size, scope=entry.scope)
            for task_hash, entry in entries.items()
        }
    )


@router.put("/cache/{task_hash}")
async def put_cache_entry(
    task_hash: HashPath,
    request: Request,
    caller: Caller,
    services: Services,
    ci_run_id: Annotated[str | None, Header(alias="nx-dte-ci-run")] = None,
) -> wire.StoreAnswer:
    """Store a success; an existing entry stays."""
    run = None if ci_run_id is None else CiRunId(ci_run_id)
    stored, scope = await services.engine.cache.add(caller, TaskHash(task_hash), run, upload_of(request))
    return wire.StoreAnswer(stored=stored, scope=scope)
