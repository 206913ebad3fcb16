"""What does a worker process do?

Law: it gives up its power before it reads its first job, and it never recovers: what is
not a destination's answer ends it. It is started as

    python -I -m sandbox_runtime.validators.worker TERMS

as root, TERMS in JSON. Everything is imported before the lockdown, for afterwards there
is no file to import from.
"""

from __future__ import annotations

import gc
import io
import sys

from sandbox_runtime.validators import messages
from sandbox_runtime.validators.examine import Walk, judge
from sandbox_runtime.validators.lockdown import Terms, Unconfined, lock_down


class Wire:
    """Frames over two pipes. Reading and writing block."""

    def __init__(self, jobs: io.BufferedReader, verdicts: io.FileIO, frame_bytes: int) -> None:
        self._jobs, self._verdicts, self._frame_bytes = jobs, verdicts, frame_bytes
        self._out_of_memory = self._framed(messages.Broke(cause="memory", what="MemoryError"))

    def job(self) -> messages.Job | None:
        """Return the next job; None once the pool has hung up."""
        header = self._jobs.read(messages.HEADER.size)
        if len(header) < messages.HEADER.size:
            return None
        length = messages.body_length(header, max_bytes=self._frame_bytes)
        return messages.read_job(self._jobs.read(length))

    def say(self, message: messages.Message) -> None:
        """Send one message, whole."""
        self._send(self._framed(message))

    def say_out_of_memory(self) -> None:
        """Send the last words that take no memory to write."""
        self._send(self._out_of_memory)

    def _framed(self, message: messages.Message) -> memoryview:
        body = messages.message_body(message)
        return memoryview(messages.frame(body, max_bytes=self._frame_bytes))

    def _send(self, rest: memoryview) -> None:
        while rest:
            rest = rest[self._verdicts.write(rest) :]


def main(argv: list[str]) -> int:
    """Lock down, then work until the pool hangs up. Returns the exit status."""
    terms = Terms.model_validate_json(argv[1])
    wire = Wire(io.BufferedReader(io.FileIO(0)), io.FileIO(1, "w"), terms.frame_bytes)
    _prepare()
    try:
        lock_down(terms)
    except Unconfined as unconfined:
        wire.say(messages.Unable(step=unconfined.step, problem=unconfined.problem))
        return 1
    wire.say(messages.Ready())
    return _serve(wire)


def _prepare() -> None:
    """Leave nothing to collect but what jobs leave behind, and nowhere to print to.

    What a library prints would otherwise end up between two frames.
    """
    sys.stdin = sys.stdout = sys.stderr = None
    gc.collect()
    gc.freeze()


def _serve(wire: Wire) -> int:
    try:
        while (job := wire.job()) is not None:
            _work(wire, job)
    except MemoryError:
        wire.say_out_of_memory()
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is, it ends the worker
        wire.say(messages.Broke(cause="crash", what=_what(error)))
    return 0


def _work(wire: Wire, job: messages.Job) -> None:
    walk = Walk(job.value, job.attempts)
    while (due := walk.due) is not None:
        verdict = judge(due)
        wire.say(messages.Said(job=job.id, verdict=verdict))
        walk.hear(verdict)


def _what(error: BaseException) -> str:
    """Name the error and the line that raised it; its text may quote the value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    text = f"{type(error).__name__} at {where}"
    return text.encode("ascii", "replace").decode("ascii")[:300]


if __name__ == "__main__":
    sys.exit(main(sys.argv))
