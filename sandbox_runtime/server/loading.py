"""Which settings are in force, and what is wrong with them?

Law: environment variables go over the file, and the file over the defaults. All are read as
strictly as a manifest: every problem is told, at file:line:column or by the variable's name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from sandbox_runtime.manifests.explain import explain, nulls
from sandbox_runtime.manifests.loader import problem_of
from sandbox_runtime.manifests.problems import Finding, ManifestErrors, Problem
from sandbox_runtime.manifests.source import Document, read
from sandbox_runtime.server.environment import Variables, variables
from sandbox_runtime.server.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_runtime.manifests.problems import Where
    from sandbox_runtime.strict import Json

DEFAULT = "default"
_NONE = Variables({}, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was said of a broker's settings, and where."""

    file: str
    document: Document
    variables: Variables

    def settings(self) -> Settings:
        """Return the settings in force. Raises `ManifestErrors` with every problem."""
        data = self.document.data
        if isinstance(data, dict):
            data = _over(data, self.variables.data)
        problems = list(self.variables.unknown())
        try:
            settings = Settings.model_validate_json(json.dumps(data))
        except ValidationError as error:
            found = [self._problem(one) for one in explain(error, data, Settings)]
            raise ManifestErrors([*problems, *found]) from error
        problems += [self._problem(one) for one in nulls(settings)]
        if problems:
            raise ManifestErrors(problems)
        return settings

    def source(self, where: Where) -> str:
        """Return where the setting at `where` comes from: variable, `file:line` or default."""
        if (variable := self.variables.holding(where)) is not None:
            return variable
        if where in self.document.values:
            return f"{self.file}:{self.document.values[where].line}"
        return DEFAULT

    def _problem(self, finding: Finding) -> Problem:
        variable = self.variables.holding(finding.where)
        if variable is None:
            return problem_of(self.file, self.document, finding)
        untold = f"expected {finding.expected}" if finding.expected else finding.message
        message = finding.message if finding.on_key else untold
        return Problem(file=variable, line=0, column=0, message=message, mend=finding.mend)


def load(path: Path) -> Settings:
    """Return the settings that a file and the environment give. Raises `ManifestErrors`."""
    return given(path).settings()


def given(path: Path) -> Given:
    """Return what a YAML file and the environment say. Raises `ManifestErrors`."""
    return _given(str(path), _text(path), variables())


def parse(file: str, text: str) -> Settings:
    """Return the settings of this text alone, which problems show as `file`."""
    return _given(file, text, _NONE).settings()


def _given(file: str, text: str, set_by: Variables) -> Given:
    content = read(file, text)
    if content.problems:
        raise ManifestErrors(content.problems)
    if len(content.documents) != 1:
        one = Problem(file=file, line=1, column=1, message="expected one document")
        raise ManifestErrors([one])
    return Given(file=file, document=content.documents[0], variables=set_by)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ManifestErrors(
            [Problem(file=str(path), line=1, column=1, message=f"cannot be read: {why}")]
        ) from error


def _over(below: Json, above: dict[str, Json]) -> Json:
    """Return `below` with all that `above` says put in; lists are replaced, mappings joined."""
    if not isinstance(below, dict):
        return above
    put = {
        key: _over(below.get(key), value) if isinstance(value, dict) else value
        for key, value in above.items()
    }
    return {**below, **put}
