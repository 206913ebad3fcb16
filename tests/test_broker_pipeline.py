"""The pipeline on a real log: what is recorded, when, and what the caller hears."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime import deciding, ledger
from sandbox_runtime.audit.reading import calls, stored
from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.call import Answered, Outcome
from sandbox_runtime.errors import EvidenceUnavailable, Fault, Reason, Refusal, SandboxUnavailable
from sandbox_runtime.evidence import layout, log
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.problems import ManifestErrors, Problem
from sandbox_runtime.task import Phase
from tests.support.manifests import NOW, SOURCES, TASK, TOOL, propose
from tests.support.pipeline import InProcess, Scripted, ok, on_stage, until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox_runtime.call import Candidate, Check, Checked, Verdict
    from sandbox_runtime.ledger import Live
    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.strict import Json

ADA = '{"name": "Ada"}'


def kinds(state: Path) -> list[str]:
    return [one.record.kind for one in stored(state)]


def state_of(live: Live) -> object:
    return live.task.state


def contents(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in root.rglob("*") if path.is_file()]


async def refusal(awaitable: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value


async def test_a_permitted_call_leaves_its_four_records_in_order(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        end = await stage.broker.call_tool(live, propose(ADA))
    assert end.checked.result == '{"greeting":"hello"}'
    assert end.grant == "friends"
    assert kinds(tmp_path)[-4:] == ["call.decided", "call.intent", "call.outcome", "call.closed"]
    report = verify(tmp_path)
    assert (report.problem, report.records) == (None, 6)


async def test_the_intent_is_durable_before_the_container_is_touched(tmp_path: Path) -> None:
    sandbox = Scripted(held=True)
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        call = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: [one.started for one in sandbox.planned] == [True])
        assert kinds(tmp_path)[-2:] == ["call.decided", "call.intent"]
        sandbox.planned[0].let_go.set()
        await call


async def test_a_refused_call_plans_no_container_and_is_recorded(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        refused = await refusal(stage.broker.call_tool(live, propose('{"name": "Eve"}')))
    assert (refused.why, refused.pointer) == (Reason.ARGUMENT_NOT_ALLOWED, "/name")
    assert stage.sandbox.planned == []
    view = calls(tmp_path)[0]
    assert view.decided.rule == "tasks/greeting.yaml:14"
    assert view.decision is not None
    assert view.decision.text == '{"name": "Eve"}'


async def test_what_the_model_wrote_stands_in_no_leaf(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task(friend="Marguerite")
        await stage.broker.call_tool(live, propose('{"name": "Marguerite", "note": "s3cr3t"}'))
    files = contents(tmp_path)
    assert files
    for secret in (b"Marguerite", b"s3cr3t", b"hello"):
        assert not any(secret in content for content in files)


async def test_the_same_call_sent_again_returns_the_same_end_and_runs_once(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        first = await stage.broker.call_tool(live, propose(ADA))
        assert await stage.broker.call_tool(live, propose(ADA)) == first
        assert len(stage.sandbox.planned) == 1


async def test_the_same_call_sent_twice_at_once_runs_once(tmp_path: Path) -> None:
    sandbox = Scripted(held=True)
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        both = [asyncio.create_task(stage.broker.call_tool(live, propose(ADA))) for _ in "ab"]
        await until(lambda: bool(sandbox.planned))
        sandbox.planned[0].let_go.set()
        one, other = await asyncio.gather(*both)
    assert one == other
    assert len(sandbox.planned) == 1


async def test_a_refused_call_sent_again_is_refused_alike_and_recorded_once(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        first = await refusal(stage.broker.call_tool(live, propose('{"name": "Eve"}')))
        again = await refusal(stage.broker.call_tool(live, propose('{"name": "Eve"}')))
    assert (again.why, again.problem) == (first.why, first.problem)
    assert kinds(tmp_path).count("call.decided") == 1


async def test_a_call_id_used_for_other_bytes_is_refused(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        await stage.broker.call_tool(live, propose(ADA))
        reused = await refusal(stage.broker.call_tool(live, propose(ADA + " ")))
    assert reused.why is Reason.CALL_ID_REUSED


async def test_checking_a_call_runs_nothing_and_spends_nothing(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        permitted = await stage.broker.check_call(live, propose(ADA))
        assert permitted.arguments["times"] == 1
        assert (live.task.state.started, live.task.state.checks) == (0, 1)
        assert stage.sandbox.planned == []
        await stage.broker.call_tool(live, propose(ADA))


async def test_a_task_that_used_up_its_refusals_writes_no_more(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        for n in range(5):
            await refusal(stage.broker.call_tool(live, propose("{}", call_id=f"c-{n}")))
        for n in range(20):
            muted = await refusal(stage.broker.call_tool(live, propose(ADA, call_id=f"d-{n}")))
            assert muted.why is Reason.REFUSALS_SPENT
    assert kinds(tmp_path).count("call.decided") == 5
    assert kinds(tmp_path).count("alert.refusals_spent") == 1


async def test_few_large_checks_fill_the_disk_no_more_than_many_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "MAX_UNSPENT_BYTES", 20_000)
    large = f'{{"name": "Ada", "note": "{"n" * 10_000}"}}'
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        await stage.broker.check_call(live, propose(large))
        muted = await refusal(stage.broker.check_call(live, propose(large)))
    assert muted.why is Reason.REFUSALS_SPENT
    assert kinds(tmp_path).count("call.decided") == 1


async def test_cancelling_the_caller_kills_the_container_and_is_recorded(tmp_path: Path) -> None:
    sandbox = Scripted(held=True)
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        call = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: [one.started for one in sandbox.planned] == [True])
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert sandbox.planned[0].killed
        end = stage.broker.recorded(live, "c-1")
    assert end.checked.outcome is Outcome.CANCELLED
    assert calls(tmp_path)[0].outcome is not None


async def test_closing_the_task_cancels_its_calls_and_refuses_later_ones(tmp_path: Path) -> None:
    sandbox = Scripted(held=True)
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        call = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: [one.started for one in sandbox.planned] == [True])
        assert await stage.broker.close_task(live, "agent:tests") == 1
        assert (await call).checked.outcome is Outcome.CANCELLED
        later = await refusal(stage.broker.call_tool(live, propose(ADA, call_id="c-2")))
        assert later.why is Reason.TASK_CLOSED
        assert await stage.broker.close_task(live, "agent:tests") == 0
    assert verify(tmp_path).problem is None


class Unhurried(InProcess):
    """Validators that check when the test lets them."""

    def __init__(self) -> None:
        self.asked = 0
        self.let_go = asyncio.Event()

    async def check(self, candidate: Candidate) -> Checked:
        self.asked += 1
        await self.let_go.wait()
        return await super().check(candidate)


async def test_hanging_up_while_a_call_is_checked_does_not_make_asking_free(tmp_path: Path) -> None:
    validators = Unhurried()
    async with on_stage(tmp_path, validators=validators) as stage:
        live = await stage.open_task()
        for n in range(10):
            call = propose('{"name": "Eve"}', call_id=f"c-{n}")
            asking = asyncio.create_task(stage.broker.check_call(live, call))
            await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert validators.asked == 1  # the others had hung up before it was their turn
        validators.let_go.set()
        await until(lambda: live.task.state.refusals == 1)
    assert kinds(tmp_path).count("call.decided") == 1


async def test_a_call_hung_up_on_while_it_is_decided_is_recorded_and_never_runs(
    tmp_path: Path,
) -> None:
    validators = Unhurried()
    async with on_stage(tmp_path, validators=validators) as stage:
        live = await stage.open_task()
        call = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: validators.asked == 1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        validators.let_go.set()
        await until(lambda: bool(live.task.state.calls) and not live.task.state.running)
        end = await stage.broker.call_tool(live, propose(ADA))
    assert end.checked.outcome is Outcome.CANCELLED
    assert [container.started for container in stage.sandbox.planned] == [False]


async def test_who_sends_a_call_again_and_hangs_up_does_not_cancel_it(tmp_path: Path) -> None:
    sandbox, validators = Scripted(held=True), Unhurried()
    async with on_stage(tmp_path, sandbox, validators=validators) as stage:
        live = await stage.open_task()
        first = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: validators.asked == 1)
        again = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await asyncio.sleep(0)
        again.cancel()
        validators.let_go.set()
        await until(lambda: [one.started for one in sandbox.planned] == [True])
        sandbox.planned[0].let_go.set()
        assert (await first).checked.outcome is Outcome.OK


async def test_closing_a_task_waits_for_no_check_and_what_is_checked_is_refused(
    tmp_path: Path,
) -> None:
    validators = Unhurried()
    async with on_stage(tmp_path, validators=validators) as stage:
        live = await stage.open_task()
        call = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: validators.asked == 1)
        async with asyncio.timeout(5):
            await stage.broker.close_task(live, "agent:tests")
        validators.let_go.set()
        assert (await refusal(call)).why is Reason.TASK_CLOSED
    assert verify(tmp_path).problem is None


async def test_whoever_closes_a_task_and_hangs_up_has_cancelled_its_calls(tmp_path: Path) -> None:
    sandbox = Scripted(held=True)
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        call = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: [one.started for one in sandbox.planned] == [True])
        closing = asyncio.create_task(stage.broker.close_task(live, "agent:tests"))
        await asyncio.sleep(0)
        closing.cancel()
        async with asyncio.timeout(5):
            assert (await call).checked.outcome is Outcome.CANCELLED


class Careful(InProcess):
    """Validators that look at a result when the test lets them."""

    def __init__(self) -> None:
        self.asked = False
        self.let_go = asyncio.Event()

    async def check_value(self, value: Json, checks: Sequence[Check]) -> tuple[Verdict, ...]:
        self.asked = True
        await self.let_go.wait()
        return await super().check_value(value, checks)


async def test_whoever_cancels_and_hangs_up_takes_no_call_its_end(tmp_path: Path) -> None:
    validators = Careful()
    async with on_stage(tmp_path, validators=validators) as stage:
        live = await stage.open_task()
        call = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: validators.asked)
        cancelling = asyncio.create_task(stage.broker.cancel_call(live, "c-1", "agent:tests"))
        await asyncio.sleep(0)
        cancelling.cancel()
        await asyncio.gather(cancelling, return_exceptions=True)
        validators.let_go.set()
        assert (await call).checked.outcome is Outcome.OK
    assert "call.outcome" in kinds(tmp_path)


async def test_two_callers_racing_for_the_last_call_of_a_grant_get_one(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        await stage.broker.call_tool(live, propose(ADA, call_id="c-0"))
        ends = await asyncio.gather(
            *(stage.broker.call_tool(live, propose(ADA, call_id=f"c-{n}")) for n in (1, 2)),
            return_exceptions=True,
        )
    refused = [end for end in ends if isinstance(end, Refusal)]
    assert [one.why for one in refused] == [Reason.CALLS_SPENT]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b'{"result": ["not", "an", "object"]}', Outcome.INVALID_ANSWER),
        (b'{"result": {}, "error": {"code": "a", "message": "b"}}', Outcome.INVALID_ANSWER),
        (b'{"result": {}, "extra": 1}', Outcome.INVALID_ANSWER),
        (b'{"result": {"a": 1, "a": 2}}', Outcome.INVALID_ANSWER),
        (b"{}", Outcome.INVALID_ANSWER),
        (b"not json", Outcome.INVALID_ANSWER),
        (b'{"result": {"x": "' + b"a" * 2000 + b'"}}', Outcome.RESULT_REFUSED),
        (
            b'{"result": {}, "artifacts": [{"name":"a","type":"image/png","data":""}]}',
            Outcome.INVALID_ANSWER,
        ),
        (b'{"error": {"code": "gone", "message": "no"}}', Outcome.TOOL_ERROR),
    ],
)
async def test_an_answer_that_may_not_go_on_stays_behind(
    tmp_path: Path, answer: bytes, outcome: Outcome
) -> None:
    async with on_stage(tmp_path, Scripted(answers=[ok(answer)])) as stage:
        live = await stage.open_task()
        end = await stage.broker.call_tool(live, propose(ADA))
    assert end.checked.outcome is outcome
    assert end.checked.result is None


async def test_invisible_text_in_a_result_does_not_reach_the_model(tmp_path: Path) -> None:
    answer = b'{"result": {"x": "a\\u202eb\\u0007c"}}'
    async with on_stage(tmp_path, Scripted(answers=[ok(answer)])) as stage:
        live = await stage.open_task()
        end = await stage.broker.call_tool(live, propose(ADA))
    assert end.checked.result == '{"x":"abc"}'
    assert end.checked.changes


async def test_a_container_that_cannot_be_had_spends_nothing(tmp_path: Path) -> None:
    sandbox = Scripted(answers=[SandboxUnavailable("a wall is missing")])
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        end = await stage.broker.call_tool(live, propose(ADA))
        assert end.checked.outcome is Outcome.SANDBOX_UNAVAILABLE
        assert "wall" not in end.checked.detail
        assert live.task.state.started == 0


async def test_asking_again_and_again_while_there_is_no_engine_does_not_fill_the_log(
    tmp_path: Path,
) -> None:
    sandbox = Scripted(answers=[SandboxUnavailable("no engine") for _ in range(50)])
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        asked = [stage.broker.call_tool(live, propose(ADA, call_id=f"c-{n}")) for n in range(50)]
        ends = [await asyncio.gather(call, return_exceptions=True) for call in asked]
    muted = [end for (end,) in ends if isinstance(end, Refusal)]
    assert {one.why for one in muted} == {Reason.REFUSALS_SPENT}
    assert kinds(tmp_path).count("call.decided") == 5  # as many as the task has refusals


async def test_a_result_too_large_for_the_log_is_refused_and_the_call_has_its_end(
    tmp_path: Path,
) -> None:
    picture = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(26 << 20)).decode()
    answer = (
        f'{{"result":{{}},"artifacts":[{{"name":"a.png","type":"image/png","data":"{picture}"}}]}}'
    )
    result = "artifacts: {types: [image/png], max_count: 1, max_bytes: 64Mi}}"
    tool = f"{TOOL.rstrip().removesuffix('}')}, {result}\n  sandbox: {{output: 64Mi}}\n"
    task = TASK.replace("result_bytes: 1Ki", "result_bytes: 1Gi")
    sources = {"greet/tool.yaml": tool, "tasks/greeting.yaml": task}
    async with on_stage(tmp_path, Scripted(answers=[ok(answer.encode())]), sources) as stage:
        live = await stage.open_task()
        end = await stage.broker.call_tool(live, propose(ADA))
        assert (end.checked.outcome, end.checked.artifacts) == (Outcome.RESULT_REFUSED, ())
        assert live.task.state.running == ()


async def test_an_end_that_the_log_does_not_take_is_replaced_by_one_that_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_APPEND", 4 << 10)
    task = TASK.replace("result_bytes: 1Ki", "result_bytes: 1Mi")
    answer = b'{"result": {"x": "' + b"a" * 10_000 + b'"}}'
    sources = {"greet/tool.yaml": TOOL, "tasks/greeting.yaml": task}
    async with on_stage(tmp_path, Scripted(answers=[ok(answer)]), sources) as stage:
        live = await stage.open_task()
        with pytest.raises(ValueError, match="over the limit"):
            await stage.broker.call_tool(live, propose(ADA))
        assert stage.broker.recorded(live, "c-1").checked.outcome is Outcome.UNKNOWN
        assert live.task.state.running == ()


async def test_a_plan_that_cannot_be_made_refuses_the_call(tmp_path: Path) -> None:
    sandbox = Scripted(unplannable=SandboxUnavailable("image not locked"))
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        refused = await refusal(stage.broker.call_tool(live, propose(ADA)))
    assert refused.why is Reason.SANDBOX_UNAVAILABLE
    assert "locked" not in refused.problem


async def test_a_restart_gives_the_same_state_and_ends_what_nobody_knows(tmp_path: Path) -> None:
    sandbox = Scripted(answers=[ok(b'{"result": {}}')])
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        await stage.broker.call_tool(live, propose(ADA))
        await refusal(stage.broker.call_tool(live, propose("{}", call_id="c-2")))
        sandbox.held = True
        lost = asyncio.create_task(stage.broker.call_tool(live, propose(ADA, call_id="c-3")))
        await until(lambda: [one.started for one in sandbox.planned] == [True, True])
        before = state_of(live)
        await stage.log.close()  # the broker dies here: nothing more reaches the log
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
    async with on_stage(tmp_path) as stage:
        (live,) = stage.ledger.tasks()
        assert state_of(live) == before
        assert live.task.state.calls["c-3"].phase is Phase.RUNNING
        await stage.broker.settle()
        assert stage.broker.recorded(live, "c-3").checked.outcome is Outcome.UNKNOWN
        assert stage.broker.recorded(live, "c-1").checked.outcome is Outcome.OK
    assert verify(tmp_path).problem is None


async def test_a_task_that_was_erased_stops_no_restart_and_is_found_by_nobody(
    tmp_path: Path,
) -> None:
    async with on_stage(tmp_path) as stage:
        erased, kept = await stage.open_task(), await stage.open_task()
        await stage.broker.call_tool(erased, propose(ADA))
        await stage.broker.close_task(erased, "agent:tests")
        await stage.runs.closed()
        Keys.open(layout.keys_directory(tmp_path)).destroy(erased.task.state.id)
        with pytest.raises(Refusal, match="no such task"):
            stage.ledger.find(erased.task.state.id, "secret")
    async with on_stage(tmp_path) as stage:
        assert [live.task.state.id for live in stage.ledger.tasks()] == [kept.task.state.id]
        with pytest.raises(Refusal, match="no such task"):
            stage.ledger.find(erased.task.state.id, "secret")
    assert verify(tmp_path).problem is None


async def test_a_log_of_a_newer_version_is_refused_in_words(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        await stage.log.append([b'{"at":1,"kind":"approval.asked","v":1}'])
    with pytest.raises(EvidenceUnavailable, match="record 1 of the log"):
        async with on_stage(tmp_path):
            pass


async def test_a_log_that_cannot_be_written_runs_nothing(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        await stage.log.close()
        with pytest.raises(EvidenceUnavailable):
            await stage.broker.call_tool(live, propose(ADA))
        assert not any(container.started for container in stage.sandbox.planned)


async def test_drain_lets_calls_end_and_cancels_the_late(tmp_path: Path) -> None:
    sandbox = Scripted(held=True)
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        calls_ = [
            asyncio.create_task(stage.broker.call_tool(live, propose(ADA, call_id=f"c-{n}")))
            for n in (1, 2)
        ]
        await until(lambda: [one.started for one in sandbox.planned] == [True, True])
        sandbox.planned[0].let_go.set()
        await stage.broker.drain(0.1)
        ends = [(await call).checked.outcome for call in calls_]
    assert ends == [Outcome.OK, Outcome.CANCELLED]


async def test_a_result_is_what_its_container_says_and_no_text_of_the_tool(tmp_path: Path) -> None:
    died = Answered(outcome=Outcome.OUT_OF_MEMORY, detail="out of memory", stages={})
    async with on_stage(tmp_path, Scripted(answers=[died])) as stage:
        live = await stage.open_task()
        end = await stage.broker.call_tool(live, propose(ADA))
    assert (end.checked.outcome, end.checked.detail) == (Outcome.OUT_OF_MEMORY, "out of memory")


async def test_a_cancelled_call_pays_for_the_time_that_it_ran(tmp_path: Path) -> None:
    sandbox = Scripted(held=True)
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        call = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: [one.started for one in sandbox.planned] == [True])
        await asyncio.sleep(0.05)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert live.task.state.wall_ms >= 40


async def test_a_call_of_unknown_end_pays_all_it_had_set_aside(tmp_path: Path) -> None:
    sandbox = Scripted(held=True)
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        lost = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: [one.started for one in sandbox.planned] == [True])
        await stage.log.close()
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
    async with on_stage(tmp_path) as stage:
        (live,) = stage.ledger.tasks()
        await stage.broker.settle()
        assert live.task.state.wall_ms == 1000


async def test_a_component_that_breaks_leaves_an_end_and_no_call_in_flight(tmp_path: Path) -> None:
    broken = Scripted(answers=[Fault("a bug of ours")])
    async with on_stage(tmp_path, broken) as stage:
        live = await stage.open_task()
        with pytest.raises(Fault, match="a bug of ours"):
            await stage.broker.call_tool(live, propose(ADA))
        assert stage.broker.recorded(live, "c-1").checked.outcome is Outcome.UNKNOWN
        assert live.running == {}


async def test_a_call_ends_with_its_task_at_the_latest(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        opened = await stage.broker.open_task(
            "agent:tests",
            "greeting",
            prompt=[],
            variables={"friend": "Ada"},
            lifetime=timedelta(milliseconds=300),
        )
        await stage.broker.call_tool(opened.live, propose(ADA))
    assert stage.sandbox.allowed[0] <= 300


async def test_a_clock_that_steps_back_brings_no_task_back_to_life(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        later = live.task.state.expires_at + 1
        stage.clock.at = later
        assert (
            await refusal(stage.broker.call_tool(live, propose(ADA)))
        ).why is Reason.TASK_EXPIRED
        stage.clock.at = NOW
        again = propose(ADA, call_id="c-2")
        assert (await refusal(stage.broker.call_tool(live, again))).why is Reason.TASK_EXPIRED
        assert stage.ledger.now() >= later


async def test_manifests_that_have_become_errors_do_not_stop_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage(tmp_path) as stage:
        await stage.open_task()
    changed = {**SOURCES, "tasks/greeting.yaml": TASK.replace("max_calls: 2", "max_calls: 1")}

    def stricter(files: Mapping[str, str]) -> Catalogue:
        if dict(files) == SOURCES:
            raise ManifestErrors([Problem(file="x", line=1, column=1, message="now an error")])
        return load_texts(files)

    monkeypatch.setattr(ledger, "load_texts", stricter)
    async with on_stage(tmp_path, sources=changed) as stage:
        assert stage.ledger.tasks() == ()
        assert kinds(tmp_path).count("manifest.loaded") == 2


async def test_a_refusal_for_want_of_a_container_says_that_the_policy_permitted_it(
    tmp_path: Path,
) -> None:
    sandbox = Scripted(unplannable=SandboxUnavailable("image not locked"))
    async with on_stage(tmp_path, sandbox) as stage:
        live = await stage.open_task()
        await refusal(stage.broker.call_tool(live, propose(ADA)))
    decision = calls(tmp_path)[0].decision
    assert decision is not None
    assert decision.unplanned
