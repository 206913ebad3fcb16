"""How is one worker process started, given a job, and ended?

Law: a worker works only once the kernel shows that it holds no power. Whatever it does
that the protocol does not foresee, and whatever it leaves undone within its time, ends
it; the value that it was busy with is then `CheckAborted`, never passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sandbox_runtime.call import CheckAborted, Finding
from sandbox_runtime.errors import Fault, Reason
from sandbox_runtime.validators import messages, readback
from sandbox_runtime.validators.examine import Walk
from sandbox_runtime.validators.lockdown import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.call import Objected
    from sandbox_runtime.validators.examine import Due, Verdicts

Cause = Literal["time", "memory", "crash"]

PROGRAM: Final = (sys.executable, "-I", "-X", "utf8", "-m", "sandbox_runtime.validators.worker")
"""Isolated: neither the environment nor the working directory says what is imported."""


class ValidatorsUnavailable(Fault):
    """Values cannot be checked now, and so nothing runs."""

    reason = Reason.SANDBOX_UNAVAILABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Ceilings on the workers. Times are in seconds, sizes in bytes."""

    workers: int = 3
    """Two for a small machine's work, and one warm for when one of them is killed."""
    first_uid: int = 64100
    """The workers' user ids start here; no other account of the machine may have them."""
    job_time: float = 2.0
    """From handing out a job to its last verdict."""
    queue_time: float = 5.0
    """How long a job may wait for a worker that is ready."""
    start_time: float = 30.0
    """From starting a worker to its being ready, imports included."""
    memory: int = 512 << 20
    """Address space; the interpreter and its libraries take about 100 MiB of it."""
    frame_bytes: int = 16 << 20

    def terms(self, slot: int) -> Terms:
        """Return what the worker in `slot` is told."""
        return Terms(uid=self.first_uid + slot, memory=self.memory, frame_bytes=self.frame_bytes)


