"""What does a command say when it cannot go on, and with which exit code does it end?

Law: everything that the rooms below raise on purpose has its place here. What has none is a
mistake of ours, and is shown with its traceback.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from sandbox_runtime.audit.reading import WrittenOtherwise
from sandbox_runtime.cli.output import FAILED, FAULT, USAGE, Failure
from sandbox_runtime.errors import EvidenceUnavailable, Fault, Refusal, SandboxUnavailable
from sandbox_runtime.evidence.faults import DamagedBody, DamagedLog, KeysRefused, LogInUse
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.sandbox.context import ToolNotBuildable
from sandbox_runtime.server.issuing.book import IdentitiesUnusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.strict import Json

ENDS = (
    Refusal,
    Fault,
    ManifestErrors,
    click.ClickException,
    click.Abort,
    OSError,
)
"""What `failure` knows."""

_DAMAGED = "keep the log as it is, and compare it with a copy from before"
_MENDS: Mapping[type[Exception], str] = MappingProxyType(
    {
        WrittenOtherwise: "read it with the version that wrote it",
        LogInUse: "stop the other broker, or give this one another `state_dir`",
        DamagedLog: f"`sandbox-broker log verify` says what is whole; {_DAMAGED}",
        DamagedBody: _DAMAGED,
        KeysRefused: "run this as the broker's own user, who alone may read `keys`",
        EvidenceUnavailable: "see that the state directory is the broker's alone and has room",
        IdentitiesUnusable: "`chmod -R go=` the state's `identity`; what others read, issue anew",
        SandboxUnavailable: "see that the engine runs and that you may use it: `docker info`",
        ToolNotBuildable: "look into the tool's folder, and at `--base`",
    }
)
"""By the nearest class. What has no line here ends with its own mend."""


def failure(error: BaseException) -> Failure:
    """Return the ending that `error`, one of `ENDS`, leads to."""
    match error:
        case Refusal():
            return Failure(error.problem, error.hint)
        case ManifestErrors():
            return _problems(error)
        case Fault():
            return _fault(error)
        case click.ClickException():
            return _usage(error)
        case OSError():
            return _system(error)
        case _:
            return Failure("interrupted")


def _fault(error: Fault) -> Failure:
    mend = next((_MENDS[each] for each in type(error).__mro__ if each in _MENDS), None)
    code = FAILED if isinstance(error, ToolNotBuildable) else FAULT
    return Failure(str(error), mend, code)


def _problems(errors: ManifestErrors) -> Failure:
    told: list[Json] = [
        {
            "file": one.file,
            "line": one.line,
            "column": one.column,
            "message": one.message,
            "expected": one.expected,
            "mend": one.mend,
        }
        for one in errors.problems
    ]
    count = f"{len(told)} problem{'s' * (len(told) != 1)}"
    return Failure(
        f"{count}:\n{errors}", "change these lines, then run it again", more={"problems": told}
    )


def _usage(error: click.ClickException) -> Failure:
    context = error.ctx if isinstance(error, click.UsageError) else None
    mend = f"`{context.command_path} --help`" if context is not None else None
    problem = error.format_message().rstrip(".")
    return Failure(problem[:1].lower() + problem[1:], mend, USAGE)


def _system(error: OSError) -> Failure:
    place = f"`{error.filename}`: " if error.filename is not None else ""
    return Failure(f"{place}{error.strerror or error}", "see that it is there and yours", FAULT)
