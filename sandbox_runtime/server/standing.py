"""Where does a task stand, as its holder may know?

Law: pure. What is told is the task's recorded state at one moment; nothing of what a model, a
user or a tool wrote.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from sandbox_runtime.server.tools import calls_left
from sandbox_runtime.server.wire import time
from sandbox_runtime.v1 import broker_pb2 as pb

if TYPE_CHECKING:
    from sandbox_runtime.manifests.model import Budgets, Grant
    from sandbox_runtime.records import Micros
    from sandbox_runtime.task import OpenTask, TaskState


def told(task: OpenTask, now: Micros) -> pb.GetTaskResponse:
    """Write the answer to GetTask."""
    state, spec = task.state, task.manifest.manifest.spec
    return pb.GetTaskResponse(
        task_id=state.id,
        manifest=state.manifest,
        manifest_digest=state.manifest_digest,
        state=_stands(state, now),
        opened_at=time(state.opened_at),
        expires_at=time(state.expires_at),
        closed_at=time(state.closed_at) if state.closed_at is not None else None,
        granted=_granted(spec.budgets),
        used=_used(state),
        grants=[_grant(task, grant) for grant in spec.grants],
        running_calls=state.running,
    )


def _stands(state: TaskState, now: Micros) -> pb.TaskState.ValueType:
    if state.closed:
        return pb.TASK_STATE_CLOSED
    return pb.TASK_STATE_EXPIRED if now >= state.expires_at else pb.TASK_STATE_OPEN


def _granted(budgets: Budgets) -> pb.TaskBudgets:
    return pb.TaskBudgets(
        calls=budgets.calls,
        wall_time=_duration(budgets.wall_time),
        result_bytes=budgets.result_bytes,
        refusals=budgets.refusals,
        checks=budgets.checks,
        outputs=budgets.outputs,
    )


def _used(state: TaskState) -> pb.TaskBudgets:
    return pb.TaskBudgets(
        calls=state.started,
        wall_time=_duration(timedelta(milliseconds=state.wall_ms + state.reserved_ms)),
        result_bytes=state.result_bytes,
        refusals=state.refusals,
        checks=state.checks,
        outputs=sum(state.outputs_checked.values()),
    )


def _grant(task: OpenTask, grant: Grant) -> pb.GrantUse:
    return pb.GrantUse(
        grant=grant.id,
        tool=grant.tool,
        calls=task.state.spent.get(grant.id, 0),
        calls_left=calls_left(task, [grant]),
    )


def _duration(time: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(time)
    return duration