class _Violation(Exception):  # noqa: N818 - what the worker did
    """The worker broke the protocol, or hung up."""

    def __init__(self, what: str, cause: Cause = "crash") -> None:
        super().__init__(what)
        self.what, self.cause = what, cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Why a worker was killed."""

    cause: Cause
    what: str
    """For operators; never a part of the value."""


class Worker:
    """One confined process. Does one job at a time, and none after the first failure."""

    def __init__(self, process: asyncio.subprocess.Process, slot: int, limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self._killed = False
        self.slot = slot
        self.pid = process.pid
        self.loss: Loss | None = None

    @property
    def alive(self) -> bool:
        """Whether it can be given a job, as far as is known."""
        gone = self._process.returncode is not None or self._stdout.at_eof()
        return not (self._killed or gone)

    @classmethod
    async def start(cls, program: Sequence[str], slot: int, limits: Limits) -> Worker:
        """Start a worker and see it confined. Raises `ValidatorsUnavailable`.

        The process is made by exec from a vfork, never by `os.fork`: gRPC's threads do not
        survive one.
        """
        terms = limits.terms(slot)
        try:
            process = await asyncio.create_subprocess_exec(
                *program,
                terms.model_dump_json(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise ValidatorsUnavailable(f"no validator worker can be started: {error}") from error
        worker = cls(process, slot, limits)
        try:
            await worker._see_ready(terms)
        except BaseException:
            await worker.end()
            raise
        return worker

    async def work(self, job: messages.Job) -> Verdicts:
        """Return the verdicts on `job`.

        Where the worker fails, it is killed, and what was due ends with `CheckAborted`; so
        do the attempts that had not begun: a value that felled one worker meets no other.
        """
        walk = Walk(job.value, job.attempts)
        try:
            async with asyncio.timeout(self._limits.job_time):
                await self._converse(job, walk)
        except TimeoutError:
            self._abort(walk, Loss(cause="time", what="it was not done in time"))
        except _Violation as violation:
            self._abort(walk, Loss(cause=violation.cause, what=violation.what))
        except BaseException:
            self.kill()
            raise
        return walk.verdicts

    async def end(self) -> None:
        """Kill the process, and wait until it is gone."""
        self.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    def kill(self) -> None:
        """Kill the process, stopped or not, and whatever it started before its lockdown."""
        self._killed = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    @property
    def _stdout(self) -> asyncio.StreamReader:
        if self._process.stdout is None:
            raise ValidatorsUnavailable("the worker has no pipe")
        return self._process.stdout

    async def _see_ready(self, terms: Terms) -> None:
        try:
            async with asyncio.timeout(self._limits.start_time):
                message = await self._hear()
        except TimeoutError as error:
            raise ValidatorsUnavailable("a validator worker did not get ready in time") from error
        except _Violation as violation:
            raise ValidatorsUnavailable(await self._why(violation)) from violation
        if isinstance(message, messages.Unable):
            raise ValidatorsUnavailable(_mend(message))
        if not isinstance(message, messages.Ready):
            raise ValidatorsUnavailable("a validator worker spoke before it was ready")
        self._see_confined(terms)

    def _see_confined(self, terms: Terms) -> None:
        try:
            found = readback.differences(terms, readback.seen(self.pid))
        except OSError as error:
            raise ValidatorsUnavailable(f"the worker cannot be looked at: {error}") from error
        if found:
            raise ValidatorsUnavailable(f"a validator worker is not confined: {'; '.join(found)}")

    async def _why(self, violation: _Violation) -> str:
        """Say why no worker came up; its standard error is open until the lockdown."""
        self.kill()
        text = await self._process.stderr.read(1 << 16) if self._process.stderr else b""
        last = text.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return f"a validator worker did not get ready: {last or violation.what}"

    async def _converse(self, job: messages.Job, walk: Walk) -> None:
        await self._hand_out(job)
        while (due := walk.due) is not None:
            message = await self._hear()
            if isinstance(message, messages.Broke):
                raise _Violation(message.what, message.cause)
            if not isinstance(message, messages.Said) or message.job != job.id:
                raise _Violation("it did not answer the job at hand")
            walk.hear(_fitting(due, message.verdict))

    async def _hand_out(self, job: messages.Job) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise _Violation("the worker has no pipe")
        limit = self._limits.frame_bytes
        try:
            stdin.write(messages.frame(messages.job_body(job), max_bytes=limit))
            await stdin.drain()
        except messages.FrameError as error:
            raise _Violation(str(error), "memory") from error
        except ConnectionError as error:
            raise _Violation("it hung up") from error

    async def _hear(self) -> messages.Message:
        limit = self._limits.frame_bytes
        try:
            header = await self._stdout.readexactly(messages.HEADER.size)
            length = messages.body_length(header, max_bytes=limit)
            return messages.read_message(await self._stdout.readexactly(length))
        except messages.FrameError as error:
            raise _Violation(str(error)) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _Violation("it hung up") from error

    def _abort(self, walk: Walk, loss: Loss) -> None:
        self.kill()
        self.loss = loss
        while (due := walk.due) is not None:
            check = due.check
            walk.hear(CheckAborted(pointer=check.pointer, kind=check.kind, cause=loss.cause))


def _fitting(due: Due, verdict: Finding | Objected) -> Finding | Objected:
    """Return `verdict` where it speaks of what was due."""
    at = due.check.pointer
    placed = verdict.pointer == at or (
        not isinstance(verdict, Finding) and verdict.pointer.startswith(f"{at}/")
    )
    if verdict.kind != due.check.kind or not placed:
        raise _Violation("its verdict is not on what was due")
    return verdict


def _mend(unable: messages.Unable) -> str:
    return (
        f"validator workers cannot give up their power: {unable.step}: {unable.problem}; "
        "start the broker as root, with CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_SETPCAP "
        "and CAP_SYS_RESOURCE"
    )
