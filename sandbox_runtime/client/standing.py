"""What does the broker say of where a task stands?

Law: pure, as `wire`. A state of a newer broker is not taken for a known one.
"""

from __future__ import annotations

from datetime import UTC

from sandbox_runtime.client.values import Budgets, GrantUse, TaskState, TaskStatus
from sandbox_runtime.v1 import broker_pb2 as pb


def task_status(answer: pb.GetTaskResponse) -> TaskStatus:
    """Return where a task stands."""
    return TaskStatus(
        id=answer.task_id,
        manifest=answer.manifest,
        manifest_digest=answer.manifest_digest,
        state=_state(answer.state),
        opened_at=answer.opened_at.ToDatetime(tzinfo=UTC),
        expires_at=answer.expires_at.ToDatetime(tzinfo=UTC),
        closed_at=answer.closed_at.ToDatetime(tzinfo=UTC) if answer.HasField("closed_at") else None,
        granted=_budgets(answer.granted),
        used=_budgets(answer.used),
        grants=tuple(_grant(each) for each in answer.grants),
        running_calls=tuple(answer.running_calls),
    )


def _state(number: int) -> TaskState:
    if number not in pb.TaskState.values():
        return TaskState.UNSPECIFIED
    name = pb.TaskState.Name(pb.TaskState.ValueType(number)).removeprefix("TASK_STATE_")
    return TaskState(name) if name in TaskState.__members__ else TaskState.UNSPECIFIED


def _budgets(said: pb.TaskBudgets) -> Budgets:
    return Budgets(
        calls=said.calls,
        wall_time=said.wall_time.ToTimedelta(),
        result_bytes=said.result_bytes,
        refusals=said.refusals,
        checks=said.checks,
        outputs=said.outputs,
    )


def _grant(said: pb.GrantUse) -> GrantUse:
    return GrantUse(grant=said.grant, tool=said.tool, calls=said.calls, calls_left=said.calls_left)
