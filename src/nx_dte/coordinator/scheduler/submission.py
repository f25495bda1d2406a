"""What may be submitted: ids that are unique, dependencies that exist, no cycles, and hits that stand on hits."""

from collections.abc import Collection, Mapping, Sequence

from nx_dte.coordinator.scheduler.errors import (
    DependencyCycleError,
    DuplicateTaskError,
    HitArtifactMissingError,
    UnfoundedHitError,
    UnknownDependencyError,
)
from nx_dte.coordinator.scheduler.events import SubmittedTask
from nx_dte.model.artifact import Artifact
from nx_dte.model.ids import ArtifactId, TaskId

Dependencies = dict[TaskId, tuple[TaskId, ...]]


def check(
    tasks: Sequence[SubmittedTask], artifacts: Mapping[ArtifactId, Artifact]
) -> tuple[list[TaskId], Dependencies]:
    """Raise on the first contradiction; else the task ids, dependencies first, and each one's distinct dependencies."""
    by_id = _by_id(tasks)
    # A dependency named twice is one edge.
    dependencies = {task.task_id: tuple(dict.fromkeys(task.dependencies)) for task in tasks}
    for task in tasks:
        for dependency in dependencies[task.task_id]:
            _check_dependency(task, dependency, by_id)
        if task.hit and task.hit.artifact_id and task.hit.artifact_id not in artifacts:
            raise HitArtifactMissingError(
                f"Task {task.task_id} is submitted as a cache hit with artifact {task.hit.artifact_id}, which is not "
                "stored here."
            )
    return _dependencies_first(dependencies), dependencies


def _by_id(tasks: Sequence[SubmittedTask]) -> dict[TaskId, SubmittedTask]:
    by_id: dict[TaskId, SubmittedTask] = {}
    for task in tasks:
        if task.task_id in by_id:
            raise DuplicateTaskError(f"Task {task.task_id} was submitted twice in one invocation.")
        by_id[task.task_id] = task
    return by_id


def _check_dependency(task: SubmittedTask, dependency: TaskId, by_id: Mapping[TaskId, SubmittedTask]) -> None:
    other = by_id.get(dependency)
    if other is None:
        raise UnknownDependencyError(f"Task {task.task_id} depends on {dependency}, which was not submitted.")
    if task.hit and not other.hit:
        raise UnfoundedHitError(
            f"Task {task.task_id} is submitted as a cache hit, but its dependency {dependency} is none; "
            "its hash cannot be known yet."
        )


def _dependencies_first(dependencies: Mapping[TaskId, Collection[TaskId]]) -> list[TaskId]:
    """Kahn's algorithm: no recursion, each edge once."""
    dependents: dict[TaskId, list[TaskId]] = {task_id: [] for task_id in dependencies}
    missing: dict[TaskId, int] = {}
    for task_id, needed in dependencies.items():
        missing[task_id] = len(needed)
        for dependency in needed:
            dependents[dependency].append(task_id)
    order = [task_id for task_id, count in missing.items() if count == 0]
    for task_id in order:  # grows while it is walked
        for dependent in dependents[task_id]:
            missing[dependent] -= 1
            if missing[dependent] == 0:
                order.append(dependent)
    if len(order) < len(dependencies):
        cycle = _some_cycle(dependencies, {task_id for task_id, count in missing.items() if count})
        raise DependencyCycleError("Tasks depend on each other in a circle: " + " → ".join(cycle) + ".")
    return order


def _some_cycle(dependencies: Mapping[TaskId, Collection[TaskId]], stuck: set[TaskId]) -> list[TaskId]:
    """Every stuck task has a stuck dependency, so walking on must come back to where it has been."""
    path: dict[TaskId, None] = {}
    task_id = min(stuck)
    while task_id not in path:
        path[task_id] = None
        task_id = min(dependency for dependency in dependencies[task_id] if dependency in stuck)
    walked = list(path)
    return [*walked[walked.index(task_id) :], task_id]
