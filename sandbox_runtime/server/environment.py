"""What do environment variables set?

Law: `SANDBOX_BROKER_` and a setting's name, `__` between its parts, is that setting and nothing
else; a name of ours that is none is an error. A value that is no plain text is read as it would
be in the file. What a variable holds is never told, only its name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from itertools import takewhile
from typing import TYPE_CHECKING, Any, cast

from pydantic_settings import EnvSettingsSource

from sandbox_runtime.manifests.problems import ManifestErrors, Problem, Where, quoted
from sandbox_runtime.manifests.source import read
from sandbox_runtime.server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

    from sandbox_runtime.strict import Json

PREFIX = "SANDBOX_BROKER_"
BETWEEN = "__"
OF_COMMANDS = frozenset({"ca", "certificate", "config", "key", "state", "task_token", "token"})
"""Names of ours that are options of commands, and no settings."""
_KNOWN = (*Settings.model_fields, *OF_COMMANDS)


@dataclass(frozen=True, slots=True)
class Variables:
    """The settings that variables hold, by their place; and the variables, by place as well."""

    data: dict[str, Json]
    names: Mapping[Where, str]

    def holding(self, where: Where) -> str | None:
        """Return the variable that sets the value at `where`, if one does."""
        keys = tuple(takewhile(lambda step: isinstance(step, str), where))
        if not keys or not _is_in(self.data, keys):
            return None
        above = (self.names.get(keys[:length]) for length in range(len(keys), 0, -1))
        below = (name for at, name in self.names.items() if at[: len(keys)] == keys)
        return next(filter(None, (*above, *below)), None)

    def unknown(self) -> Iterator[Problem]:
        """Yield a problem for each name of ours that is no setting's."""
        for where, name in self.names.items():
            if where[0] not in OF_COMMANDS and not _is_in(self.data, where):
                message = "there is no such setting"
                yield Problem(file=name, line=0, column=0, message=message, mend=_mend(where))


def variables() -> Variables:
    """Return what this process's environment sets. Raises `ManifestErrors` for what is no text."""
    names = {_where(name): name for name in os.environ if name.upper().startswith(PREFIX)}
    ours = (name for where, name in names.items() if where[0] not in OF_COMMANDS)
    if garbled := [name for name in ours if not _is_text(os.environ[name])]:
        what, mend = "its value is not UTF-8", "set it anew"
        raise ManifestErrors(
            [Problem(file=n, line=0, column=0, message=what, mend=mend) for n in garbled]
        )
    source = _Source()
    return Variables(_written(source(), (), names), names)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a byte that os.environ has kept as half of a surrogate pair
        return False
    return True


def _mend(where: Where) -> str:
    if len(where) > 1 and where[0] in _KNOWN:
        return f"{quoted(str(where[0]))} has no parts"
    near = get_close_matches(str(where[0]), _KNOWN, n=1)
    return f"did you mean {quoted(PREFIX + near[0].upper())}?" if near else ""


def _where(name: str) -> Where:
    return tuple(name[len(PREFIX) :].lower().split(BETWEEN))


class _Source(EnvSettingsSource):
    """Finds each setting's variables; reads mappings and lists as our files are read."""

    def __init__(self) -> None:
        model = cast("type[BaseSettings]", Settings)  # it asks for fields and configuration only
        super().__init__(model, env_prefix=PREFIX, env_nested_delimiter=BETWEEN)

    def decode_complex_value(
        self,
        field_name: str,  # noqa: ARG002 - the library's signature
        field: FieldInfo | None,  # noqa: ARG002
        value: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return what the text says, or the text where it cannot be read: no setting takes it."""
        content = read("", str(value))
        sound = not content.problems and len(content.documents) == 1
        return content.documents[0].data if sound else value


def _written(value: Any, where: Where, names: Mapping[Where, str]) -> Any:  # noqa: ANN401 - JSON
    """Return JSON: the library takes `5` for a length of time, and we do not."""
    match value:
        case dict():
            return {key: _written(each, (*where, key), names) for key, each in value.items()}
        case timedelta():
            return os.environ[names[where]]
        case _:
            return value


def _is_in(value: Json, keys: Where) -> bool:
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
