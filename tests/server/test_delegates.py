from __future__ import annotations

import os
from typing import TYPE_CHECKING

import grpc
import pytest

from sandbox_runtime.records import AuthRefused, TaskOpened
from sandbox_runtime.server.settings import Peer
from sandbox_runtime.v1 import broker_pb2 as pb
from tests.support.manifests import SOURCES, TASK
from tests.support.serving import SUBJECT, served, write_tree
from tests.support.wire_calls import info, refused, send

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.serving import Served
    from tests.support.wire_calls import Metadata

GATEWAY = "agent:gateway"
BEHALF = ("on-behalf-of", SUBJECT)
OPEN = pb.OpenTaskRequest(manifest="greeting", variables_json='{"friend":"Ada"}')
DELEGATING = TASK.replace("  variables:", f'  delegates: ["{GATEWAY}"]\n  variables:')


def tree(directory: Path) -> str:
    return str(
        write_tree(directory / "with-delegate", {**SOURCES, "tasks/greeting.yaml": DELEGATING})
    )


def as_(subject: str) -> tuple[Peer, ...]:
    return (Peer(uid=os.geteuid(), subject=subject),)


async def opened(here: Served) -> tuple[str, Metadata]:
    answer = await send(here.unix, "OpenTask", OPEN, (BEHALF,))
    assert isinstance(answer, bytes), answer
    task = pb.OpenTaskResponse.FromString(answer)
    return task.task_id, (("task-token", task.task_token),)


async def test_a_delegate_that_the_manifest_names_opens_a_task_for_its_subject(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, manifests=tree(tmp_path), peers=as_(GATEWAY)) as here:
        task, token = await opened(here)
        asked = pb.AddUserInputRequest(
            task_id=task, prompt=[pb.PromptPart(source=pb.PromptPart.SOURCE_TYPED, text="more")]
        )
        assert isinstance(await send(here.unix, "AddUserInput", asked, (*token, BEHALF)), bytes)
        (record,) = [each for each in here.records() if isinstance(each, TaskOpened)]
    assert (record.subject, record.delegate) == (SUBJECT, GATEWAY)
    async with served(tmp_path, manifests=tree(tmp_path), peers=as_(SUBJECT)) as here:
        assert isinstance(await send(here.unix, "AddUserInput", asked, token), bytes)
    async with served(tmp_path, manifests=tree(tmp_path), peers=as_("agent:other")) as here:
        error = await refused(here.unix, "AddUserInput", asked, token)
    assert info(error).reason == "OPENER_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("caller", "behalf", "reason"),
    [
        pytest.param("agent:other", SUBJECT, "DELEGATE_NOT_ALLOWED", id="another caller"),
        pytest.param(SUBJECT, GATEWAY, "DELEGATE_NOT_ALLOWED", id="the other way round"),
        pytest.param(SUBJECT, SUBJECT, "DELEGATE_NOT_ALLOWED", id="for itself"),
        pytest.param(GATEWAY, "agent:other", "OPENER_NOT_ALLOWED", id="for no opener"),
        pytest.param(GATEWAY, "", "OPENER_NOT_ALLOWED", id="for nobody"),
        pytest.param(GATEWAY, GATEWAY, "OPENER_NOT_ALLOWED", id="as its own principal"),
    ],
)
async def test_nobody_else_opens_a_task_for_another(
    tmp_path: Path, caller: str, behalf: str, reason: str
) -> None:
    async with served(tmp_path, manifests=tree(tmp_path), peers=as_(caller)) as here:
        error = await refused(here.unix, "OpenTask", OPEN, (("on-behalf-of", behalf),))
        await here.stop()
        counted = [each.reasons for each in here.records() if isinstance(each, AuthRefused)]
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert info(error).reason == reason
    assert counted == ([{"not_the_delegate": 1}] if reason == "DELEGATE_NOT_ALLOWED" else [])
    assert "task.opened" not in here.kinds()


async def test_where_the_manifest_names_no_delegate_nobody_stands_in(tmp_path: Path) -> None:
    async with served(tmp_path, peers=as_(GATEWAY)) as here:
        error = await refused(here.unix, "OpenTask", OPEN, (BEHALF,))
    assert info(error).reason == "DELEGATE_NOT_ALLOWED"


async def test_who_asks_for_two_at_once_asks_for_nobody(tmp_path: Path) -> None:
    async with served(tmp_path, manifests=tree(tmp_path), peers=as_(GATEWAY)) as here:
        error = await refused(here.unix, "OpenTask", OPEN, (BEHALF, BEHALF))
    assert info(error).reason == "REQUEST_INVALID"


async def test_a_task_s_token_makes_nobody_its_delegate(tmp_path: Path) -> None:
    async with served(tmp_path, manifests=tree(tmp_path), peers=as_(GATEWAY)) as here:
        task, token = await opened(here)
    asked = pb.ListToolsRequest(task_id=task)
    async with served(tmp_path, manifests=tree(tmp_path), peers=as_("agent:other")) as here:
        error = await refused(here.unix, "ListTools", asked, (*token, BEHALF))
        assert isinstance(await send(here.unix, "ListTools", asked, token), bytes)
    assert info(error).reason == "DELEGATE_NOT_ALLOWED"
