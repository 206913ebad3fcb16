"""What can be wrong with kept evidence?

Law: all of it is a fault of ours except `Erased`, which is an answer: the body was
destroyed on purpose.
"""

from __future__ import annotations

from sandbox_runtime.errors import EvidenceUnavailable


class DamagedLog(EvidenceUnavailable):
    """Stored bytes are not what was written. Nothing past this place is trusted.

    `file` is the segment's name below the log's directory (`log/…`, `blobs/…`), `offset` the
    byte in it where the frame at fault begins, `sequence` the number of the first item that
    could not be had.
    """

    def __init__(self, problem: str, *, file: str, offset: int, sequence: int) -> None:
        super().__init__(f"{file} at byte {offset}, sequence {sequence}: {problem}")
        self.problem, self.file, self.offset, self.sequence = problem, file, offset, sequence


class LogInUse(EvidenceUnavailable):
    """Another process holds the log. One log has one writer."""


class KeysRefused(EvidenceUnavailable):
    """A key is missing, does not unwrap, or lies where others could read it."""


class DamagedBody(EvidenceUnavailable):
    """A body is not where its reference says, or is not the one it commits to."""

    def __init__(self, problem: str, *, commitment: str) -> None:
        super().__init__(f"body `{commitment[:16]}`: {problem}")
        self.problem, self.commitment = problem, commitment


class Erased(Exception):  # noqa: N818 - an answer, not an error of ours
    """The task's key was destroyed: its bodies cannot be read again by anyone."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"the bodies of task `{task_id}` were erased")
        self.task_id = task_id
