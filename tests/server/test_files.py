"""Files into and out of a task's workspace, through the real server and real filesystems."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.client import Broker, BrokerUnavailable, CallRefused, FileKind
from sandbox_runtime.errors import Reason
from sandbox_runtime.filing import putting
from sandbox_runtime.filing.putting import Putting
from sandbox_runtime.policy import files as policy_of_files
from sandbox_runtime.records import FileGot, FileHeldBack, FilePut, TaskClosed
from sandbox_runtime.server.settings import Files
from sandbox_runtime.v1 import files_pb2 as pb
from sandbox_runtime.v1.broker_pb2_grpc import BrokerServiceStub
from sandbox_runtime.validators import Limits, Validators
from sandbox_runtime.workspaces import writing
from tests.support.eventually import eventually
from tests.support.filed import FRIEND, filed, root
from tests.support.pipeline import Scripted
from tests.support.serving import SUBJECT, Stage, served
from tests.support.traces import traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import Any

    from sandbox_runtime.client import AsyncTask
    from sandbox_runtime.ledger import Live
    from tests.support.serving import Served

SECRET = b"of the host"
SOON = timedelta(milliseconds=500)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Served]:
    stage = Stage(sandbox=Scripted(held=True))
    chosen = Files.model_validate({"put": "1Mi", "get": "256Ki", "at_once": 2})
    async with served(tmp_path, stage, manifests=filed(tmp_path), files=chosen) as broker:
        yield broker
    assert traces(tmp_path) == []


@pytest.fixture
async def task(here: Served) -> AsyncIterator[AsyncTask]:
    async with here.client() as broker, await broker.open_task("filing", variables=FRIEND) as task:
        yield task


async def refusal(doing: Coroutine[Any, Any, object]) -> CallRefused:
    with pytest.raises(CallRefused) as caught:
        await doing
    return caught.value


def kinds(here: Served, start: str) -> list[str]:
    return [kind for kind in here.kinds() if kind.startswith(start)]


def header(task: AsyncTask, content: bytes, path: str = "in.txt") -> pb.PutFileRequest:
    return pb.PutFileRequest(
        header=pb.PutFileRequest.Header(
            task_id=task.id, path=path, size=len(content), sha256=sha256(content).hexdigest()
        )
    )


async def sent(here: Served, task: AsyncTask, *requests: pb.PutFileRequest) -> grpc.StatusCode:
    """Send these and no other messages; return how that ends."""

    async def each() -> AsyncIterator[pb.PutFileRequest]:
        for request in requests:
            yield request

    async with grpc.aio.insecure_channel(here.unix) as channel:
        put = BrokerServiceStub(channel).PutFile(each(), metadata=(("task-token", task.token),))
        return await put.code()


async def test_a_file_goes_in_and_comes_out_as_it_was(
    here: Served, task: AsyncTask, tmp_path: Path
) -> None:
    content = b"one line\n" * 20_000
    put = await task.put_file("data/in.txt", content)
    assert (put.size, put.sha256) == (len(content), sha256(content).hexdigest())
    assert await task.get_file("data/in.txt") == content
    got = await task.save_file("data/in.txt", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == content
    assert (got.media_type, got.sha256, got.changes) == ("text/plain", put.sha256, ())
    there = root(here, task.id) / "data" / "in.txt"
    assert there.stat().st_uid == root(here, task.id).stat().st_uid >= 70_000
    records = here.records()
    assert isinstance(records[put.record], FilePut)
    record = records[got.record]
    assert isinstance(record, FileGot)
    assert (record.subject, record.size, record.media_type) == (SUBJECT, len(content), "text/plain")
    assert "in.txt" not in record.model_dump_json()
    assert verify(Path(here.settings.state_dir)).problem is None


async def test_a_file_of_this_machine_is_sent_and_replaces_what_stood_there(
    task: AsyncTask, tmp_path: Path
) -> None:
    (tmp_path / "local").write_bytes(b"new")
    told: list[tuple[int, int]] = []
    await task.put_file("a.txt", b"old")
    await task.put_file("a.txt", tmp_path / "local", progress=lambda *done: told.append(done))
    assert await task.get_file("a.txt") == b"new"
    assert told == [(3, 3)]


async def test_files_are_listed_as_found(here: Served, task: AsyncTask) -> None:
    await task.put_file("out/end.json", b"{}")
    (root(here, task.id) / "link.md").symlink_to("/etc/passwd")
    os.mkfifo(root(here, task.id) / "pipe")
    (root(here, task.id) / "bad\nname").write_bytes(b"")
    os.utime(root(here, task.id) / "pipe", ns=(0, -(10**18)))
    found = await task.files()
    assert [(one.path, one.kind, one.size, one.kept) for one in found.entries] == [
        ("link.md", FileKind.LINK, 0, False),
        ("out", FileKind.DIRECTORY, 0, False),
        ("out/end.json", FileKind.FILE, 2, True),
        ("pipe", FileKind.SPECIAL, 0, False),
    ]
    assert (found.left_out, found.complete) == (1, True)


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "", "a\nb", "x" * 300])
async def test_a_path_that_is_none_of_the_workspace_s_is_refused(
    here: Served, task: AsyncTask, path: str
) -> None:
    for doing in (task.put_file(path, b"x"), task.get_file(path)):
        refused = await refusal(doing)
        assert (refused.reason, refused.code) == (Reason.REQUEST_INVALID, "file.path")
        assert refused.pointer == "/path"
    assert kinds(here, "file") == []


async def test_what_a_tool_planted_is_neither_read_nor_written_through(
    here: Served, task: AsyncTask, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_bytes(SECRET)
    there = root(here, task.id)
    (there / "out").symlink_to(tmp_path)
    (there / "link.txt").symlink_to(tmp_path / "secret.txt")
    (there / "plain.txt").write_bytes(b"x")
    os.link(there / "plain.txt", there / "hard.txt")
    os.mkfifo(there / "pipe.txt")
    os.mknod(there / "device.txt", 0o20666, os.makedev(1, 5))
    (there / "directory.txt").mkdir()
    for name in ("link", "hard", "pipe", "device", "directory"):
        refused = await refusal(task.get_file(f"{name}.txt"))
        assert refused.reason is Reason.FILE_REFUSED, name
    assert (await refusal(task.get_file("out/secret.txt"))).code == "file.leads_away"
    assert (await refusal(task.put_file("out/new.txt", b"x"))).code == "file.leads_away"
    assert (await refusal(task.put_file("directory.txt", b"x"))).code == "file.not_regular"
    await task.put_file("link.txt", b"mine now")
    assert (tmp_path / "secret.txt").read_bytes() == SECRET
    assert not (tmp_path / "new.txt").exists()
    assert kinds(here, "file") == ["file.put"]


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        ("a.png", b"no image", "file.type_disagrees"),
        ("a.txt", b"\x89PNG\r\n\x1a\n", "file.type_disagrees"),
        ("a.txt", b"<!DOCTYPE html><script>alert(1)</script>", "file.type_disagrees"),
        ("a.pdf", b"%PDF-1.4\n%%EOF", "file.type_not_allowed"),
        ("a.pickle", b"\x80\x04x", "file.type_not_allowed"),
        ("a.json", b'{"a":1,"a":2}', "json.duplicate_key"),
    ],
)
async def test_what_is_not_of_its_type_stays_and_that_is_recorded(
    here: Served, task: AsyncTask, path: str, content: bytes, code: str
) -> None:
    await task.put_file(path, content)
    refused = await refusal(task.get_file(path))
    assert (refused.reason, refused.code) == (Reason.FILE_REFUSED, code)
    held = [record for record in here.records() if isinstance(record, FileHeldBack)]
    assert [(record.code, record.size) for record in held] == [(code, len(content))]


async def test_a_page_leaves_without_its_script(task: AsyncTask) -> None:
    await task.put_file("a.html", b"<p onclick=steal()>Hello</p><script>steal()</script>")
    page = await task.get_file("a.html")
    assert b"Hello" in page
    assert b"steal" not in page


async def test_a_file_may_be_as_large_as_the_settings_say(here: Served, task: AsyncTask) -> None:
    await task.put_file("a.txt", b"x" * (1 << 18))
    assert len(await task.get_file("a.txt")) == 1 << 18
    await task.put_file("b.txt", b"x" * ((1 << 18) + 1))
    assert (await refusal(task.get_file("b.txt"))).reason is Reason.FILE_TOO_LARGE
    too_large = await refusal(task.put_file("c.txt", b"x" * ((1 << 20) + 1)))
    assert too_large.reason is Reason.FILE_TOO_LARGE
    with (root(here, task.id) / "sparse.txt").open("wb") as file:
        file.truncate(1 << 36)
    assert (await refusal(task.get_file("sparse.txt"))).reason is Reason.FILE_TOO_LARGE


async def put_many(task: AsyncTask) -> None:
    for number in range(20):
        await task.put_file(f"{number}.txt", b"x" * (1 << 20))


def fill(directory: Path) -> None:
    for number in range(1000):
        (directory / f"{number}").write_bytes(b"")


async def test_a_full_workspace_takes_nothing_and_keeps_what_it_has(
    here: Served, task: AsyncTask
) -> None:
    await task.put_file("a.txt", b"first")
    assert (await refusal(put_many(task))).reason is Reason.WORKSPACE_FULL
    assert 3 <= kinds(here, "file").count("file.put") - 1 <= 4
    assert await task.get_file("a.txt") == b"first"
    assert not list(root(here, task.id).glob(".put-*"))


async def test_a_workspace_without_an_inode_left_is_full(here: Served, task: AsyncTask) -> None:
    with pytest.raises(OSError, match="No space left"):
        fill(root(here, task.id))
    assert (await refusal(task.put_file("a.txt", b"x"))).reason is Reason.WORKSPACE_FULL


CHUNK = pb.PutFileRequest(chunk=b"hello")


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([], id="nothing more"),
        pytest.param([b"hell"], id="too little"),
        pytest.param([b"hello", b"!"], id="too much"),
        pytest.param([b"hallo"], id="other bytes"),
    ],
)
async def test_what_differs_from_what_was_announced_is_refused(
    here: Served, task: AsyncTask, chunks: list[bytes]
) -> None:
    pieces = [pb.PutFileRequest(chunk=chunk) for chunk in chunks]
    code = await sent(here, task, header(task, b"hello"), *pieces)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(root(here, task.id).iterdir()) == []
    assert kinds(here, "file") == []


async def test_only_a_header_and_then_chunks_are_understood(here: Served, task: AsyncTask) -> None:
    first = header(task, b"hello")
    wrong = pb.PutFileRequest()
    wrong.CopyFrom(first)
    wrong.header.sha256 = "x"
    large = pb.PutFileRequest(chunk=bytes((1 << 20) + 1))
    unknown = pb.PutFileRequest.FromString(first.SerializeToString() + b"\xf8\x7f\x01")
    for requests in ([], [CHUNK], [first, first], [wrong, CHUNK], [first, large], [unknown, CHUNK]):
        assert await sent(here, task, *requests) is grpc.StatusCode.INVALID_ARGUMENT
    assert kinds(here, "file") == []


async def test_who_hangs_up_halfway_leaves_nothing(here: Served, task: AsyncTask) -> None:
    begun = asyncio.Event()

    async def each() -> AsyncIterator[pb.PutFileRequest]:
        yield header(task, b"half and half")
        yield pb.PutFileRequest(chunk=b"half")
        begun.set()
        await asyncio.Event().wait()

    async with grpc.aio.insecure_channel(here.unix) as channel:
        put = BrokerServiceStub(channel).PutFile(each(), metadata=(("task-token", task.token),))
        await begun.wait()
        put.cancel()
    await task.put_file("after.txt", b"x")
    assert [each.name for each in root(here, task.id).iterdir()] == ["after.txt"]
    assert kinds(here, "file") == ["file.put"]


async def test_who_sends_nothing_is_cut_off_and_who_sends_on_is_not(tmp_path: Path) -> None:
    async with (
        served(tmp_path, manifests=filed(tmp_path), patience=SOON) as here,
        here.client() as broker,
    ):
        task = await broker.open_task("filing", variables=FRIEND)

        async def each() -> AsyncIterator[pb.PutFileRequest]:
            yield header(task, b"hello")
            await asyncio.Event().wait()

        async with grpc.aio.insecure_channel(here.unix) as channel:
            put = BrokerServiceStub(channel).PutFile(each(), metadata=(("task-token", task.token),))
            assert await put.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            put.cancel()
        await task.close()


async def test_who_reads_nothing_keeps_nobody_from_the_files(tmp_path: Path) -> None:
    one = Files(at_once=1)
    async with (
        served(tmp_path, manifests=filed(tmp_path), files=one, patience=SOON) as here,
        here.client() as broker,
    ):
        task = await broker.open_task("filing", variables=FRIEND)
        await task.put_file("a.txt", b"x" * (3 << 20))
        async with grpc.aio.insecure_channel(here.unix) as channel:
            request = pb.GetFileRequest(task_id=task.id, path="a.txt")
            get = BrokerServiceStub(channel).GetFile(
                request, metadata=(("task-token", task.token),)
            )
            await get.read()
            assert (await refusal(task.files())).reason is Reason.RATE_LIMITED
            await eventually(lambda: kinds(here, "file") == ["file.put", "file.got"])
            async with asyncio.timeout(20):
                while True:  # its place is free again, though it never read on
                    try:
                        await task.files()
                        break
                    except CallRefused:
                        await asyncio.sleep(0.05)
            get.cancel()
        await task.close()


async def test_a_file_is_not_read_while_a_call_has_the_files(here: Served, task: AsyncTask) -> None:
    await task.put_file("a.txt", b"before")
    call = asyncio.create_task(task.call("write", {"name": "Ada"}))
    await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
    getting = asyncio.create_task(task.get_file("a.txt"))
    putting = asyncio.create_task(task.put_file("b.txt", b"x"))
    await asyncio.sleep(0.3)
    assert not getting.done()
    assert not putting.done()
    (root(here, task.id) / "a.txt").write_bytes(b"by the call")
    here.sandbox.planned[0].let_go.set()
    await call
    assert await getting == b"by the call"
    await putting
    assert (root(here, task.id) / "b.txt").read_bytes() == b"x"


async def test_too_many_at_once_are_refused(here: Served, task: AsyncTask) -> None:
    call = asyncio.create_task(task.call("write", {"name": "Ada"}))
    await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
    waiting = [asyncio.create_task(task.put_file(f"{n}.txt", b"x")) for n in range(2)]
    await asyncio.sleep(0.3)
    assert (await refusal(task.put_file("3.txt", b"x"))).reason is Reason.RATE_LIMITED
    here.sandbox.planned[0].let_go.set()
    await asyncio.gather(call, *waiting)
    await task.put_file("3.txt", b"x")


async def test_a_task_carries_so_many_files_and_no_more(
    task: AsyncTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_of_files, "MAX_TRANSFERS", 2)
    await task.put_file("a.txt", b"x")
    await task.get_file("a.txt")
    for doing in (task.get_file("a.txt"), task.put_file("b.txt", b"x")):
        assert (await refusal(doing)).reason is Reason.BUDGET_SPENT


async def test_a_wrong_token_and_another_s_task_look_alike(here: Served, task: AsyncTask) -> None:
    async with here.client() as broker:
        for stranger in (broker.task(task.id, "wrong"), broker.task("t-0000000000000000", "x")):
            for doing in (
                stranger.put_file("a.txt", b"x"),
                stranger.get_file("a.txt"),
                stranger.files(),
            ):
                assert (await refusal(doing)).reason is Reason.TASK_NOT_FOUND
    assert kinds(here, "file") == []


async def test_a_task_without_a_workspace_has_no_files(here: Served) -> None:
    async with here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        for doing in (task.put_file("a.txt", b"x"), task.get_file("a.txt"), task.files()):
            assert (await refusal(doing)).reason is Reason.WORKSPACE_NOT_GRANTED


async def test_a_closed_task_takes_no_file(here: Served, task: AsyncTask) -> None:
    await task.close()
    assert (await refusal(task.put_file("a.txt", b"x"))).reason is Reason.TASK_CLOSED
    assert kinds(here, "file") == []


async def test_a_put_that_waited_while_the_task_was_closed_is_refused(
    here: Served, task: AsyncTask
) -> None:
    call = asyncio.create_task(task.call("write", {"name": "Ada"}))
    await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
    putting = asyncio.create_task(task.put_file("a.txt", b"x"))
    await asyncio.sleep(0.3)
    await task.close()
    await call
    with pytest.raises((CallRefused, BrokerUnavailable)):
        await putting
    assert kinds(here, "file") == []


async def test_a_task_that_is_closed_while_a_file_is_copied_gets_no_file(
    here: Served, task: AsyncTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Putting._recorded  # noqa: SLF001 - the moment before the record

    async def closed_before(self: Putting, live: Live, arrived: object) -> int:
        at, of = self._ledger.now(), live.task.state.id
        self._ledger.append(live, [TaskClosed(at=at, task=of, subject=SUBJECT)])
        return await recorded(self, live, cast("Any", arrived))

    monkeypatch.setattr(Putting, "_recorded", closed_before)
    assert (await refusal(task.put_file("a.txt", b"x"))).reason is Reason.TASK_CLOSED
    assert list(root(here, task.id).iterdir()) == []
    assert verify(Path(here.settings.state_dir)).problem is None


def use(address: str, directory: Path) -> bytes:
    with (
        Broker.connect(address) as broker,
        broker.open_task("filing", variables=FRIEND) as task,
    ):
        task.put_file("a.json", b'{ "a" : 1 }')
        assert [one.path for one in task.files().entries] == ["a.json"]
        got = task.save_file("a.json", directory / "a.json")
        assert got.changes == ("printed again in its canonical form",)
        assert (directory / "a.json").read_bytes() == b'{"a":1}'
        with pytest.raises(CallRefused):
            task.save_file("absent.json", directory / "absent.json")
        return task.get_file("a.json")


async def test_a_blocking_client_does_the_same(here: Served, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert await asyncio.to_thread(use, here.unix, out) == b'{"a":1}'
    assert [each.name for each in out.iterdir()] == ["a.json"]


async def test_hostile_bytes_meet_workers_that_hold_no_power(tmp_path: Path) -> None:
    validators = Validators(Limits(workers=1, first_uid=64_700, job_time=5.0))
    await validators.start()
    try:
        stage = Stage(validators=validators)
        async with served(tmp_path, stage, manifests=filed(tmp_path)) as here:
            await _carry_the_largest(here)
    finally:
        await validators.aclose()


async def _carry_the_largest(here: Served) -> None:
    async with here.client() as broker, await broker.open_task("filing", variables=FRIEND) as task:
        content = b"a line of text\n" * ((3 << 20) // 15)
        await task.put_file("a.txt", content)
        assert await task.get_file("a.txt") == content
        bomb = b"[" * 100_000
        await task.put_file("a.json", bomb)
        assert (await refusal(task.get_file("a.json"))).code == "json.too_deep"


async def test_who_hangs_up_while_a_piece_is_written_closes_no_file_beneath_it(
    here: Served, task: AsyncTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go, write = threading.Event(), threading.Event(), writing.write_all
    same: list[bool] = []

    def slowly(descriptor: int, piece: bytes) -> None:
        held = os.fstat(descriptor)
        began.set()
        go.wait()
        same.append(_is(descriptor, held))
        write(descriptor, piece)

    monkeypatch.setattr(writing, "write_all", slowly)

    async def each() -> AsyncIterator[pb.PutFileRequest]:
        yield header(task, b"half and half")
        yield pb.PutFileRequest(chunk=b"half")
        await asyncio.Event().wait()

    async with grpc.aio.insecure_channel(here.unix) as channel:
        put = BrokerServiceStub(channel).PutFile(each(), metadata=(("task-token", task.token),))
        await asyncio.to_thread(began.wait)
        put.cancel()
        await asyncio.sleep(0.3)
        go.set()
    await task.put_file("after.txt", b"x")
    assert same[0], "what is written to is the file that it was"


def _is(descriptor: int, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file)
    except OSError:
        return False


async def test_who_sends_a_byte_now_and_then_does_not_keep_its_place(
    here: Served, task: AsyncTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(putting, "_BEFORE", 0.5)

    async def each() -> AsyncIterator[pb.PutFileRequest]:
        yield header(task, b"x" * 4096)
        while True:
            yield pb.PutFileRequest(chunk=b"")
            await asyncio.sleep(0.05)

    async with grpc.aio.insecure_channel(here.unix) as channel:
        put = BrokerServiceStub(channel).PutFile(each(), metadata=(("task-token", task.token),))
        assert await put.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        put.cancel()
    await task.put_file("after.txt", b"x")
    assert kinds(here, "file") == ["file.put"]
