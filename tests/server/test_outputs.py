"""A task's final answers, through the real server, attacked."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_runtime import policy
from sandbox_runtime.audit import gathering, reading
from sandbox_runtime.audit.timeline import timeline
from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.cli.rows import row
from sandbox_runtime.client import Broker, CallRefused, Model, ModelCall
from sandbox_runtime.errors import Mender, Reason
from sandbox_runtime.evidence import layout
from sandbox_runtime.output import AcceptedOutput, OutputCandidate, ProposedOutput
from sandbox_runtime.output_entries import OutputBody, output_body
from sandbox_runtime.policy.outputs import MAX_OUTPUT_BYTES
from sandbox_runtime.records import OutputChecked
from sandbox_runtime.validators import Limits, Validators
from tests.support.manifests import SOURCES, TASK, open_task
from tests.support.serving import SUBJECT, Stage, served, write_tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox_runtime.client import AsyncBroker, AsyncTask
    from tests.support.serving import Served

FRIEND = {"friend": "Ada"}
OUTPUTS = """\
  outputs:
    report:
      type: object
      description: The greeting that was sent, and to whom.
      schema:
        properties: {to: {const: $friend}, text: {type: string, maxLength: 100}}
        required: [to, text]
        additionalProperties: false
      model_text: {}
      max_checks: 3
    note: {type: string, model_text: {}}
  budgets:"""
ANSWERING = {
    **SOURCES,
    "tasks/greeting.yaml": TASK.replace("  budgets:", OUTPUTS).replace(
        "refusals: 5,", "refusals: 9, outputs: 4,"
    ),
}
GOOD = {"to": "Ada", "text": "Hello!"}


@pytest.fixture
async def pool() -> AsyncIterator[Validators]:
    validators = Validators(Limits(workers=2, first_uid=64420))
    await validators.start()
    yield validators
    await validators.aclose()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, Stage()) as broker:
        yield broker


def serving(tmp_path: Path, stage: Stage) -> Any:  # noqa: ANN401 - a context manager
    tree = write_tree(tmp_path / "answering", ANSWERING)
    return served(tmp_path, stage, manifests=str(tree))


async def opened(broker: AsyncBroker) -> AsyncTask:
    return await broker.open_task("greeting", variables=FRIEND)


async def refusal(task: AsyncTask, output: str, value: object, **how: Any) -> CallRefused:  # noqa: ANN401
    with pytest.raises(CallRefused) as caught:
        await task.check_output(output, value, **how)
    return caught.value


def checked(here: Served) -> list[OutputChecked]:
    return [record for record in here.records() if isinstance(record, OutputChecked)]


async def test_an_answer_of_its_shape_goes_out_canonical_and_recorded(here: Served) -> None:
    async with here.client() as broker:
        task = await opened(broker)
        written = '{"text": "Hello\\u200b!", "to": "Ada"}'
        model = Model(provider="example", model="large")
        end = await task.check_output("report", written, as_written=True, model=model)
        used = (await task.status()).used.outputs
    (record,) = checked(here)
    assert end.value == GOOD
    assert end.changes
    assert (record.permitted, record.output, record.subject) == (True, "report", SUBJECT)
    assert (record.changes, record.written_bytes) == (len(end.changes), len(written))
    assert [trace.kind for trace in record.checks] == ["schema", "schema", "model_text"]
    assert used == 1
    assert verify(Path(here.settings.state_dir)).problem is None


async def test_a_text_is_itself_and_no_json(here: Served) -> None:
    async with here.client() as broker:
        task = await opened(broker)
        end = await task.check_output("note", '{"to": "Ada"}')
    assert end.value == '{"to": "Ada"}'


@pytest.mark.parametrize(
    ("written", "reason", "code", "pointer"),
    [
        pytest.param("[]", Reason.OUTPUT_NOT_ALLOWED, "schema.type", "", id="wrong type"),
        pytest.param(
            '{"to": "Ada", "text": 5}', Reason.OUTPUT_NOT_ALLOWED, "schema.type", "/text", id="part"
        ),
        pytest.param(
            '{"to": "Bob", "text": ""}', Reason.OUTPUT_NOT_ALLOWED, "schema.const", "/to", id="bind"
        ),
        pytest.param(
            '{"to": "Ada", "text": "", "bcc": "me"}',
            Reason.OUTPUT_NOT_ALLOWED,
            "schema.additionalProperties",
            "",
            id="an extra key",
        ),
        pytest.param(
            '{"to": "Bob", "to": "Ada", "text": ""}',
            Reason.REQUEST_INVALID,
            "json.duplicate_key",
            "",
            id="a key twice",
        ),
        pytest.param("[" * 100 + "]" * 100, Reason.REQUEST_INVALID, "json.too_deep", "", id="deep"),
        pytest.param(
            '"' + "x" * MAX_OUTPUT_BYTES + '"',
            Reason.REQUEST_INVALID,
            "json.too_large",
            "",
            id="oversized",
        ),
        pytest.param('{"to": "Ada"', Reason.REQUEST_INVALID, "json.syntax", "", id="cut off"),
        pytest.param("NaN", Reason.REQUEST_INVALID, "json.number", "", id="no number"),
        pytest.param("", Reason.REQUEST_INVALID, "json.syntax", "", id="nothing"),
    ],
)
async def test_an_answer_that_is_not_of_its_shape_stays(
    here: Served, written: str, reason: Reason, code: str, pointer: str
) -> None:
    async with here.client() as broker:
        refused = await refusal(await opened(broker), "report", written, as_written=True)
    (record,) = checked(here)
    assert (refused.reason, refused.code, refused.pointer) == (reason, code, pointer)
    assert refused.mender is Mender.AGENT
    assert (record.permitted, record.reason, record.code) == (False, reason, code)
    assert re.fullmatch(r".*/tasks/greeting\.yaml:\d+", record.rule)
    assert verify(Path(here.settings.state_dir)).problem is None


async def test_what_no_manifest_names_does_not_go_out(here: Served) -> None:
    async with here.client() as broker:
        refused = await refusal(await opened(broker), "secret plan", GOOD)
    (record,) = checked(here)
    assert refused.reason is Reason.OUTPUT_NOT_NAMED
    assert refused.hint == "its outputs: `report`, `note`"
    assert record.output is None
    assert "secret plan" not in record.model_dump_json()


async def test_the_same_answer_sent_again_gets_its_verdict_and_spends_nothing(
    here: Served,
) -> None:
    async with here.client() as broker:
        task = await opened(broker)
        first = await task.check_output("report", GOOD, output_id="o")
        again = await task.check_output("report", GOOD, output_id="o")
        refused = await refusal(task, "report", [], output_id="p")
        repeated = await refusal(task, "report", [], output_id="p")
        reused = await refusal(task, "report", {**GOOD, "text": "Bye"}, output_id="o")
        other_form = await refusal(task, "report", "{}", output_id="p")
        used = (await task.status()).used.outputs
    assert first == again
    assert (refused.code, refused.pointer) == (repeated.code, repeated.pointer)
    assert reused.reason is other_form.reason is Reason.OUTPUT_ID_REUSED
    assert (used, len(checked(here))) == (2, 2)


async def test_a_verdict_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path, Stage()) as before, before.client() as broker:
        task = await opened(broker)
        first = await task.check_output("report", GOOD, output_id="o")
        await refusal(task, "report", [], output_id="p")
    async with serving(tmp_path, Stage()) as after, after.client() as broker:
        again = broker.task(task.id, task.token)
        assert await again.check_output("report", GOOD, output_id="o") == first
        assert (await refusal(again, "report", [], output_id="p")).code == "schema.type"
        assert (await again.outputs())[0].checks_left == 1
        assert len(checked(after)) == 2


async def test_those_who_race_for_the_last_check_do_not_both_get_it(here: Served) -> None:
    async with here.client() as broker:
        task = await opened(broker)
        sent = [task.check_output("report", {**GOOD, "text": str(n)}) for n in range(6)]
        ends = await asyncio.gather(*sent, return_exceptions=True)
        notes = [task.check_output("note", str(n)) for n in range(3)]
        rest = await asyncio.gather(*notes, return_exceptions=True)
    spent = [end.reason for end in (*ends, *rest) if isinstance(end, CallRefused)]
    assert spent == [Reason.BUDGET_SPENT] * 5
    told = [end.problem for end in ends if isinstance(end, CallRefused)]
    assert told == ["the 3 checks of output `report` are used up"] * 3
    last = {end.problem for end in rest if isinstance(end, CallRefused)}
    assert last == {"the 4 checks of the task's outputs are used up"}


async def test_refused_answers_mute_the_task_and_fill_no_log(here: Served) -> None:
    async with here.client() as broker:
        task = await opened(broker)
        for _ in range(9):
            await refusal(task, "none", 1)
        muted = await refusal(task, "report", GOOD)
        assert muted.reason is Reason.REFUSALS_SPENT
        with pytest.raises(CallRefused):
            await task.call("greet", {"name": "Ada"})
    assert len(checked(here)) == 9
    assert here.kinds().count("alert.refusals_spent") == 1


async def test_a_closed_task_answers_nothing(here: Served) -> None:
    async with here.client() as broker:
        task = await opened(broker)
        await task.close()
        assert (await refusal(task, "report", GOOD)).reason is Reason.TASK_CLOSED
        stranger = broker.task(task.id, "not-it")
        assert (await refusal(stranger, "report", GOOD)).reason is Reason.TASK_NOT_FOUND
    assert verify(Path(here.settings.state_dir)).problem is None


async def test_real_workers_say_the_same(tmp_path: Path, pool: Validators) -> None:
    async with serving(tmp_path, Stage(validators=pool)) as here, here.client() as broker:
        task = await opened(broker)
        assert (await task.check_output("report", GOOD)).value == GOOD
        assert (await refusal(task, "report", {"to": "Ada"})).code == "schema.required"


async def test_a_check_that_fells_its_worker_is_recorded_and_refuses(tmp_path: Path) -> None:
    pool = Validators(Limits(workers=1, first_uid=64430, job_time=0.001))
    await pool.start()
    try:
        async with serving(tmp_path, Stage(validators=pool)) as here, here.client() as broker:
            task = await opened(broker)
            refused = await refusal(task, "report", {**GOOD, "text": "x" * 250_000})
            used = (await task.status()).used.outputs
    finally:
        await pool.aclose()
    (record,) = checked(here)
    assert refused.reason is record.reason is Reason.CHECK_ABORTED
    assert [trace.verdict for trace in record.checks] == ["aborted"]
    assert used == 1


async def test_a_recorded_decision_comes_out_the_same_again(here: Served) -> None:
    async with here.client() as broker:
        task = await opened(broker)
        await task.check_output("report", GOOD)
        await refusal(task, "report", {**GOOD, "to": "Bob"})
    bodies = layout.bodies(Path(here.settings.state_dir))
    again = open_task(ANSWERING)
    for record in checked(here):
        body = reading.body(bodies, record.task, record.body, OutputBody)
        assert body is not None
        proposed = ProposedOutput(
            task_id=record.task,
            output_id=record.output_id,
            output=body.output,
            written=body.written.encode(),
            is_json=body.is_json,
            subject=record.subject,
            model=body.model,
        )
        matched = policy.match_output(again, proposed, again.state.opened_at)
        assert isinstance(matched, OutputCandidate)
        assert body.verdicts is not None
        decided = policy.decide_output(again, matched, body.verdicts, again.state.opened_at)
        assert isinstance(decided, AcceptedOutput) == record.permitted
        assert getattr(decided, "code", None) == record.code
        assert output_body(proposed, body.verdicts, decided, body.matched_at) == body


async def test_an_agent_learns_which_answers_there_are(here: Served) -> None:
    async with here.client() as broker:
        task = await opened(broker)
        report, note = await task.outputs()
    assert (report.name, report.checks_left) == ("report", 3)
    assert report.description == "The greeting that was sent, and to whom."
    assert report.schema["type"] == "object"
    assert report.schema["allOf"][0]["properties"]["to"] == {"const": "Ada"}
    assert (note.name, note.schema["type"]) == ("note", "string")


def use(address: str) -> object:
    with Broker.connect(address) as broker, broker.open_task("greeting", variables=FRIEND) as task:
        assert [output.name for output in task.outputs()] == ["report", "note"]
        return task.check_output("report", GOOD).value


async def test_a_blocking_client_checks_too(here: Served) -> None:
    assert await asyncio.to_thread(use, here.unix) == GOOD


async def test_a_task_s_timeline_tells_of_answers_models_and_more_time(here: Served) -> None:
    async with here.client() as broker:
        task = await opened(broker)
        await task.record_model_call(
            ModelCall(provider="example", model="large", input_tokens=7, accepted=False)
        )
        await task.check_output("report", GOOD, output_id="o-1")
        await refusal(task, "report", [], output_id="o-2")
        await task.extend(timedelta(minutes=30))
    stored = list(reading.stored(Path(here.settings.state_dir)))
    (found,) = gathering.tasks(stored)
    told = [event.what for event in timeline(found, found.opened.at)]
    assert told[1:] == [
        "model example/large called, it claims: 7 tokens in, 0 out, 0 ms, its answer rejected",
        "output report o-1: accepted, 28 bytes",
        "output report o-2: refused OUTPUT_NOT_ALLOWED schema.type",
        f"extended by {SUBJECT}: it lives for 30m",
    ]
    rows = [row(one) for one in stored]
    assert any("output.checked" in one and "refused OUTPUT_NOT_ALLOWED by" in one for one in rows)
    assert any("model.call" in one and "example/large" in one for one in rows)
