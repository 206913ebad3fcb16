"""How is a program told a call, that knows nothing of this broker?

Law: a manifest lays the words out one by one, and an argument's value becomes words only
where it says so. No shell reads them, and no value can become a flag.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from sandbox_runtime.strict import Strict

FLAG = r"^(-[A-Za-z0-9]|--[A-Za-z0-9][A-Za-z0-9-]*)$"
LITERAL = r"^[^\x00-\x1f\x7f]*$"
_IDENTIFIER = r"^[A-Za-z][A-Za-z0-9_]*$"

Literally = Annotated[str, Field(pattern=LITERAL, max_length=4096)]
"""A word as it stands."""

Named = Annotated[str, Field(pattern=_IDENTIFIER, max_length=63)]
"""An argument of the tool."""

Code = Annotated[int, Field(ge=0, le=255)]

END = "--"
"""Behind it nothing is a flag."""


class Word(Strict):
    """The words that one argument's value becomes: one, none, or one for each of its items."""

    argument: Named
    """The argument whose value this is."""
    flag: Annotated[str, Field(pattern=FLAG, max_length=64)] | None = None
    """A boolean argument switches it; of any other the value is joined to it: `--max=5`, `-n5`."""
    choose: dict[str, tuple[Literally, ...]] | None = None
    """For each value of the argument's `enum` the words that stand for it, or `[]` for none."""
    prefix: Literally = ""
    """Stands before the value in the same word. Of a path it ends with `/`."""
    dash: Literal["refused"] | None = None
    """For a program that knows no `--`: a value that begins with `-` is refused."""
    multiline: bool = False
    """Whether the value may hold line ends."""


def _form(value: object) -> str:
    return "words" if isinstance(value, dict | Word) else "text"


Element = Annotated[
    Annotated[Literally, Tag("text")] | Annotated[Word, Tag("words")], Discriminator(_form)
]
"""What stands in an argument vector: a word as it is, or the words of an argument."""


class Stdin(Strict):
    """What the program reads from its standard input: one of these. Left out, nothing."""

    argument: Named | None = None
    """An argument's value: a text as it is, anything else as JSON."""
    file: Named | None = None
    """An argument that is a path; the file of this name in the workspace."""


class Failing(Strict):
    """What the model is told of a program that ended with this exit code."""

    exit: Code
    """The exit code."""
    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
    """What the error is called, for whoever reads the result."""
    message: Annotated[str, Field(min_length=1, max_length=500)]
    """What it means, in a sentence."""
    stderr: Annotated[int, Field(ge=0, le=4096)] = 0
    """So many bytes of what the program complained follow the message."""


class Exits(Strict):
    """What a program's exit codes mean. One that stands in neither is a crash."""

    ok: Annotated[tuple[Code, ...], Field(min_length=1)] = (0,)
    """Codes that mean success."""
    errors: Annotated[tuple[Failing, ...], Field(max_length=256)] = ()
    """What other codes mean; one that is not here means that the tool crashed."""


Stdout = Literal["text", "json", "json_lines"]
"""What its standard output is: a text, one JSON value, or a list of one value for each line."""
