"""Every method, for every role, at every door."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio
import pytest

from sandbox_runtime.server.caller import Role
from sandbox_runtime.server.settings import Peer
from sandbox_runtime.v1 import audit_pb2, broker_pb2
from tests.support.identities import issue, listen
from tests.support.serving import SUBJECT, served
from tests.support.wire_calls import info

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.wire_calls import Metadata

OPENER, AGENT, BOTH, AUDITOR = (
    {Role.OPENER},
    {Role.AGENT},
    {Role.OPENER, Role.AGENT},
    {Role.AUDITOR},
)
SERVED: Final[Mapping[str, set[Role]]] = {
    "OpenTask": OPENER,
    "ExtendTask": OPENER,
    "AddUserInput": OPENER,
    "GetTask": BOTH,
    "CloseTask": BOTH,
    "PutFile": BOTH,
    "ListFiles": BOTH,
    "GetFile": BOTH,
    "ListTools": AGENT,
    "CheckCall": AGENT,
    "CallTool": AGENT,
    "GetCall": AGENT,
    "WatchCall": AGENT,
    "CancelCall": AGENT,
    "RecordModelCall": AGENT,
    "ListOutputs": AGENT,
    "CheckOutput": AGENT,
    "Query": AUDITOR,
    "Tail": AUDITOR,
}
SERVICES = (
    broker_pb2.DESCRIPTOR.services_by_name["BrokerService"],
    audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
)
UNKNOWN_FIELD: Final = bytes([0xC0, 0x3E, 0x01])
METHODS = {each.name: f"/{of.full_name}/{each.name}" for of in SERVICES for each in of.methods}


def test_the_table_names_every_method() -> None:
    assert SERVED.keys() == METHODS.keys()


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("kind", ["certificate", "token"])
async def test_an_issued_identity_is_served_what_its_role_names(
    tmp_path: Path, kind: str, role: Role
) -> None:
    holder = issue(tmp_path / "state", kind, roles=(role,))
    async with (
        served(tmp_path, listen=listen(tmp_path, tokens=True)) as here,
        holder.channel(str(here.ready.tls)) as through,
    ):
        shown = holder.bearer if kind == "token" else ()
        assert await turned_away(through, shown) == others(role)


@pytest.mark.parametrize("role", list(Role))
async def test_a_user_of_this_machine_is_served_what_its_role_names(
    tmp_path: Path, role: Role
) -> None:
    peers = (Peer(uid=os.geteuid(), subject=SUBJECT, roles=(role,)),)
    async with (
        served(tmp_path, peers=peers) as here,
        grpc.aio.insecure_channel(here.unix) as through,
    ):
        assert await turned_away(through) == others(role)


async def test_no_role_is_worth_anything_to_a_stranger(tmp_path: Path) -> None:
    async with served(tmp_path) as here, grpc.aio.insecure_channel(here.loopback) as through:
        found = {name: (await code(through, path, ()))[0] for name, path in METHODS.items()}
    assert set(found.values()) == {grpc.StatusCode.UNAUTHENTICATED}


def others(role: Role) -> set[str]:
    return {name for name, roles in SERVED.items() if role not in roles}


async def turned_away(through: grpc.aio.Channel, shown: Metadata = ()) -> set[str]:
    """Return which methods are not for this caller's role."""
    said = {name: await code(through, path, shown) for name, path in METHODS.items()}
    denied = (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
    return {name for name, each in said.items() if each == denied}


async def code(
    through: grpc.aio.Channel, path: str, shown: Metadata
) -> tuple[grpc.StatusCode, str]:
    """Send what nobody takes; return with which code and reason that ends."""
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = through.stream_stream(path)
    call = method(iter([UNKNOWN_FIELD]), metadata=shown, timeout=10)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    error = caught.value
    return error.code(), info(error).reason
