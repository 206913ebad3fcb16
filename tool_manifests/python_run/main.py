"""What does this code compute, print and draw?

Law: one answer, however the code ends. What it computed, printed and drew goes into the
answer, capped; what it raised is an error with the code's own line. Nothing is imported
for the code, which pays for what it uses: pandas 0.2 s, pyplot 0.35 s, both 0.45 s.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charts import ChartsTooLarge, attached, drawn, listed
from kept import NotKept, keep, load
from values import plain, utf8

if TYPE_CHECKING:
    from types import CodeType

CODE = "<code>"
PRINTED_MAX, MESSAGE_MAX, RESULT_MAX = 16_384, 500, 512 << 10
PACKAGES, FONTS = (Path(__file__).with_name(name) for name in ("packages", "fonts"))
SETTINGS = {
    "MPLBACKEND": "agg",
    "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108 - the container's own, of this call alone
    "OMP_NUM_THREADS": "1",  # threads count as processes, and there is one processor at most
    "OPENBLAS_NUM_THREADS": "1",
}


class Failed(Exception):  # noqa: N818 - how the call ended
    """The call ends with an error of the code's making."""

    def __init__(self, code: str, said: str, line: int | None = None) -> None:
        super().__init__(said)
        place = f" (line {line})" if line else ""
        self.error = {"code": code, "message": utf8(said[:MESSAGE_MAX]) + place}


class Printed(io.TextIOBase):
    """Keeps the head of what is written, and knows whether there was more."""

    def __init__(self) -> None:
        self.head, self.cut = "", False

    def writable(self) -> bool:
        """Say that it can be printed to."""
        return True

    def write(self, text: str) -> int:
        """Keep what there is room for."""
        room = PRINTED_MAX - len(self.head)
        self.head += text[:room]
        self.cut |= len(text) > room
        return len(text)


def compiled(code: str) -> tuple[CodeType, CodeType]:
    """Return the code without its last expression, and that expression or `None`."""
    try:
        match ast.parse(code, CODE).body:
            case [*body, ast.Expr(last)]:
                pass
            case body:
                last = ast.parse("None", mode="eval").body
        expression = compile(ast.Expression(last), CODE, "eval")
        return compile(ast.Module(body, []), CODE, "exec"), expression
    except SyntaxError as error:
        said = f"{type(error).__name__}: {error.msg}"
        raise Failed("code_invalid", said, error.lineno) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise Failed("code_invalid", f"{type(error).__name__}: {error}") from error


def run(arguments: dict[str, Any], root: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Run the code; return the value of its last expression and what was kept, and its charts."""
    statements, expression = compiled(arguments["code"])
    names = {"__name__": "__main__", "inputs": arguments.get("inputs", {})}
    try:
        names |= load(root, arguments.get("load", []))
        exec(statements, names)  # noqa: S102 - what the tool is for, and the container bears
        value = plain(eval(expression, names))  # noqa: S307 - as above
        wanted = arguments.get("keep", [])
        return {"value": value} | ({"kept": keep(root, wanted, names)} if wanted else {}), drawn()
    except ChartsTooLarge as error:
        raise Failed("charts_too_large", str(error)) from error
    except NotKept as error:
        raise Failed(error.code, str(error)) from error
    except BaseException as raised:  # SystemExit is an end like any other
        raise blame(raised) from raised


def blame(raised: BaseException) -> Failed:
    """Return what was raised, with the last line of the code that led there."""
    frames = traceback.extract_tb(raised.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == CODE]
    said = "".join(traceback.format_exception_only(raised)).strip()
    return Failed("code_raised", said, lines[-1] if lines else None)


def respond(arguments: dict[str, Any], root: Path) -> str:
    """Return the line that answers a call."""
    printed = Printed()
    try:
        with contextlib.redirect_stdout(printed):
            said, charts = run(arguments, root)
        result = said | {"printed": utf8(printed.head), "charts": listed(charts)}
        return fitting(result | ({"printed_cut": True} if printed.cut else {}), charts)
    except Failed as failed:
        return json.dumps({"error": failed.error})


def fitting(result: dict[str, object], charts: dict[str, bytes]) -> str:
    """Return the answer of code that ended well, if it is not too large."""
    if len(json.dumps(result)) > RESULT_MAX:
        said = f"the result is larger than {RESULT_MAX} bytes; return less, or draw it"
        raise Failed("value_too_large", said)
    return json.dumps({"result": result, "artifacts": attached(charts)})


def main() -> None:
    """Answer one call on descriptor 3."""
    os.environ.update(SETTINGS)
    sys.path.append(str(PACKAGES))
    if FONTS.is_dir():
        shutil.copytree(FONTS, SETTINGS["MPLCONFIGDIR"])
    call, myself = json.load(sys.stdin), os.getpid()
    line = respond(call["arguments"], Path(sys.argv[1]))
    if os.getpid() == myself:  # what the code forked has nothing to answer
        os.write(3, line.encode() + b"\n")
    sys.stderr.flush()
    os._exit(0)  # the code's threads and exit handlers are not waited for


if __name__ == "__main__":
    main()
