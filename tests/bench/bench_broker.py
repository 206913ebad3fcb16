"""What does a call cost a client, over the container itself, and what does a decision cost?

The broker is the one that everybody starts, in a process of its own; the client is ours, over
its Unix socket. The peer of a call is the very same container by raw API calls, as in
`bench_sandbox`, by turns with it: to the tool's answer, and until the container is gone.
What ours does beside it: gRPC, the decision, a checked argument and result, the walls read
back, and three appends that are durable.

Aims: a call takes at most 1.15 times its container. A decision takes less than 10 ms, which
nobody notices beside one.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sandbox_runtime.client import AsyncBroker
from sandbox_runtime.evidence import layout
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.records import CallClosed, parse
from sandbox_runtime.sandbox import lock
from sandbox_runtime.sandbox.calls import RUNNER
from sandbox_runtime.sandbox.plan import ContainerPlan, Identity, plan
from tests.bench.bench_sandbox import Took, compared, raw_call
from tests.support.commands import SUBJECT, Place, serving, settle

if TYPE_CHECKING:
    from sandbox_runtime.client import AsyncTask

ROUNDS: Final = 25
WARM_UP: Final = 3
CHECKS: Final = 1500
AT_ONCE: Final = 8
AIM_MS: Final = 10.0

TOOL = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: bench_one, version: 1.0.0, owner: tests}
spec:
  description: Answer 1.
  program: {image: {build: .}, command: [/usr/bin/python3, -I, -S, /tool/main.py]}
  arguments:
    note: {type: string, role: control, maxLength: 100, default: ""}
  result: {schema: {type: integer}, model_text: {}}
  sandbox: {cpu: 1.0, wall_time: 30s}
"""
PROGRAM = """\
import os, sys
sys.stdin.readline()
os.write(3, b'{"result": 1}\\n')
"""
TASK = f"""\
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {{name: bench, version: 1.0.0, owner: tests}}
spec:
  opened_by: ["{SUBJECT}"]
  grants:
    - id: one
      tool: bench_one
      why: to measure
      max_calls: 1000000
      arguments: {{note: {{length: {{max: 50}}}}}}
  budgets: {{calls: 1000000, checks: 1000000, wall_time: 7d, result_bytes: 1Gi}}
"""
SOURCES = {"bench_one/tool.yaml": TOOL, "bench_one/main.py": PROGRAM, "tasks/bench.yaml": TASK}
OPEN = {"per_second": 1_000_000, "burst": 1_000_000}


def run() -> list[dict[str, Any]]:
    """Measure and return the rows of the table. Builds a tool, and needs root."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        place = settle(Path(directory), SOURCES, rates={"subject": OPEN, "task": OPEN})
        with serving(place):
            return asyncio.run(_measured(place))


async def _measured(place: Place) -> list[dict[str, Any]]:
    async with (
        AsyncBroker.connect(place.address) as broker,
        await broker.open_task("bench") as task,
    ):
        return [*await _calls(place, task), *await _checks(task)]


async def _calls(place: Place, task: AsyncTask) -> list[dict[str, Any]]:
    made, ours, raw = planned(place), [], []
    for _ in range(WARM_UP + ROUNDS):
        ours.append(await _our_call(place, task))
        raw.append(await asyncio.to_thread(raw_call, made))
    mine, theirs = ours[WARM_UP:], raw[WARM_UP:]
    return [
        compared(
            "cold call end to end, answer in the client's hands, p50",
            [took.answer for took in mine],
            [took.answer for took in theirs],
        ),
        compared(
            "cold call end to end, container gone, p50",
            [took.gone for took in mine],
            [took.gone for took in theirs],
        ),
    ]


def planned(place: Place) -> ContainerPlan:
    """Return what the broker asks the engine for, for the tool of this benchmark."""
    tool = load_tree(place.manifests).tools["bench_one"].manifest
    image = lock.read(place.manifests / "images.lock.json").tools["bench_one"].image
    deadline = int(time.time()) + 600
    return plan(
        image_id=image,
        program=tool.spec.program.command,
        limits=tool.spec.sandbox,
        runner=str(RUNNER),
        data={},
        identity=Identity(broker="bench", task="t", call="c", deadline=deadline),
    )


async def _our_call(place: Place, task: AsyncTask) -> Took:
    began, wall = time.perf_counter(), time.time()
    end = await task.call("bench_one", {})
    answered = time.perf_counter() - began
    if end.result != 1:
        raise RuntimeError(f"{end.outcome}: {end.detail}")
    gone = await _closed(place, end.call_id, after=end.record)
    return Took(answer=answered * 1e3, gone=(gone - wall) * 1e3)


async def _closed(place: Place, call: str, *, after: int) -> float:
    """Return when the log says that the call's container was gone, in seconds since 1970."""
    while True:
        for _, leaf in layout.reader(place.state).read(after):
            record = parse(leaf)
            if isinstance(record, CallClosed) and record.call == call:
                return record.at / 1e6
        await asyncio.sleep(0.02)


async def _checks(task: AsyncTask) -> list[dict[str, Any]]:
    await _times(task, CHECKS // 10)
    alone = sorted(await _times(task, CHECKS))
    began = time.perf_counter()
    await asyncio.gather(*(_times(task, CHECKS // AT_ONCE) for _ in range(AT_ONCE)))
    rate = CHECKS // AT_ONCE * AT_ONCE / (time.perf_counter() - began)
    p50, p99 = statistics.median(alone), alone[int(len(alone) * 0.99)]
    return [
        _row("CheckCall, one at a time, p50", round(p50, 2), "ms", aim=AIM_MS),
        _row("CheckCall, one at a time, p99", round(p99, 2), "ms"),
        _row(f"CheckCall, {AT_ONCE} at a time", round(rate), "checks/s"),
    ]


async def _times(task: AsyncTask, count: int) -> list[float]:
    """Return the milliseconds that each of so many decisions took."""
    times = []
    for at in range(count):
        began = time.perf_counter()
        await task.check("bench_one", json.dumps({"note": f"{at}"}))
        times.append((time.perf_counter() - began) * 1e3)
    return times


def _row(name: str, value: float, unit: str, aim: float | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "aim": f"< {aim:g}" if aim is not None else None,
        "met": value < aim if aim is not None else None,
        "peers": {"cores": os.cpu_count() or 0},
    }
