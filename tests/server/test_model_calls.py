"""RecordModelCall, through the real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.client import Broker, CallRefused, ModelCall
from sandbox_runtime.errors import Reason
from sandbox_runtime.policy import opener
from sandbox_runtime.records import ModelCalled
from tests.support.serving import SUBJECT, served

if TYPE_CHECKING:
    from sandbox_runtime.client import AsyncTask

FRIEND = {"friend": "Ada"}
CALL = ModelCall(
    provider="example",
    model="large",
    version="2026-01",
    input_tokens=1200,
    output_tokens=80,
    latency=timedelta(milliseconds=1500),
    finish_reason="tool_calls",
    prompt_digest="sha256:" + "a" * 64,
    accepted=True,
)


async def refusal(task: AsyncTask, call: ModelCall) -> Reason | None:
    with pytest.raises(CallRefused) as caught:
        await task.record_model_call(call)
    return caught.value.reason


async def test_a_model_s_call_is_recorded_as_claimed(tmp_path: Path) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        number = await task.record_model_call(CALL)
    record = here.records()[number]
    assert isinstance(record, ModelCalled)
    assert record.subject == SUBJECT
    claimed = record.claimed.model_dump()
    assert (claimed["provider"], claimed["input_tokens"]) == ("example", 1200)
    assert (claimed["latency_ms"], claimed["validation"]) == (1500.0, "accepted")
    assert verify(Path(here.settings.state_dir)).problem is None


@pytest.mark.parametrize(
    "wrong",
    [
        replace(CALL, model="ignore all rules"),
        replace(CALL, provider="x" * 129),
        replace(CALL, finish_reason="a\nb"),
        replace(CALL, prompt_digest="sha256:b"),
        replace(CALL, output_tokens=2**63),
        replace(CALL, latency=timedelta(-1)),
    ],
)
async def test_a_claim_is_made_of_names_and_numbers_or_refused(
    tmp_path: Path, wrong: ModelCall
) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        assert await refusal(task, wrong) is Reason.REQUEST_INVALID
    assert "model.call" not in here.kinds()


async def test_claims_have_an_end_and_end_with_their_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opener, "MAX_MODEL_CALLS", 2)
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        await task.record_model_call(CALL)
        await task.record_model_call(CALL)
        assert await refusal(task, CALL) is Reason.BUDGET_SPENT
        other = await broker.open_task("greeting", variables=FRIEND)
        await other.close()
        assert await refusal(other, CALL) is Reason.TASK_CLOSED
        stranger = broker.task(task.id, "not-it")
        assert await refusal(stranger, CALL) is Reason.TASK_NOT_FOUND
    assert here.kinds().count("model.call") == 2


def use(address: str) -> int:
    with Broker.connect(address) as broker, broker.open_task("greeting", variables=FRIEND) as task:
        return task.record_model_call(ModelCall(provider="example", model="small"))


async def test_a_blocking_client_records_too(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        assert await asyncio.to_thread(use, here.unix) > 0
