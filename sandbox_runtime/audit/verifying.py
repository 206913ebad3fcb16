"""Is the log whole, and does it tell a story that can be true?

Law: verifying names the first thing that is wrong, with its place, or says what it walked.
It trusts no index and no memory of the broker.

    1. every byte of both streams is framed, summed, chained and numbered as written;
    2. every body that a record names opens and is the one committed to;
    3. every record is one that this version knows;
    4. every task and call goes through its stages in order: opened before decided, intent
       with its decision and on files only of a task that was given some, one outcome and only
       after an intent, nothing after closing but the ends of calls in flight and the files
       that outlive it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from sandbox_runtime import records
from sandbox_runtime.errors import Fault
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.verify import Problem, Report
from sandbox_runtime.evidence.verify import verify as verify_bytes
from sandbox_runtime.ledger import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sandbox_runtime.evidence.blobs import Reference
    from sandbox_runtime.records import Record


def verify(state: Path, *, sealed: bool = False) -> Report:
    """Return what was walked of the log under `state`, up to the first problem.

    `sealed` leaves step 2 out, for whoever has the log and not its keys: then no body was
    compared with what its record committed to, and the report's `opened` is 0.

    Raises `EvidenceUnavailable`, and without `sealed` `KeysRefused`, where it cannot be read.
    """
    bodies = None if sealed else layout.bodies(state)
    report = verify_bytes(layout.log_directory(state), bodies=bodies, named=_named)
    if report.problem is None:
        report.problem = _first_untruth(state)
    return report


def _named(leaf: bytes) -> Iterable[tuple[str, Reference]]:
    try:
        record = records.parse(leaf)
    except ValidationError:
        return []  # step 3 names it
    return [(getattr(record, "task", SYSTEM), ref) for ref in records.bodies(record)]


def _first_untruth(state: Path) -> Problem | None:
    story = _Story()
    for sequence, leaf in layout.reader(state).read():
        try:
            story.tell(records.parse(leaf))
        except (ValidationError, Untrue) as bad:
            what = str(bad) if isinstance(bad, Untrue) else "a record of no known kind or shape"
            return Problem(what=what, file="", offset=0, sequence=sequence)
    return None


class Untrue(Fault):
    """A record that cannot stand where it stands."""


class _Story:
    """Which tasks are open and which calls are under way, record by record."""

    def __init__(self) -> None:
        self._issued: set[str] = set()
        self._open: set[str] = set()
        self._known: set[str] = set()
        self._with_files: set[str] = set()
        self._housed: set[str] = set()
        self._kept: set[tuple[str, str]] = set()
        self._decided: dict[tuple[str, str], str] = {}
        self._outputs: set[tuple[str, str]] = set()

    def tell(self, record: Record) -> None:
        match record:
            case records.IdentityIssued():
                self._expect(record.identity not in self._issued, "the identity was issued before")
                self._issued.add(record.identity)
            case records.IdentityRevoked():
                self._expect(record.identity in self._issued, "the identity was never issued")
            case records.TaskOpened():
                self._expect(
                    record.identity is None or record.identity in self._issued,
                    "opened by an identity that was never issued",
                )
                self._begin(record)
            case records.TaskClosed():
                self._expect(record.task in self._open, "the task is not open")
                self._open.discard(record.task)
            case records.WorkspaceRemoved():
                self._expect(record.task in self._housed, "the task has no files")
                self._housed.discard(record.task)
            case records.TaskExtended() | records.TaskInput() | records.ModelCalled():
                self._expect(record.task in self._open, "the task is not open")
            case records.CallDecided() | records.OutputChecked():
                self._judge(record)
            case (
                records.FilePut()
                | records.FileGot()
                | records.FileHeldBack()
                | records.FileKept()
                | records.FileDeleted()
            ):
                self._carry(record)
            case _:
                self._follow(record)

    def _follow(self, record: Record) -> None:
        match record:
            case records.CallIntent():
                self._move(record.task, record.call, "permitted", "intended")
                has_files = record.workspace is None or record.task in self._with_files
                self._expect(has_files, "the call works on files, and its task has none")
            case records.CallOutcome():
                self._move(record.task, record.call, "intended", "ended")
            case records.CallClosed():
                self._move(record.task, record.call, "ended", "closed")
            case _:
                pass

    def _begin(self, record: records.TaskOpened) -> None:
        self._expect(record.task not in self._known, "the task was opened before")
        self._open.add(record.task)
        self._known.add(record.task)
        if record.workspace is not None:
            self._with_files.add(record.task)
            self._housed.add(record.task)

    def _carry(self, record: records.FileRecord) -> None:
        self._expect(record.task in self._known, "the task was never opened")
        match record:
            case records.FilePut():
                self._expect(record.task in self._open, "the task is not open")
            case records.FileKept():
                self._expect((record.task, record.file) not in self._kept, "it was kept before")
                self._kept.add((record.task, record.file))
            case records.FileDeleted():
                self._expect((record.task, record.file) in self._kept, "the file is not kept")
                self._kept.discard((record.task, record.file))
            case _:
                pass

    def _decide(self, record: records.CallDecided) -> None:
        if record.checked_only:
            return
        call = (record.task, record.call)
        self._expect(call not in self._decided, "the call was decided before")
        self._decided[call] = "permitted" if record.permitted else "refused"

    def _answer(self, record: records.OutputChecked) -> None:
        output = (record.task, record.output_id)
        self._expect(output not in self._outputs, "the output was decided before")
        self._outputs.add(output)

    def _judge(self, record: records.CallDecided | records.OutputChecked) -> None:
        self._expect(record.task in self._known, "the task was never opened")
        self._expect(
            record.task in self._open or not record.permitted, "permitted after the task closed"
        )
        self._expect(record.permitted == (record.reason is None), "a verdict and its reason differ")
        match record:
            case records.CallDecided():
                self._decide(record)
            case records.OutputChecked():
                self._answer(record)

    def _move(self, task: str, call: str, before: str, after: str) -> None:
        stands = self._decided.get((task, call), "unknown")
        self._expect(stands == before, f"the call is {stands}, expected {before}")
        self._decided[task, call] = after

    @staticmethod
    def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as an assertion
        if not holds:
            raise Untrue(otherwise)
