"""`sandbox-broker task`: its commands; which tasks there were, what happened in one, by the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from sandbox_runtime.audit import gathering
from sandbox_runtime.audit.reading import task_view
from sandbox_runtime.audit.timeline import budgets, timeline
from sandbox_runtime.audit.wanted import Wanted
from sandbox_runtime.cli.options import speaks, state_option
from sandbox_runtime.cli.output import Failure, Output
from sandbox_runtime.cli.reading import found, log_under, newest, of_task
from sandbox_runtime.cli.rows import opener
from sandbox_runtime.cli.task_live import close_, extend_, open_
from sandbox_runtime.cli.wishes import Moment, clock, day
from sandbox_runtime.destinations import json_text
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.faults import KeysRefused
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.manifests.variable import from_where

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox_runtime.audit.gathering import TaskRecords
    from sandbox_runtime.audit.reading import TaskView
    from sandbox_runtime.audit.timeline import Budget, Event
    from sandbox_runtime.ledger import Brought
    from sandbox_runtime.records import Micros
    from sandbox_runtime.strict import Json

_STANDINGS = click.Choice([one.value for one in gathering.Standing])


@click.group("task")
def command() -> None:
    """Open, extend and close a task; which tasks there were, and what happened in one."""


command.add_command(open_)
command.add_command(extend_)
command.add_command(close_)


@command.command("list")
@state_option
@click.option("--subject", help="Only those that this subject opened.")
@click.option("--manifest", help="Only tasks of this manifest.")
@click.option(
    "--standing",
    type=_STANDINGS,
    help="Only tasks that are.",
)
@click.option("--since", type=Moment(), metavar="TIME", help="Opened from then on: `15m`, a date.")
@click.option("--until", type=Moment(), metavar="TIME", help="Opened before then.")
@click.option("--last", type=click.IntRange(min=1), help="Only so many, the newest.")
@speaks
def list_(
    output: Output,
    *,
    state: Path,
    subject: str | None,
    manifest: str | None,
    standing: str | None,
    since: Micros | None,
    until: Micros | None,
    last: int | None,
) -> None:
    """List tasks, in the order in which they were opened."""
    log_under(state)
    now = _now()
    tasks = [
        one
        for one in gathering.tasks(found(state, Wanted(), None))
        if subject in (None, one.opened.subject)
        and manifest in (None, one.opened.manifest)
        and standing in (None, one.standing(now))
        and Wanted(since=since, until=until).takes(one.opened)
    ]
    listed = tasks if last is None else list(newest(tasks, last))
    output.result({"tasks": [_listed(one, now) for one in listed]})
    output.table(
        ("opened (UTC)", "task", "manifest", "opened by", "is", "ran", "refused", "checks"),
        [_row(one, now) for one in listed],
    )


@command.command()
@state_option
@click.argument("task")
@speaks
def show(output: Output, state: Path, task: str) -> None:
    """Show what happened in TASK, in order, and what it spent of its budgets."""
    log_under(state)
    one = next(iter(gathering.tasks(of_task(state, task))), None)
    if one is None:
        mend = "`sandbox-broker task list` shows them"
        raise Failure(f"the log holds no task `{task}`", mend)
    view, unread = _opened(state, one)
    now = _now()
    events, spent = timeline(one, now), budgets(one, view.manifest if view is not None else None)
    output.result(
        {
            **_listed(one, now),
            "manifest_digest": one.opened.manifest_digest,
            "tree_digest": one.opened.tree_digest,
            "prompt": list(one.opened.prompt),
            "brought": _brought(view),
            "variables": dict(one.opened.variables),
            "said_later": [part.model_dump(mode="json") for part in view.said] if view else [],
            "bodies_unreadable": unread,
            "timeline": [event.model_dump(mode="json") for event in events],
            "budgets": [budget.model_dump(mode="json") for budget in spent],
        }
    )
    _show(output, one, now)
    _show_brought(output, view, unread)
    _show_timeline(output, events)
    _show_budgets(output, spent)


def _now() -> Micros:
    return time.time_ns() // 1000


def _opened(state: Path, one: TaskRecords) -> tuple[TaskView | None, str | None]:
    """Return the task with its bodies, or None and why."""
    loaded = gathering.tree(found(state, Wanted(kind="manifest.loaded"), None), one.opened)
    if loaded is None:
        return None, "the log does not hold the manifests that the task was opened under"
    try:
        view = task_view(one, loaded, layout.bodies(state))
    except KeysRefused as refused:
        return None, str(refused)
    except ManifestErrors:
        return None, "its manifests do not load in this version; read it with the one that wrote it"
    erased = "erased: the task's key was destroyed, and nobody can read them again"
    return view, erased if view.brought is None else None


def _listed(one: TaskRecords, now: Micros) -> dict[str, Json]:
    return {
        "sequence": one.sequence,
        "task": one.opened.task,
        "manifest": one.opened.manifest,
        "subject": one.opened.subject,
        "opened_at": one.opened.at,
        "expires_at": one.state.expires_at,
        "closed_at": one.closed.at if one.closed is not None else None,
        "standing": one.standing(now),
        "calls": one.state.started,
        "refusals": one.state.refusals,
        "checks": one.state.checks,
    }


def _row(one: TaskRecords, now: Micros) -> tuple[object, ...]:
    opened, state = one.opened, one.state
    counts = (state.started, state.refusals, state.checks)
    standing = one.standing(now)
    return (day(opened.at), opened.task, opened.manifest, opened.subject, standing, *counts)


def _brought(view: TaskView | None) -> Json:
    brought = view.brought if view is not None else None
    return brought.model_dump(mode="json") if brought is not None else None


def _show(output: Output, one: TaskRecords, now: Micros) -> None:
    opened = one.opened
    output.table(
        ("field", "value"),
        [
            ("task", opened.task),
            ("is", one.standing(now)),
            ("manifest", f"{opened.manifest} ({opened.manifest_digest})"),
            ("opened by", opener(opened)),
            ("opened", f"{clock(opened.at)} UTC, record {one.sequence}"),
            ("expires", f"{clock(one.state.expires_at)} UTC"),
            ("prompt", ", ".join(opened.prompt) or "none"),
        ],
    )


def _show_brought(output: Output, view: TaskView | None, unread: str | None) -> None:
    if unread is not None:
        output.block("bodies", unread)
    if view is None or view.brought is None:
        return
    for part in (*view.brought.prompt, *view.said):
        output.block(f"prompt, {part.source}", part.text)
    if view.brought.variables:
        output.heading("variables")
        output.table(("name", "value", "from"), list(_variables(view, view.brought)))


def _variables(view: TaskView, brought: Brought) -> Iterator[tuple[str, str, str]]:
    declared = view.manifest.manifest.spec.variables if view.manifest is not None else {}
    for name, value in sorted(brought.variables.items()):
        origin = from_where(name, declared[name]) if name in declared else ""
        yield name, json_text.canonical(value).decode(), origin


def _show_timeline(output: Output, events: list[Event]) -> None:
    output.heading("timeline")
    rows = [
        (event.sequence if event.sequence is not None else "", clock(event.at), event.what)
        for event in events
    ]
    output.table(("record", "time (UTC)", "what"), rows)


def _show_budgets(output: Output, spent: list[Budget]) -> None:
    output.heading("budgets")
    rows = [(one.name, one.used, one.granted if one.granted is not None else "?") for one in spent]
    output.table(("of", "used", "granted"), rows)
