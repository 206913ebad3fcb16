"""Where a task's variables come from and what its results are labelled, over the wire."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sandbox_runtime.client import CallRefused
from sandbox_runtime.errors import Mender, Reason
from sandbox_runtime.manifests.constraint import Scalar
from sandbox_runtime.records import CallOutcome, TaskOpened, leaf, parse
from sandbox_runtime.server.settings import Peer
from sandbox_runtime.v1 import broker_pb2 as pb
from tests.support.manifests import SOURCES, TASK, TOOL
from tests.support.serving import SUBJECT, served, write_tree
from tests.support.wire_calls import info, refused

FRIEND = 'friend: {type: string, regex: "[A-Z][a-z]+"}'
MAIL = FRIEND + "\n    mail: {format: email}\n    house: {value: Mrs}"
NAMED = "name: {one_of: [$friend, $mail, $house]}"


def tree(directory: Path, variables: str, tool: str = TOOL) -> str:
    """Write the manifests with these variables; return their directory."""
    text = TASK.replace(FRIEND, variables)
    if "$mail" not in text and "mail" in variables:
        text = text.replace("name: {exact: $friend}", NAMED)
    files = {**SOURCES, "greet/tool.yaml": tool, "tasks/greeting.yaml": text}
    return str(write_tree(directory / "own", files))


async def test_a_variable_travels_in_the_form_of_its_format_and_its_origin_is_recorded(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, manifests=tree(tmp_path, MAIL)) as here, here.client() as broker:
        brought = {"friend": "Ada", "mail": "Ada@Example.COM"}
        async with await broker.open_task("greeting", variables=brought) as task:
            assert (await task.check("greet", {"name": "Ada@example.com"})).grant == "friends"
            assert (await task.check("greet", {"name": "Mrs"})).grant == "friends"
            with pytest.raises(CallRefused):
                await task.check("greet", {"name": "Ada@Example.COM"})
    (opened,) = [one for one in here.records() if isinstance(one, TaskOpened)]
    assert opened.variables == {"friend": "opener", "mail": "opener", "house": "manifest"}


@pytest.mark.parametrize(
    "mail", ["ada@example.com\r\nbcc: eve@evil.example", "\u0430da@example.com", "ada@example.com."]
)
async def test_a_variable_that_only_looks_like_its_format_opens_no_task(
    tmp_path: Path, mail: str
) -> None:
    async with served(tmp_path, manifests=tree(tmp_path, MAIL)) as here, here.client() as broker:
        with pytest.raises(CallRefused) as caught:
            await broker.open_task("greeting", variables={"friend": "Ada", "mail": mail})
    assert (caught.value.reason, caught.value.pointer) == (Reason.VARIABLE_INVALID, "/mail")
    assert "task.opened" not in here.kinds()


async def test_an_identity_without_the_claim_opens_no_task_and_cannot_bring_it(
    tmp_path: Path,
) -> None:
    own = tree(tmp_path, "friend: {source: identity_claim, claim: given_name}")
    async with served(tmp_path, manifests=own) as here, here.client() as broker:
        with pytest.raises(CallRefused, match="carries no claim `given_name`") as missing:
            await broker.open_task("greeting")
        with pytest.raises(CallRefused, match="comes from the opener's identity") as brought:
            await broker.open_task("greeting", variables={"friend": "Ada"})
    assert missing.value.reason is Reason.CLAIM_INVALID
    assert missing.value.mender is Mender.OPERATOR
    assert brought.value.reason is Reason.VARIABLE_INVALID
    assert "task.opened" not in here.kinds()


CLAIMED = "friend: {source: identity_claim, claim: given_name}"
GATEWAY = "agent:gateway"


def known(subject: str = SUBJECT, **claims: Scalar) -> tuple[Peer, ...]:
    return (Peer(uid=os.geteuid(), subject=subject, claims=claims),)


async def test_a_claim_of_the_callers_identity_decides_what_its_calls_may_be(
    tmp_path: Path,
) -> None:
    own = tree(tmp_path, CLAIMED)
    async with (
        served(tmp_path, manifests=own, peers=known(given_name="Ada", friend="Eve")) as here,
        here.client() as broker,
        await broker.open_task("greeting") as task,
    ):
        assert (await task.check("greet", {"name": "Ada"})).grant == "friends"
        with pytest.raises(CallRefused):
            await task.check("greet", {"name": "Eve"})
    (opened,) = [one for one in here.records() if isinstance(one, TaskOpened)]
    assert opened.variables == {"friend": "identity_claim"}


async def test_a_claim_of_another_type_opens_no_task(tmp_path: Path) -> None:
    own = tree(tmp_path, CLAIMED)
    async with (
        served(tmp_path, manifests=own, peers=known(given_name=7)) as here,
        here.client() as broker,
    ):
        with pytest.raises(CallRefused, match=r"claim `given_name`.*: not a string") as caught:
            await broker.open_task("greeting")
    assert caught.value.reason is Reason.CLAIM_INVALID


async def test_a_delegates_claims_are_not_those_of_whom_it_asks_for(tmp_path: Path) -> None:
    own = tree(tmp_path, CLAIMED)
    task = Path(own) / "tasks/greeting.yaml"
    task.write_text(task.read_text().replace("  var", f'  delegates: ["{GATEWAY}"]\n  var'))
    async with served(tmp_path, manifests=own, peers=known(GATEWAY, given_name="Ada")) as here:
        asked = pb.OpenTaskRequest(manifest="greeting")
        error = await refused(here.unix, "OpenTask", asked, (("on-behalf-of", SUBJECT),))
    assert info(error).reason == "CLAIM_INVALID"


LABELLED = TOOL.replace(
    "model_text: {}}",
    "model_text: {}, labels: {integrity: trusted, confidentiality: internal, source: ledger}}",
)


@pytest.mark.parametrize(
    ("tool", "labels"),
    [
        pytest.param(TOOL, ("untrusted", "restricted", "greet"), id="named by nobody"),
        pytest.param(LABELLED, ("trusted", "internal", "ledger"), id="named by the tool"),
    ],
)
async def test_a_result_carries_its_labels_to_the_caller_and_into_the_log(
    tmp_path: Path, tool: str, labels: tuple[str, str, str]
) -> None:
    own = tree(tmp_path, FRIEND, tool)
    async with (
        served(tmp_path, manifests=own) as here,
        here.client() as broker,
        await broker.open_task("greeting", variables={"friend": "Ada"}) as task,
    ):
        end = await task.call("greet", {"name": "Ada"})
        assert (await task.get(end.call_id)).end == end
    assert (end.integrity, end.confidentiality, end.source) == labels
    (outcome,) = [one for one in here.records() if isinstance(one, CallOutcome)]
    assert (outcome.integrity, outcome.confidentiality, outcome.source) == labels


async def test_records_from_before_variables_and_labels_were_kept_still_read(
    tmp_path: Path,
) -> None:
    async with (
        served(tmp_path) as here,
        here.client() as broker,
        await broker.open_task("greeting", variables={"friend": "Ada"}) as task,
    ):
        await task.call("greet", {"name": "Ada"})
    for record in here.records():
        old = json.loads(leaf(record))
        for key in ("variables", "confidentiality", "source"):
            old.pop(key, None)
        again = parse(json.dumps(old).encode())
        if isinstance(again, TaskOpened):
            assert again.variables == {}
        if isinstance(again, CallOutcome):
            assert (again.confidentiality, again.source) == (None, None)
