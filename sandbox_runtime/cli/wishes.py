"""What may a reader of the log ask for, and how are moments written?"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from sandbox_runtime.audit.wanted import Wanted
from sandbox_runtime.manifests.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.records import Micros

_VERDICTS = {"permitted": True, "refused": False}


class Moment(click.ParamType[int]):
    """A point in time: `2026-03-01T09:30`, UTC unless it says otherwise; or how long ago: `15m`."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Micros:
        """Return microseconds since 1970."""
        try:
            return _micros(str(value), datetime.now(UTC))
        except ValueError:
            self.fail(
                f"`{value}` is no time; write `2026-03-01T09:30`, or `15m` for so long ago",
                param,
                ctx,
            )


def _micros(text: str, now: datetime) -> Micros:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = now - parse_duration(text)
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000_000)


def clock(at: Micros) -> str:
    """Return a moment as people read it, UTC, to the millisecond."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def day(at: Micros) -> str:
    """Return a moment as people read it, UTC, to the second."""
    return clock(at)[:-4]


_COMMON = (
    click.option("--task", help="Only of this task."),
    click.option("--call", help="Only of this call."),
    click.option("--subject", help="Only what this subject did, as authenticated."),
    click.option("--tool", help="Only decisions on this tool."),
    click.option("--verdict", type=click.Choice(list(_VERDICTS)), help="Only such decisions."),
    click.option("--reason", help="Only with this reason or code: `TOOL_NOT_GRANTED`."),
    click.option("--outcome", help="Only calls that ended so: `TIMEOUT`."),
    click.option("--since", type=Moment(), metavar="TIME", help="From then on: `15m`, a date."),
    click.option("--until", type=Moment(), metavar="TIME", help="Before then."),
)
_KIND = click.option("--kind", help="Only records of this kind, `call.decided` for one.")


def call_wishes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that narrow calls, and give the command one `Wanted`."""

    @functools.wraps(command)
    def asked(*args: object, **given: Any) -> object:  # noqa: ANN401 - click's own values
        wishes = {name: given.pop(name) for name in _NAMES if name in given}
        verdict = wishes.pop("verdict")
        return command(
            *args, **given, wanted=Wanted(**wishes, permitted=_VERDICTS.get(verdict or ""))
        )

    for option in reversed(_COMMON):
        asked = option(asked)
    return asked


_NAMES = (
    "task call subject tool verdict reason outcome since until kind".split()  # noqa: SIM905
)


def record_wishes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that narrow records, and give the command one `Wanted`."""
    return _KIND(call_wishes(command))
