"""Runners as people and scripts manage them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tests.support.gitlab.api.access import caller, instance_of, parameters, tags_of, truth
from tests.support.gitlab.api.paging import page_of
from tests.support.gitlab.errors import ApiError, not_found
from tests.support.gitlab.records import Runner
from tests.support.gitlab.views import contact_status, runner_details, runner_view, time

if TYPE_CHECKING:
    from tests.support.gitlab.instance import Instance

__all__ = ["router"]

router = APIRouter(prefix="/api/v4")

_TYPES = {"instance_type", "group_type", "project_type"}
_ACCESS_LEVELS = {"not_protected", "ref_protected"}
_MIN_TIMEOUT_S = 600


@router.post("/user/runners", status_code=201)
async def create(request: Request) -> JSONResponse:
    """A new runner; the only time its token is shown."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("create_runner")
        kind = values.get("runner_type")
        if kind not in _TYPES:
            raise ApiError(400, "runner_type does not have a valid value")
        runner = Runner(id=0, token="", runner_type=str(kind), created_at=instance.now())
        instance.give_token(runner)
        _place(instance, runner, values)
        _change(runner, values)
        if not runner.tag_list and "run_untagged" not in values:
            runner.run_untagged = True
        _check_tags(runner)
        runner.id = instance.next_id("runner")
        instance.runners[runner.id] = runner
        return JSONResponse(
            {"id": runner.id, "token": runner.token, "token_expires_at": time(runner.token_expires_at)},
            status_code=201,
        )


@router.get("/runners")
@router.get("/runners/all")
async def index(request: Request) -> Response:
    """All runners, filtered by type, paused, status, tags."""
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("read_api")
        return page_of(
            request, _filtered(instance, list(instance.runners.values()), dict(request.query_params))
        )


@router.get("/projects/{project_key:path}/runners")
async def of_project(request: Request, project_key: str) -> Response:
    """Those a project may use."""
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("read_api")
        project = instance.project(project_key)
        found = [
            runner
            for runner in instance.runners.values()
            if runner.runner_type == "instance_type"
            or project.id in runner.project_ids
            or project.namespace_id in runner.group_ids
        ]
        return page_of(request, _filtered(instance, found, dict(request.query_params)))


@router.get("/groups/{group_key:path}/runners")
async def of_group(request: Request, group_key: str) -> Response:
    """Those of a group."""
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("read_api")
        group_id = _group(instance, group_key)
        found = [runner for runner in instance.runners.values() if group_id in runner.group_ids]
        return page_of(request, _filtered(instance, found, dict(request.query_params)))


@router.get("/groups/{group_key:path}")
async def group(request: Request, group_key: str) -> dict[str, Any]:
    """A group by id or path."""
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("read_api")
        group_id = _group(instance, group_key)
        path = next(path for path, known in instance.namespaces.items() if known == group_id)
        return {"id": group_id, "full_path": path, "path": path.rpartition("/")[2], "name": path}


@router.get("/runners/{runner_id}")
async def show(request: Request, runner_id: int) -> dict[str, Any]:
    """One runner."""
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("read_api")
        return runner_details(instance, _found(instance, runner_id))


@router.put("/runners/{runner_id}")
async def update(request: Request, runner_id: int) -> dict[str, Any]:
    """Change what is given; the rest stays."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("manage_runner")
        runner = _found(instance, runner_id)
        _change(runner, values)
        _check_tags(runner)
        instance.tick_queue()
        return runner_details(instance, runner)


@router.delete("/runners/{runner_id}")
async def delete(request: Request, runner_id: int) -> Response:
    """Remove it with all its managers."""
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("manage_runner")
        del instance.runners[_found(instance, runner_id).id]
    return Response(status_code=204)


@router.post("/runners/{runner_id}/reset_authentication_token", status_code=201)
async def reset_token(request: Request, runner_id: int) -> dict[str, Any]:
    """A new token for a runner; the old one is void at once."""
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("manage_runner")
        runner = _found(instance, runner_id)
        instance.give_token(runner)
        return {"token": runner.token, "token_expires_at": time(runner.token_expires_at)}


@router.get("/runners/{runner_id}/managers")
async def managers(request: Request, runner_id: int) -> list[dict[str, Any]]:
    """The hosts that use its token."""
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("read_api")
        return [
            {
                "id": manager.id,
                "system_id": manager.system_id,
                "version": manager.info.get("version"),
                "platform": manager.info.get("platform"),
                "architecture": manager.info.get("architecture"),
                "contacted_at": time(manager.contacted_at),
                "status": contact_status(manager.contacted_at, instance.now()),
            }
            for manager in _found(instance, runner_id).managers.values()
        ]


def _found(instance: Instance, runner_id: int) -> Runner:
    runner = instance.runners.get(runner_id)
    if runner is None:
        raise not_found("Runner")
    return runner


def _group(instance: Instance, key: str) -> int:
    for path, group_id in instance.namespaces.items():
        if key in {path, str(group_id)}:
            return group_id
    raise not_found("Group")


def _place(instance: Instance, runner: Runner, values: dict[str, Any]) -> None:
    if runner.runner_type == "group_type":
        if "group_id" not in values:
            raise ApiError(400, "group_id is missing")
        runner.group_ids = {_group(instance, str(values["group_id"]))}
    elif runner.runner_type == "project_type":
        if "project_id" not in values:
            raise ApiError(400, "project_id is missing")
        runner.project_ids = {instance.project(str(values["project_id"])).id}


def _change(runner: Runner, values: dict[str, Any]) -> None:
    if "active" in values:
        values["paused"] = not truth(values["active"])
    for name in ("paused", "locked", "run_untagged"):
        if name in values:
            setattr(runner, name, truth(values[name]))
    for name in ("description", "maintenance_note"):
        if name in values:
            setattr(runner, name, values[name])
    if "tag_list" in values:
        runner.tag_list = tags_of(values["tag_list"])
    if "access_level" in values:
        if values["access_level"] not in _ACCESS_LEVELS:
            raise ApiError(400, "access_level does not have a valid value")
        runner.access_level = values["access_level"]
    if values.get("maximum_timeout") not in {None, ""}:
        runner.maximum_timeout = _timeout(int(values["maximum_timeout"]))


def _timeout(timeout_s: int) -> int:
    if timeout_s < _MIN_TIMEOUT_S:
        raise ApiError(400, "Maximum timeout needs to be at least 10 minutes")
    return timeout_s


def _check_tags(runner: Runner) -> None:
    if not runner.tag_list and not runner.run_untagged:
        raise ApiError(400, "Tags list can not be empty when runner is not allowed to pick untagged jobs")


def _filtered(instance: Instance, runners: list[Runner], values: dict[str, str]) -> list[dict[str, Any]]:
    wanted_tags = set(tags_of(values.get("tag_list", "")))
    return [
        view
        for runner in sorted(runners, key=lambda runner: -runner.id)
        if (view := runner_view(instance, runner))
        and values.get("type", runner.runner_type) == runner.runner_type
        and ("paused" not in values or truth(values["paused"]) is runner.paused)
        and values.get("status", view["status"]) == view["status"]
        and wanted_tags <= set(runner.tag_list)
    ]
