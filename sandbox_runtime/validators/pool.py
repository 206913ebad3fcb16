"""Who checks a value, when the check itself may be led astray by it?

Law: the parsers of hostile text run in processes that hold no power and can be killed
(`lockdown.py`, `process.py`); here stands how many there are and which of them is free.
Every call of `check` ends: with verdicts, aborted ones included, or with a `Fault`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import TYPE_CHECKING, Final

import structlog

from sandbox_runtime.call import Checked
from sandbox_runtime.validators.examine import Walk
from sandbox_runtime.validators.messages import Job
from sandbox_runtime.validators.process import PROGRAM, Limits, ValidatorsUnavailable, Worker

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from sandbox_runtime.call import Candidate, Check, Verdict
    from sandbox_runtime.strict import Json
    from sandbox_runtime.validators.examine import Verdicts

_BUSY: Final = "no validator worker got free in time"

_PAUSES: Final = (0.1, 0.5, 2.0)
"""Seconds before a worker that did not come up is started again; the last one repeats."""


class Validators:
    """The destinations, in killable processes that hold no power."""

    def __init__(self, limits: Limits | None = None, *, program: Sequence[str] = PROGRAM) -> None:
        self._limits = limits or Limits()
        self._program = program
        self._log = structlog.get_logger(__name__)
        self._ids = itertools.count(1)
        self._changed = asyncio.Condition()
        self._workers: dict[int, Worker] = {}
        self._idle: list[Worker] = []
        self._jobs: set[asyncio.Task[Verdicts]] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._trouble = _BUSY
        self._closed = False

    async def start(self) -> None:
        """Start the workers, and see them confined. Raises `ValidatorsUnavailable`."""
        if os.geteuid() != 0:
            raise ValidatorsUnavailable(
                "validator workers need root to become other users; start the broker as root"
            )
        try:
            await asyncio.gather(
                *[self._begin(self._admit(slot)) for slot in range(self._limits.workers)]
            )
        except BaseException:
            await self.aclose()
            raise

    async def check(self, candidate: Candidate) -> Checked:
        """Check every attempt of `candidate`, in one worker. Raises `ValidatorsUnavailable`."""
        attempts = [attempt.checks for attempt in candidate.attempts]
        return Checked(verdicts=await self._examine(dict(candidate.arguments), attempts))

    async def check_value(self, value: Json, checks: Sequence[Check]) -> tuple[Verdict, ...]:
        """Check one value. Raises `ValidatorsUnavailable`."""
        (verdicts,) = await self._examine(value, [checks])
        return verdicts

    async def aclose(self) -> None:
        """Kill every worker. Jobs in hand and in the queue end with `ValidatorsUnavailable`."""
        self._closed = True
        for task in self._starting:
            task.cancel()
        for worker in self._workers.values():
            worker.kill()
        await asyncio.gather(*self._starting, *self._jobs, return_exceptions=True)
        async with self._changed:
            self._changed.notify_all()
        await asyncio.gather(*[worker.end() for worker in self._workers.values()])

    async def _examine(self, value: Json, attempts: Sequence[Sequence[Check]]) -> Verdicts:
        """Have a worker walk through `attempts`; where nothing is due, none is asked.

        A caller that is cancelled leaves its job to end by itself, within its time: ending
        the worker instead would let callers spend workers for nothing.
        """
        walk = Walk(value, attempts)
        if walk.due is None:
            return walk.verdicts
        worker = await self._take()
        job = Job(id=next(self._ids), value=value, attempts=attempts)
        task = asyncio.create_task(self._work(worker, job))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return await asyncio.shield(task)

    async def _take(self) -> Worker:
        try:
            async with asyncio.timeout(self._limits.queue_time), self._changed:
                await self._wait_for_one()
                if not self._closed:
                    return self._idle.pop()
        except TimeoutError as error:
            raise ValidatorsUnavailable(self._trouble) from error
        raise ValidatorsUnavailable("the broker's validators are closed")

    async def _wait_for_one(self) -> None:
        """Return when a worker is free, or none will be. Whoever gives up passes its turn on."""
        try:
            await self._changed.wait_for(lambda: self._closed or self._free())
        except asyncio.CancelledError:
            self._changed.notify()  # it may have been woken already (python/cpython#112202)
            raise

    def _free(self) -> bool:
        """Return whether a living worker is idle; send for others in the dead ones' place."""
        dead = [worker for worker in self._idle if not worker.alive]
        self._idle = [worker for worker in self._idle if worker.alive]
        for worker in dead:
            self._begin(self._replace(worker))
        return bool(self._idle)

    async def _work(self, worker: Worker, job: Job) -> Verdicts:
        try:
            verdicts = await worker.work(job)
        finally:
            if worker.alive:
                await self._give_back(worker)
            elif not self._closed:
                self._begin(self._replace(worker))
        if self._closed:
            raise ValidatorsUnavailable("the broker's validators are closed")
        return verdicts

    async def _give_back(self, worker: Worker) -> None:
        async with self._changed:
            self._idle.append(worker)
            self._changed.notify()

    async def _replace(self, worker: Worker) -> None:
        """Start another worker in the place of one that is lost, until one comes up."""
        loss = worker.loss
        self._log.warning(
            "validators.worker_lost",
            pid=worker.pid,
            cause=loss.cause if loss else "crash",
            what=loss.what if loss else "it ended while it was idle",
        )
        await worker.end()
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            try:
                return await self._admit(worker.slot)
            except ValidatorsUnavailable as error:
                self._trouble = str(error)
                self._log.warning("validators.worker_unavailable", problem=self._trouble)
            await asyncio.sleep(pause)
        return None

    async def _admit(self, slot: int) -> None:
        worker = await Worker.start(self._program, slot, self._limits)
        self._workers[slot], self._trouble = worker, _BUSY
        await self._give_back(worker)

    def _begin(self, start: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(start)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        return task
