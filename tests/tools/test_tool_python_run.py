"""Whatever the code does, there is one answer, and it is the code's own."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.support.tool_runs import Run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What is mounted at /workspace."""
    (tmp_path / "workspace").mkdir()
    return tmp_path / "workspace"


@pytest.fixture
def run(run: Run, root: Path) -> Run:
    """Return what runs a tool's program on files of its own."""
    return lambda tool, arguments: run(tool, arguments, str(root))


def test_the_last_expression_is_the_value_and_print_is_kept_apart(run: Run) -> None:
    code = "print('three flights')\nn = sum(inputs['counts'])\n{'n': n, 'half': n / 2}"
    ended = run("python_run", {"code": code, "inputs": {"counts": [1, 2]}})
    assert ended.result == {
        "value": {"n": 3, "half": 1.5},
        "printed": "three flights\n",
        "charts": [],
    }
    assert (ended.printed, ended.status) == ("", 0)


@pytest.mark.parametrize("code", ["", "x = 1", "def f():\n    return 1", "# nothing"])
def test_code_without_a_last_expression_has_no_value(run: Run, code: str) -> None:
    assert run("python_run", {"code": code, "inputs": {}}).result["value"] is None


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param(
            "x = 1\n\n1 / 0",
            {"code": "code_raised", "message": "ZeroDivisionError: division by zero (line 3)"},
            id="raised",
        ),
        pytest.param(
            "def f(n):\n    return {}[n]\n\nf(5)",
            {"code": "code_raised", "message": "KeyError: 5 (line 2)"},
            id="raised in a function",
        ),
        pytest.param(
            "import json\njson.loads('{')",
            {
                "code": "code_raised",
                "message": "json.decoder.JSONDecodeError: Expecting property name enclosed in "
                "double quotes: line 1 column 2 (char 1) (line 2)",
            },
            id="raised in a module",
        ),
        pytest.param(
            "x = 1\nif x\n    pass",
            {"code": "code_invalid", "message": "SyntaxError: expected ':' (line 2)"},
            id="no Python",
        ),
        pytest.param(
            "return 1",
            {
                "code": "code_invalid",
                "message": "SyntaxError: 'return' outside function (line 1)",
            },
            id="no program",
        ),
        pytest.param(
            "import sys\nsys.exit('bye')",
            {"code": "code_raised", "message": "SystemExit: bye (line 2)"},
            id="exit",
        ),
        pytest.param(
            "x = []\nx.append(x)\nx",
            {"code": "code_raised", "message": "ValueError: the value nests deeper than 50 levels"},
            id="a list in itself",
        ),
    ],
)
def test_what_the_code_raises_is_an_error_with_its_line(
    run: Run, code: str, error: dict[str, str]
) -> None:
    assert run("python_run", {"code": code, "inputs": {}}).error == error


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("float('nan')", None),
        ("-float('inf')", None),
        ("10**30", str(10**30)),
        ("2**63 - 1", 2**63 - 1),
        ("{1: (2, 3), None: {4}}", {"1": [2, 3], "None": [4]}),
        ("'half a pair: \\ud800'", "half a pair: ?"),
        ("__import__('datetime').date(2013, 1, 31)", "2013-01-31"),
        ("__import__('decimal').Decimal('1.5')", 1.5),
        ("len", "<built-in function len>"),
        ("True", True),
    ],
)
def test_every_value_has_a_form_in_json(run: Run, expression: str, value: object) -> None:
    assert run("python_run", {"code": expression, "inputs": {}}).result["value"] == value


def test_long_output_is_cut_and_says_so(run: Run) -> None:
    result = run("python_run", {"code": "print('a' * 20_000)\nprint('b')", "inputs": {}}).result
    assert result["printed"] == "a" * 16_384
    assert result["printed_cut"] is True


def test_a_result_that_is_too_large_is_an_error_and_not_cut(run: Run) -> None:
    error = run("python_run", {"code": "'x' * 600_000", "inputs": {}}).error
    assert error["code"] == "value_too_large"


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import os\nos.fork()\n7", id="a child that lives on"),
        pytest.param("import atexit\natexit.register(print, 'late')\n7", id="an exit handler"),
        pytest.param(
            "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n7",
            id="a thread without end",
        ),
        pytest.param("import sys\nsys.stdout = None\n7", id="no standard output"),
    ],
)
def test_there_is_one_answer_whatever_the_code_leaves_behind(run: Run, code: str) -> None:
    assert run("python_run", {"code": code, "inputs": {}}).result["value"] == 7


def test_error_output_goes_to_the_log_and_not_to_the_model(run: Run) -> None:
    ended = run("python_run", {"code": "import sys\nprint('inner', file=sys.stderr)", "inputs": {}})
    assert ended.log == "inner\n"
    assert ended.result["printed"] == ""


def test_the_answer_is_one_line_even_if_values_have_many(run: Run) -> None:
    ended = run("python_run", {"code": "'a\\nb\\u2028c'", "inputs": {}})
    assert ended.result["value"] == "a\nb\u2028c"


def test_numbers_survive_exactly(run: Run) -> None:
    assert run("python_run", {"code": "0.1 + 0.2", "inputs": {}}).result["value"] == math.fsum(
        [0.1, 0.2]
    )


def test_what_is_kept_comes_back_as_it_was(run: Run, root: Path) -> None:
    code = "a = {'x': [1, None, 0.1 + 0.2], 'ü': True}\nb = [a, 'two']"
    said = run("python_run", {"code": code, "keep": ["a", "b"]}).result
    assert said["kept"] == ["kept/a.json", "kept/b.json"]
    again = run("python_run", {"code": "b[0] == a and a", "load": ["a", "b"]}).result
    assert again["value"] == {"x": [1, None, 0.1 + 0.2], "ü": True}
    assert sorted(path.name for path in (root / "kept").iterdir()) == ["a.json", "b.json"]


def test_nothing_is_kept_of_code_that_fails(run: Run, root: Path) -> None:
    assert run("python_run", {"code": "a = 1\n1 / 0", "keep": ["a"]}).error
    assert not (root / "kept").exists()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param("b = 1", "no_such_variable", id="never set"),
        pytest.param("a = {1: 2}", "cannot_be_kept", id="keys that JSON makes texts of"),
        pytest.param("a = (1, 2)", "cannot_be_kept", id="a tuple, which would be a list"),
        pytest.param("a = float('nan')", "cannot_be_kept", id="no number"),
        pytest.param("a = []\na.append(a)", "cannot_be_kept", id="a list in itself"),
        pytest.param("a = open", "cannot_be_kept", id="a function"),
        pytest.param("a = 'x' * (33 << 20)", "too_large", id="too large"),
    ],
)
def test_what_cannot_be_kept_without_loss_is_an_error(
    run: Run, root: Path, code: str, error: str
) -> None:
    assert run("python_run", {"code": code, "keep": ["a"]}).error["code"] == error
    assert not list(root.glob("kept/*"))


def test_what_nobody_kept_is_an_error_before_the_code_runs(run: Run, root: Path) -> None:
    code = "open('/workspace-ran', 'w')"
    assert run("python_run", {"code": code, "load": ["a"]}).error["code"] == "not_kept"
    assert not list(root.iterdir())


def test_a_file_that_is_not_what_it_says_is_an_error(run: Run, root: Path) -> None:
    (root / "kept").mkdir()
    (root / "kept" / "a.json").write_bytes(b"\x80\x04}q\x00.")  # a pickle
    assert run("python_run", {"code": "a", "load": ["a"]}).error["code"] == "damaged"
