"""May a grant be used once more, and now?

Law: a pure function of the task's recorded calls. What was started counts, whatever became of
it; only what ended OK opens the way for what waits for it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox_runtime.call import Refused
from sandbox_runtime.errors import Reason

if TYPE_CHECKING:
    from sandbox_runtime.call import Rule
    from sandbox_runtime.manifests.model import Grant, Rate
    from sandbox_runtime.records import Micros
    from sandbox_runtime.task import OpenTask, TaskState

_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)


def held_up(task: OpenTask, index: int, now: Micros) -> Refused | None:
    """Return why the task's grant at `index` may not be used at `now`, or None.

    1. it has calls left;
    2. each grant that it waits for has had a call that ended OK;
    3. its rate leaves room.
    """
    grant = task.manifest.manifest.spec.grants[index]
    rule: Rule = ("spec", "grants", index)
    return (
        _used_up(task.state, grant, rule)  # 1
        or _too_early(task, grant, rule)  # 2
        or _too_often(task.state, grant, rule, now)  # 3
    )


def _used_up(state: TaskState, grant: Grant, rule: Rule) -> Refused | None:
    if state.spent.get(grant.id, 0) < grant.max_calls:
        return None
    return Refused(
        reason=Reason.CALLS_SPENT,
        problem=f"the {grant.max_calls} calls of grant `{grant.id}` are used up",
        rule=(*rule, "max_calls"),
        grant=grant.id,
    )


def _too_early(task: OpenTask, grant: Grant, rule: Rule) -> Refused | None:
    tools = {each.id: each.tool for each in task.manifest.manifest.spec.grants}
    for place, first in enumerate(grant.after or ()):
        if task.state.succeeded.get(first, 0) == 0:
            return Refused(
                reason=Reason.ORDER_NOT_MET,
                problem=f"grant `{grant.id}` waits for a call under grant `{first}` to end OK",
                rule=(*rule, "after", place),
                hint=f"call `{tools[first]}` under `{first}` first; then send this as a new call",
                grant=grant.id,
            )
    return None


def _too_often(state: TaskState, grant: Grant, rule: Rule, now: Micros) -> Refused | None:
    if grant.rate is None:
        return None
    starts = _within(grant.rate, state.starts.get(grant.id, ()), now)
    if len(starts) < grant.rate.calls:
        return None
    per = grant.rate.per.total_seconds()
    wait = grant.rate.per - (now - starts[0]) * _MICROSECOND
    return Refused(
        reason=Reason.RATE_EXCEEDED,
        problem=f"grant `{grant.id}` starts at most {grant.rate.calls} calls in {per:g} s",
        rule=(*rule, "rate"),
        hint=f"send this as a new call in {-(-wait // _SECOND)} s",
        retry_after=wait,
        grant=grant.id,
    )


def _within(rate: Rate, starts: tuple[Micros, ...], now: Micros) -> list[Micros]:
    """Return the starts that count at `now`, in order; by a clock set back, later ones do."""
    oldest = now - rate.per // _MICROSECOND
    return sorted(at for at in starts if at > oldest)
