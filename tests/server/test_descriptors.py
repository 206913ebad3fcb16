"""Connections of strangers, against a process that may open only so many files."""

from __future__ import annotations

import asyncio
import resource
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.server import descriptors
from tests.support.identities import issue, listen
from tests.support.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def limit() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_broker_takes_the_descriptors_that_it_may_have(
    tmp_path: Path, limit: tuple[int, int]
) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, limit[1]))
    async with served(tmp_path):
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1024


async def test_strangers_leave_enough_descriptors_for_those_who_are_known(
    tmp_path: Path, limit: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = issue(tmp_path / "state", "token")
    rules = ssl.create_default_context(cafile=str(holder.ca))
    rules.set_alpn_protocols(["h2"])
    async with served(tmp_path, listen=listen(tmp_path, tokens=True)) as here, here.client() as us:
        assert here.ready.tls is not None
        host, _, port = here.ready.tls.rpartition(":")
        # What earlier tests hold, and the strangers' own ends, are this process's, too.
        own = descriptors_now() + 260
        monkeypatch.setattr(descriptors, "_OWN", own)
        resource.setrlimit(resource.RLIMIT_NOFILE, (own + 60, limit[1]))
        strangers = [await stranger(host, int(port), rules) for _ in range(100)]
        let_in = [each for each in strangers if each is not None]
        task = await us.open_task("greeting", variables={"friend": "Ada"})
        assert (await task.call("greet", {"name": "Ada"})).ok
        assert 0 < len(let_in) <= descriptors.connections() < len(strangers)
        for each in let_in:
            each.close()


def descriptors_now() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def stranger(host: str, port: int, rules: ssl.SSLContext) -> asyncio.StreamWriter | None:
    try:
        return (await asyncio.open_connection(host, port, ssl=rules))[1]
    except OSError:
        return None
