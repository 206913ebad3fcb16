"""`sandbox-broker output`: may these values go where they are going? Asked without a broker.

Law: the destination itself answers, in this process, as a broker's validators would: the same
package, the same settings. Nothing is recorded and nothing is sent.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click
from pydantic import ValidationError

from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import FAILED, Output, printable
from sandbox_runtime.destinations import json_text, registry
from sandbox_runtime.destinations.contract import Accepted, Objection
from sandbox_runtime.destinations.registry import DESTINATIONS
from sandbox_runtime.manifests.explain import explain
from sandbox_runtime.manifests.loader import problem_of
from sandbox_runtime.manifests.problems import ManifestErrors, Problem
from sandbox_runtime.manifests.source import read
from sandbox_runtime.policy.outputs import MAX_OUTPUT_BYTES, MAX_OUTPUT_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.strict import Json

_LONGEST: Final = 2 * MAX_OUTPUT_BYTES
"""Bytes of one line."""


@click.group("output")
def command() -> None:
    """Check what is to go out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one line."""

    line: int
    said: Accepted | Objection

    @property
    def document(self) -> dict[str, Any]:
        """The verdict as programs read it."""
        match self.said:
            case Accepted() as accepted:
                told: dict[str, Any] = {
                    "verdict": "accepted",
                    "value": accepted.value,
                    "changes": list(accepted.changes),
                    "facts": accepted.facts,
                }
            case objection:
                told = {
                    "verdict": "refused",
                    "code": objection.code,
                    "pointer": objection.pointer,
                    "problem": objection.problem,
                    "hint": objection.hint,
                }
        return {"line": self.line, **told}

    @property
    def sentence(self) -> str:
        """The verdict as people read it."""
        match self.said:
            case Accepted() as accepted:
                return "; ".join(("accepted", *accepted.changes))
            case objection:
                place = f" at `{objection.pointer}`" if objection.pointer else ""
                return f"refused {objection.code}{place}: {objection.problem}"


@command.command("check")
@click.argument("kind", metavar="KIND", type=click.Choice(list(DESTINATIONS)))
@click.argument("values", metavar="[FILE]", type=click.File("rb"), default="-")
@click.option(
    "--settings",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The destination's settings, YAML as a manifest holds them.",
)
@speaks
def check(output: Output, *, kind: str, values: IO[bytes], settings: Path | None) -> None:
    """Ask the destination KIND of each line of FILE, a JSON object `{"value": …}`.

    A verdict a line is written as it is reached; `--json` writes one JSON document a line. Ends
    with 1 where anything is refused.
    """
    known = _settings(kind, settings)
    refused = 0
    for verdict in _verdicts(values, kind, known):
        refused += isinstance(verdict.said, Objection)
        if output.json:
            sys.stdout.write(f"{json.dumps(verdict.document)}\n")
        output.plain(printable(f"{verdict.line:>6}  {verdict.sentence}"))
        sys.stdout.flush()
    if refused:
        raise SystemExit(FAILED)


def _verdicts(values: IO[bytes], kind: str, settings: Json) -> Iterator[Verdict]:
    for number, line in enumerate(_lines(values), 1):
        try:
            yield Verdict(line=number, said=registry.check(kind, _value(line), settings))
        except Objection as objection:
            yield Verdict(line=number, said=objection)


def _lines(values: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, no more of each than one byte above the longest."""
    while line := values.readline(_LONGEST + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := values.readline(_LONGEST)):
            pass
        yield line


def _value(line: bytes) -> Json:
    # The object around the value counts as one more level.
    held = json_text.parse(line, max_bytes=_LONGEST, max_depth=MAX_OUTPUT_DEPTH + 1)
    if not isinstance(held, dict) or held.keys() != {"value"}:
        raise Objection("json.not_a_value", 'a line is an object with nothing but a `"value"`')
    return held["value"]


def _settings(kind: str, path: Path | None) -> Json:
    """Return the settings as JSON; raise `ManifestErrors` with all that is wrong with them."""
    if path is None:
        return _held(kind, {}, None)
    content = read(path.name, path.read_text(encoding="utf-8"))
    if content.problems:
        raise ManifestErrors(content.problems)
    if len(content.documents) != 1:
        problem = "expected one document, the destination's settings"
        raise ManifestErrors([Problem(file=path.name, line=1, column=1, message=problem)])
    return _held(kind, content.documents[0].data, path)


def _held(kind: str, data: Json, path: Path | None) -> Json:
    model = DESTINATIONS[kind].settings
    try:
        model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise _wrong(kind, data, path, error) from error
    return data


def _wrong(kind: str, data: Json, path: Path | None, error: ValidationError) -> ManifestErrors:
    findings = list(explain(error, data, DESTINATIONS[kind].settings))
    if path is None:
        mend = "name the destination's settings with --settings"
        messages = [f"{one.message} in the settings of `{kind}`" for one in findings]
        return ManifestErrors(
            [Problem(file="settings", line=1, column=1, message=m, mend=mend) for m in messages]
        )
    (document,) = read(path.name, path.read_text(encoding="utf-8")).documents
    return ManifestErrors([problem_of(path.name, document, one) for one in findings])
