"""How does a final answer go to the broker, and what does its verdict mean?

Law: pure, as `wire`.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from sandbox_runtime.client import wire
from sandbox_runtime.client.values import CheckedOutput, OutputDefinition
from sandbox_runtime.client.wire import Exchange
from sandbox_runtime.v1 import broker_pb2 as pb

if TYPE_CHECKING:
    from sandbox_runtime.client.values import Json, Model


def list_outputs(task: str) -> Exchange[tuple[OutputDefinition, ...]]:
    """Ask which final answers the task may give."""
    request = pb.ListOutputsRequest(task_id=task)
    return Exchange(method="ListOutputs", request=request, read=_outputs)


def check_output(
    task: str, output_id: str, output: str, value: Json, *, model: Model | None, as_written: bool
) -> Exchange[CheckedOutput]:
    """Bring a final answer. Repeatable: the output id makes it the same answer."""
    request = pb.CheckOutputRequest(
        task_id=task, output_id=output_id, output=output, model=wire.claimed_model(model)
    )
    if as_written:
        request.value_json = value
    elif isinstance(value, str):
        request.text = value
    else:
        request.value_json = wire.printed(value)
    read = partial(_checked_output, output_id=output_id)
    return Exchange(method="CheckOutput", request=request, read=read)


def _outputs(answer: pb.ListOutputsResponse) -> tuple[OutputDefinition, ...]:
    return tuple(
        OutputDefinition(
            name=output.name,
            description=output.description,
            schema=json.loads(output.schema_json),
            checks_left=output.checks_left,
        )
        for output in answer.outputs
    )


def _checked_output(answer: pb.CheckOutputResponse, *, output_id: str) -> CheckedOutput:
    return CheckedOutput(
        output_id=output_id,
        value=json.loads(answer.value_json),
        changes=tuple(answer.changes),
        record=answer.record,
    )
