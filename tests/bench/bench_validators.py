"""What does it cost that a check runs in another process?

One trivial check, one after the other, through the pool and back; beside it the same check
in this process, and the same bytes through a pipe to `cat` and back, read and written by
the same event loop.

Aim: half of the hops take less than a millisecond, which is little beside a container.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from sandbox_runtime.call import Check
from sandbox_runtime.validators import Limits, Validators
from sandbox_runtime.validators.examine import examine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox_runtime.strict import Json

HOPS: Final = 2000
AIM_MS: Final = 1.0
VALUE: Final[dict[str, Json]] = {"name": "monthly report"}
CHECK: Final = Check(pointer="/name", kind="schema", settings={"type": "string"}, rule=("spec",))


def run() -> list[dict[str, Any]]:
    """Measure and return the rows of the table. Needs root, as the workers do."""
    return asyncio.run(_run())


async def _run() -> list[dict[str, Any]]:
    validators = Validators(Limits(workers=1))
    began = time.perf_counter()
    await validators.start()
    started = time.perf_counter() - began
    try:
        ours = await _times(lambda: _hop(validators))
    finally:
        await validators.aclose()
    here, pipe = await _times(_here), await _through_cat()
    return [
        _row("p50", ours, here, pipe, at=0.5),
        _row("p99", ours, here, pipe, at=0.99),
        {
            "name": "validator worker, from nothing to confined",
            "value": round(started * 1000),
            "unit": "ms",
            "aim": None,
            "met": None,
            "peers": {},
        },
    ]


def _row(
    name: str, ours: list[float], here: list[float], pipe: list[float], *, at: float
) -> dict[str, Any]:
    value = _quantile(ours, at)
    aim = AIM_MS if name == "p50" else None
    return {
        "name": f"validator hop, {name}",
        "value": value,
        "unit": "ms",
        "aim": aim,
        "met": None if aim is None else value <= aim,
        "peers": {
            "in process": _quantile(here, at),
            "bytes through cat": _quantile(pipe, at),
        },
    }


def _quantile(times: list[float], at: float) -> float:
    return round(sorted(times)[int(len(times) * at)] * 1000, 3)


async def _times(hop: Callable[[], Awaitable[object]]) -> list[float]:
    times = []
    for _ in range(HOPS):
        began = time.perf_counter()
        await hop()
        times.append(time.perf_counter() - began)
    return times


async def _hop(validators: Validators) -> None:
    """Check through the pool; a hop that ends in an abort measures nothing."""
    if await validators.check_value(VALUE, [CHECK]) != examine(VALUE, [CHECK]):
        raise RuntimeError("the worker did not say what the destination says")


async def _here() -> None:
    examine(VALUE, [CHECK])


async def _through_cat() -> list[float]:
    pipe = asyncio.subprocess.PIPE
    cat = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
    if cat.stdin is None or cat.stdout is None:
        raise RuntimeError("cat has no pipes")
    stdin, stdout, text = cat.stdin, cat.stdout, CHECK.model_dump_json().encode()

    async def hop() -> bytes:
        stdin.write(text)
        return await stdout.readexactly(len(text))

    times = await _times(hop)
    stdin.close()
    await cat.wait()
    return times
