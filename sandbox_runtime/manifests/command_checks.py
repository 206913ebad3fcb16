"""Can a program be told every call that its tool's manifest allows?

Law: each word names an argument that there is, of a type that it can be made of; each
argument is heard; nothing that a model writes can stand where a flag would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.manifests.command import END, Word
from sandbox_runtime.manifests.problems import Finding, Where, did_you_mean, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.manifests.command import Stdin
    from sandbox_runtime.manifests.model import Program, Tool, ToolArgument

_PROGRAM: Where = ("spec", "program")
_COMMAND_KEYS = ("argv", "stdin", "stdout", "exits")
_NUMBERS = frozenset({"integer", "number"})


def check_command(tool: Tool) -> Iterator[Finding]:
    """Yield what is wrong with how a tool's program is started."""
    program = tool.spec.program
    if program.transport == "stdio":
        yield from _strangers(program, _COMMAND_KEYS, "command")
        return
    yield from _strangers(program, ("command",), "stdio")
    if program.argv is None:
        message = "`transport: command` needs `argv`, the program's words"
        yield Finding(where=(*_PROGRAM, "transport"), message=message, mend="add `argv: [/usr/…]`")
        return
    yield from _path(program.argv[0])
    yield from _words(tool, program.argv)
    yield from _stdin(tool, program.stdin)
    yield from _unheard(tool)
    yield from _exits(program)


def _strangers(program: Program, keys: tuple[str, ...], transport: str) -> Iterator[Finding]:
    for key in keys:
        if key in program.model_fields_set:
            message = f"`{key}` belongs to `transport: {transport}`"
            yield Finding(where=(*_PROGRAM, key), message=message, mend="remove it", on_key=True)


def _path(first: str | Word) -> Iterator[Finding]:
    if not isinstance(first, str) or not first.startswith("/"):
        message = "the first word is the program's absolute path"
        yield Finding(where=(*_PROGRAM, "argv", 0), message=message, mend="like `/usr/bin/jq`")


def _words(tool: Tool, argv: tuple[str | Word, ...]) -> Iterator[Finding]:
    ended = False
    for index, word in enumerate(argv):
        where: Where = (*_PROGRAM, "argv", index)
        if isinstance(word, str):
            ended = ended or word == END
        elif (argument := tool.spec.arguments.get(word.argument)) is None:
            yield _unknown(tool, word.argument, (*where, "argument"))
        else:
            yield from _word(word, argument, where, ended=ended)


def _unknown(tool: Tool, name: str, where: Where) -> Finding:
    mend = did_you_mean(name, list(tool.spec.arguments))
    return Finding(where=where, message=f"the tool has no argument {quoted(name)}", mend=mend)


def _word(word: Word, argument: ToolArgument, where: Where, *, ended: bool) -> Iterator[Finding]:
    if word.choose is not None:
        yield from _choice(word, word.choose, argument, where)
        return
    if argument.type == "boolean":
        yield from _switch(word, where)
        return
    if argument.type == "object" or (argument.type == "array" and _items(argument) is None):
        message = f"{quoted(word.argument)} is no text, number or list of them, so it is no word"
        mend = "give it to the program as its `stdin`"
        yield Finding(where=(*where, "argument"), message=message, mend=mend)
    if word.flag is not None and word.prefix:
        message = "a value that joins a `flag` has no `prefix`"
        yield Finding(where=(*where, "prefix"), message=message, mend="remove it", on_key=True)
    yield from _prefix(word, argument, where)
    yield from _dash(word, argument, where, ended=ended)


def _choice(
    word: Word, choose: dict[str, tuple[str, ...]], argument: ToolArgument, where: Where
) -> Iterator[Finding]:
    at = (*where, "choose")
    known = [one for one in argument.enum or () if isinstance(one, str)]
    if word.flag is not None or word.prefix:
        yield Finding(where=at, message="`choose` stands alone: its words are whole", on_key=True)
    if argument.type != "string" or not known:
        message = f"{quoted(word.argument)} has no `enum` of texts to choose by"
        yield Finding(where=at, message=message, on_key=True)
        return
    for value in sorted(choose.keys() - set(known)):
        yield Finding(where=(*at, value), message="no value of the `enum`", on_key=True)
    if missing := [value for value in known if value not in choose]:
        message = f"nothing is said of {listed(missing, 'and')}"
        yield Finding(where=at, message=message, mend="say `[]` where no word stands for a value")


def _switch(word: Word, where: Where) -> Iterator[Finding]:
    if word.flag is None:
        message = f"{quoted(word.argument)} is a boolean, and no `flag` says what it switches"
        yield Finding(where=where, message=message, mend="add `flag: --…`")


def _prefix(word: Word, argument: ToolArgument, where: Where) -> Iterator[Finding]:
    if word.prefix.startswith("-"):
        message = "a `prefix` is no flag"
        yield Finding(where=(*where, "prefix"), message=message, mend="use `flag`")
    kinds = [kind for kind, _ in argument.checks()]
    if word.prefix.endswith("/") and "path" not in kinds:
        message = f"a `prefix` that ends with `/` takes a path, and {quoted(word.argument)} is none"
        yield Finding(where=(*where, "prefix"), message=message, mend="add `path: {}` to it")


def _dash(word: Word, argument: ToolArgument, where: Where, *, ended: bool) -> Iterator[Finding]:
    number = argument.type in _NUMBERS or _items(argument) in _NUMBERS
    if not (ended or number or word.flag or word.prefix or word.dash):
        message = f"a value of {quoted(word.argument)} that begins with `-` would be a flag here"
        mend = "put `--` before it, or `dash: refused` where the program knows no `--`"
        yield Finding(where=where, message=message, mend=mend)


def _items(argument: ToolArgument) -> object:
    """Return the one plain type of a list's items, or None."""
    kind = (argument.items or {}).get("type") if argument.type == "array" else None
    return kind if kind in {"string", *_NUMBERS} else None


def _stdin(tool: Tool, stdin: Stdin | None) -> Iterator[Finding]:
    if stdin is None:
        return
    where: Where = (*_PROGRAM, "stdin")
    if (stdin.argument is None) == (stdin.file is None):
        yield Finding(where=where, message="`stdin` is either an `argument` or a `file`")
    for key, name in (("argument", stdin.argument), ("file", stdin.file)):
        argument = tool.spec.arguments.get(name) if name is not None else None
        if name is not None and argument is None:
            yield _unknown(tool, name, (*where, key))
        kinds = [kind for kind, _ in argument.checks()] if argument is not None else []
        if key == "file" and argument is not None and "path" not in kinds:
            message = f"{quoted(name or '')} is no path"
            yield Finding(where=(*where, key), message=message, mend="add `path: {}` to it")


def _unheard(tool: Tool) -> Iterator[Finding]:
    program = tool.spec.program
    heard = {word.argument for word in program.argv or () if isinstance(word, Word)}
    if program.stdin is not None:
        heard |= {program.stdin.argument or "", program.stdin.file or ""}
    for name in tool.spec.arguments:
        if name not in heard:
            message = f"the program is never told {quoted(name)}"
            mend = "use it in `argv` or `stdin`, or remove it"
            yield Finding(
                where=("spec", "arguments", name), message=message, mend=mend, on_key=True
            )


def _exits(program: Program) -> Iterator[Finding]:
    known = set(program.exits.ok)
    for index, failing in enumerate(program.exits.errors):
        if failing.exit in known:
            where: Where = (*_PROGRAM, "exits", "errors", index, "exit")
            yield Finding(where=where, message=f"exit code `{failing.exit}` has a meaning already")
        known.add(failing.exit)
