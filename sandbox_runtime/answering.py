"""How is a task's final answer decided, recorded, and told again?

Law: as with calls: decided and enqueued in one step under the task's lock, durable before anyone
hears of it. The same answer sent again is told what was recorded, and spends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from sandbox_runtime import output_entries, policy
from sandbox_runtime.call import Refused
from sandbox_runtime.deciding import refuse_muted
from sandbox_runtime.destinations.json_text import canonical
from sandbox_runtime.errors import Fault, Reason, Refusal
from sandbox_runtime.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox_runtime.call import Verdict
    from sandbox_runtime.deciding import Validators
    from sandbox_runtime.ledger import Ledger, Live, Ticket
    from sandbox_runtime.output import AcceptedOutput, ProposedOutput
    from sandbox_runtime.records import Micros

_log = structlog.get_logger("sandbox_broker.output")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputEnd:
    """An accepted answer, as it is recorded."""

    output_id: str
    value: str
    """Canonical JSON text."""
    changes: tuple[str, ...]
    record: int


@dataclass(slots=True, kw_only=True)
class _Trial:
    """What is gathered about an answer while it is decided."""

    proposed: ProposedOutput
    watch: Stopwatch
    matched_at: Micros
    decided_at: Micros
    verdicts: Sequence[Verdict] | None = None


class Answering:
    """Checks final answers. No container is ever involved."""

    def __init__(
        self, *, ledger: Ledger, validators: Validators, monotonic: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._validators = validators
        self._monotonic = monotonic

    async def decide(self, live: Live, proposed: ProposedOutput) -> Ticket | None:
        """Decide an answer unless it is known, and enqueue that; return what to wait for.

        The caller holds the task's lock. Raises `Refusal` where nothing is to be decided.
        """
        if not self._is_known(live, proposed):
            refuse_muted(self._ledger, live)
            now = self._ledger.now()
            watch = Stopwatch(self._monotonic)
            trial = _Trial(proposed=proposed, watch=watch, matched_at=now, decided_at=now)
            self._record(live, trial, await self._judge(live, trial))
        return live.last

    def recorded(self, live: Live, output_id: str) -> OutputEnd:
        """Return the recorded end of an answer; raise its `Refusal` where it was refused."""
        state = live.task.state
        entry = state.outputs[output_id]
        body = self._ledger.unseal(state.id, entry.decided, output_entries.OutputBody)
        if body.refused is not None:
            raise body.refused.refusal()
        if body.accepted is None:
            raise Fault("the log holds a decision on an output without its verdict")
        return OutputEnd(
            output_id=output_id,
            value=canonical(body.accepted.value).decode(),
            changes=body.accepted.changes,
            record=entry.sequence,
        )

    def _is_known(self, live: Live, proposed: ProposedOutput) -> bool:
        entry = live.task.state.outputs.get(proposed.output_id)
        if entry is None:
            return False
        if entry.request_mac != self._mac(live, proposed):
            raise Refusal(
                "the output id was used for another output",
                reason=Reason.OUTPUT_ID_REUSED,
                hint="give each output an id of its own",
            )
        return True

    async def _judge(self, live: Live, trial: _Trial) -> AcceptedOutput | Refused:
        with trial.watch.time("match"):
            matched = policy.match_output(live.task, trial.proposed, trial.matched_at)
        if isinstance(matched, Refused):
            return matched
        with trial.watch.time("check"):
            trial.verdicts = await self._validators.check_value(matched.value, matched.checks)
        trial.decided_at = self._ledger.now()
        with trial.watch.time("decide"):
            return policy.decide_output(live.task, matched, trial.verdicts, trial.decided_at)

    def _record(self, live: Live, trial: _Trial, decision: AcceptedOutput | Refused) -> None:
        proposed, task = trial.proposed, live.task.state.id
        kept = output_entries.output_body(proposed, trial.verdicts, decision, trial.matched_at)
        body = self._ledger.seal(task, kept)
        record = output_entries.checked(
            live.task,
            proposed,
            trial.verdicts,
            decision,
            at=trial.decided_at,
            request_mac=self._mac(live, proposed),
            stages=trial.watch.stages,
            body=body.ref,
        )
        ticket = self._ledger.append(live, [record], [body])
        _log.info("output", **output_entries.wide(record), record=ticket.sequence)

    def _mac(self, live: Live, proposed: ProposedOutput) -> str:
        return self._ledger.mac(live.task.state.id, output_entries.identity(proposed))
