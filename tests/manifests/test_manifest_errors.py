"""Every mistake in a manifest is told at its file, line and column, with its mend."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.destinations.file.types import MEDIA_TYPES
from sandbox_runtime.manifests.catalogue import Catalogue
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.problems import ManifestErrors, Problem, Where
from sandbox_runtime.manifests.source import read
from sandbox_runtime.strict import Json

Told = Callable[..., str]


def test_the_manifests_that_these_tests_change_load(files: dict[str, str]) -> None:
    assert isinstance(load_texts(files), Catalogue)


SHAPE = {
    "a misspelt key": (
        ("max_calls: 5", "max_cals: 5"),
        "14:7: unknown key `max_cals`; did you mean `max_calls`?",
    ),
    "a key that is near to none": (
        ("lifetime: {default: 15m,", "lifetime: {zzz: 15m,"),
        "9:14: unknown key `zzz`; known here: `default` and `max`",
    ),
    "a key of a destination": (
        ("max_rows: 100", "max_row: 100"),
        "19:13: unknown key `max_row`; did you mean `max_rows`?",
    ),
    "a key deep inside a destination": (
        ("{equals: $tenant}", "{equal: $tenant}"),
        "21:72: unknown key `equal`; did you mean `equals`?",
    ),
    "a destination that there is none of": (
        ("\n          sql:\n", "\n          sqll:\n"),
        "18:11: unknown key `sqll`; did you mean `sql`?",
    ),
    "a text for an integer": (
        ("max_calls: 5", "max_calls: five"),
        "14:18: expected an integer, found the string `five`",
    ),
    "a fraction for an integer": (
        ("max_calls: 5", "max_calls: 5.0"),
        "14:18: expected an integer, found the number `5.0`",
    ),
    "an integer for a text": (
        ("why: draw the chart", "why: 5"),
        "27:12: expected a string, found the integer `5`",
    ),
    "a list for a mapping": (
        ("budgets: {calls: 20, wall_time: 60s, result_bytes: 1Mi}", "budgets: [calls]"),
        "30:12: expected a mapping, found a list",
    ),
    "a mapping for a list": (
        ('["agent:reporting"]', "{}"),
        "5:14: expected a list, found a mapping",
    ),
    "an empty list": (
        ('["agent:reporting"]', "[]"),
        "5:14: expected at least 1 entry, found a list",
    ),
    "a value of several types": (
        ("[north, south]", "[[]]"),
        "24:27: expected a string, an integer, a number or `true` or `false`, found a list",
    ),
    "null": (("max_calls: 5", "max_calls: null"), "14:18: expected an integer, found `null`"),
    "null where a key may be left out": (
        ('{regex: "(?s).*plot.*"}', "{regex: null}"),
        "29:23: `null` means nothing here; leave the key out",
    ),
    "a missing key": (("      why: draw the chart\n", ""), "25:7: missing key `why`"),
    "a missing key inside a destination": (
        ("columns: [id, total, month], ", ""),
        "21:15: missing key `columns`",
    ),
    "a duration without its unit": (
        ("default: 15m", "default: 15"),
        ("9:23: expected a duration like `250ms`, `10s`, `15m`, `8h` or `7d`, "
        "found the integer `15`"),
    ),
    "a duration beyond its bounds": (
        ("max: 8h", "max: 8d"),
        "9:33: expected a duration from `1s` to `7d`, found the string `8d`",
    ),
    "a size without its unit": (
        ("result_bytes: 1Mi", "result_bytes: 1000"),
        "30:54: expected a size like `512B`, `64Ki`, `128Mi` or `1Gi`, found the integer `1000`",
    ),
    "a number below its bound": (
        ("calls: 20,", "calls: 0,"),
        "30:20: expected at least `1`, found the integer `0`",
    ),
    "a misspelt choice": (
        ("tenant: {type: integer}", "tenant: {type: interger}"),
        ("7:20: expected `string`, `integer`, `number` or `boolean`, found the string "
        "`interger`; did you mean `integer`?"),
    ),
    "a name in capitals": (
        ("id: totals", "id: Totals"),
        ("11:11: expected a name of lower-case letters, digits and single `_` or `-` between "
        "them, found the string `Totals`"),
    ),
    "a key that is no name": (
        ("    tenant: {", "    Tenant: {"),
        ("7:5: expected a lower-case letter, then lower-case letters, digits or `_`, "
        "found the string `Tenant`"),
    ),
    "a subject of no kind": (
        ('"agent:reporting"', '"reporting"'),
        ("5:15: expected a subject like `agent:reporting` or `uid:1000`, found the string "
        "`reporting`"),
    ),
    "a workspace of no size": (
        ("  lifetime: {", "  workspace: {}\n  lifetime: {"),
        "9:3: missing key `size`",
    ),
    "a workspace that holds nothing": (
        ("  lifetime: {", "  workspace: {size: 1Ki}\n  lifetime: {"),
        "9:21: expected a size from `1Mi` to `64Gi`, found the string `1Ki`",
    ),
    "a file to keep from elsewhere": (
        ("  lifetime: {", "  workspace: {size: 1Mi, keep: [../*.csv]}\n  lifetime: {"),
        ("9:33: expected a pattern of names below the workspace, like `*.csv` or "
        "`charts/*.html`, found the string `../*.csv`"),
    ),
    "a missing kind": (("kind: Task\n", ""), "1:1: missing key `kind`"),
    "a misspelt kind": (
        ("kind: Task", "kind: Taks"),
        "2:7: expected `Tool` or `Task`, found the string `Taks`; did you mean `Task`?",
    ),
    "another version": (
        ("sandbox-runtime/v1", "sandbox-runtime/v2"),
        ("1:13: expected `sandbox-runtime/v1`, found the string `sandbox-runtime/v2`; "
        "did you mean `sandbox-runtime/v1`?"),
    ),
    "NO": (
        ("[north, south]", "[NO, SE]"),
        ("24:27: `NO` is false to some readers of YAML and text to others; "
        "quote it to mean text, or write `false`"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), SHAPE.values(), ids=SHAPE)
def test_what_a_manifest_cannot_say_is_told_at_its_place(
    told: Told, change: tuple[str, str], problem: str
) -> None:
    assert told("report.yaml", *change) == f"report.yaml:{problem}"


GRANTS = {
    "a tool that there is none of": (
        ("tool: python_run", "tool: pyton_run"),
        "26:13: no tool `pyton_run`; did you mean `python_run`?",
    ),
    "a tool that is near to none": (
        ("tool: python_run", "tool: zzz"),
        "26:13: no tool `zzz`; known tools: `python_run` and `sql_query`",
    ),
    "an argument that the tool lacks": (
        ("        limit: {range", "        limits: {range"),
        "22:9: tool `sql_query` has no argument `limits`; did you mean `limit`?",
    ),
    "an argument that steers, not named": (
        ('      arguments:\n        code: {regex: "(?s).*plot.*"}\n', "      arguments: {}\n"),
        ("28:7: grant `chart` does not name `code`, which steers what `python_run` does; "
        "say what it may be, or `code: {}` to leave it at the tool's bounds"),
    ),
    "arguments left out altogether": (
        ('      arguments:\n        code: {regex: "(?s).*plot.*"}\n', ""),
        ("25:7: grant `chart` does not name `code`, which steers what `python_run` does; "
        "say what it may be, or `code: {}` to leave it at the tool's bounds"),
    ),
    "a destination that the argument does not go to": (
        ('code: {regex: "(?s).*plot.*"}', "code: {sql: {max_rows: 1}}"),
        "29:16: tool `python_run` does not send this argument to `sql`; remove it",
    ),
    "another destination than the argument's": (
        ("          length: {max: 1000}\n", "          model_text: {}\n"),
        ("17:11: tool `sql_query` does not send this argument to `model_text`; "
        "it goes to `sql`; remove it"),
    ),
    "settings that widen the tool's": (
        ("max_rows: 100", "max_rows: 501"),
        "19:13: wider than the tool: the tool returns at most 500 rows",
    ),
    "a range beyond the tool's maximum": (
        ("max: 50}", "max: 1001}"),
        "22:38: `1001` is more than the tool's most, `1000`",
    ),
    "a range below the tool's minimum": (
        ("{min: 1, max: 50}", "{min: 0, max: 50}"),
        "22:30: `0` is less than the tool's least, `1`",
    ),
    "an empty range": (
        ("{min: 1, max: 50}", "{min: 50, max: 1}"),
        "22:24: nothing is at least `50` and at most `1`",
    ),
    "a range of nothing": (
        ("{min: 1, max: 50}", "{}"),
        "22:24: says nothing; give `min`, `max` or both",
    ),
    "a range of a text": (
        ('{regex: "(?s).*plot.*"}', "{range: {min: 1}}"),
        "29:16: `range` means nothing for an argument of type `string`; remove it",
    ),
    "a length of a number": (
        ("{range: {min: 1, max: 50}}", "{length: {max: 2}}"),
        "22:17: `length` means nothing for an argument of type `integer`; remove it",
    ),
    "a pattern of a number": (
        ("{range: {min: 1, max: 50}}", '{regex: "[0-9]"}'),
        "22:17: `regex` means nothing for an argument of type `integer`; remove it",
    ),
    "a length beyond the tool's": (
        ("length: {max: 1000}", "length: {max: 2001}"),
        "17:25: `2001` is more than the tool's most, `2000`",
    ),
    "a length below the tool's": (
        ("{exact: $word}", "{length: {min: 1}}"),
        "23:31: `1` is less than the tool's least, `2`",
    ),
    "a value beyond the tool's": (
        ("[north, south]", "[north, west]"),
        ('24:34: the string `west` is beyond what the tool\'s argument may be: "west" is not '
        'one of "north", "south" or "east"; the tool\'s bounds hold for every grant'),
    ),
    "a value of another type": (
        ("{range: {min: 1, max: 50}}", "{exact: ten}"),
        ("22:24: the string `ten` is beyond what the tool's argument may be: "
        '"ten" is not of type "integer"; the tool\'s bounds hold for every grant'),
    ),
    "a pattern that RE2 does not read": (
        ('"(?s).*plot.*"', '"(?=plot)"'),
        ("29:23: RE2 does not read `(?=plot)`: invalid perl operator: (?=; "
        "RE2 has no look-around and no back-references"),
    ),
    "a variable that nobody declared": (
        ("{equals: $tenant}", "{equals: $tenat}"),
        "21:80: no variable `tenat`; did you mean `tenant`?",
    ),
    "a variable that nobody uses": (
        ("{equals: $tenant}", "{equals: 5}"),
        ("7:5: variable `tenant` is never used; "
        "remove it, or refer to it as `$tenant` in a grant"),
    ),
    "a dollar that is no variable": (
        ("{exact: $word}", "{exact: $Word}"),
        "23:24: `$Word` refers to no variable; write `$$Word` for the text itself",
    ),
    "a variable as a pattern": (
        ('"(?s).*plot.*"', "$word"),
        ("29:23: `$word` matches nothing: variables do not reach into `regex`; "
        "write `exact: $word`"),
    ),
    "a variable of another type": (
        ("{exact: $word}", "{exact: $tenant}"),
        "23:24: variable `tenant` is of type `integer`, the tool's argument of type `string`",
    ),
    "a pattern of a variable that is no text": (
        ("tenant: {type: integer}", 'tenant: {type: integer, regex: "[0-9]"}'),
        "7:29: `regex` means nothing for a variable of type `integer`; remove it",
    ),
    "an id that stands twice": (
        ("id: chart", "id: totals"),
        "25:11: grant id `totals` stands here twice; give each grant an id of its own",
    ),
    "a workspace that no granted tool works on": (
        ("  lifetime: {", "  workspace: {size: 1Mi}\n  lifetime: {"),
        ("9:3: none of the granted tools mounts the workspace; remove it, or grant a tool whose "
        "manifest says `workspace: read_only` or `read_write`"),
    ),
    "a time for keeping nothing": (
        ("  lifetime: {", "  workspace: {size: 1Mi, retain: 1d}\n  lifetime: {"),
        ("9:26: `retain` means nothing without `keep`: no file outlives the task; "
        'say which do, as in `keep: ["*.csv"]`, or remove it'),
    ),
    "a kept file of no type that may leave": (
        ("  lifetime: {", '  workspace: {size: 1Mi, keep: ["*.exe"]}\n  lifetime: {'),
        ("9:33: no file that `*.exe` is for may leave: its type is not allowed; name files of one "
        f"of these types, and the type under `types` if that is there: {', '.join(MEDIA_TYPES)}"),
    ),
    "a kept file of a type that is not among those named": (
        ("  lifetime: {",
         '  workspace: {size: 1Mi, keep: ["*.html"], types: [text/csv]}\n  lifetime: {'),
        ("9:33: no file that `*.html` is for may leave: its type is not allowed; name files of "
        f"one of these types, and the type under `types` if that is there: "
        f"{', '.join(MEDIA_TYPES)}"),
    ),
    "settings of documents that never leave": (
        ("  lifetime: {", "  workspace: {size: 1Mi, types: [text/csv], html: {}}\n  lifetime: {"),
        ("9:45: `html` means nothing: no file of type text/html may leave; add `text/html` to "
        "`types`, or remove it"),
    ),
    "a default beyond the longest lifetime": (
        ("max: 8h", "max: 5m"),
        "9:23: the default lifetime `15m` is longer than the longest, `5m`",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), GRANTS.values(), ids=GRANTS)
def test_a_grant_that_its_tool_does_not_bear_is_told_at_its_place(
    told: Told, change: tuple[str, str], problem: str
) -> None:
    assert f"report.yaml:{problem}" in told("report.yaml", *change).splitlines()


TOOLS = {
    "a result that nothing checks": (
        ("{schema: {type: array}, model_text: {}}", "{model_text: {}}"),
        ("18:3: the result names no `schema`, so nothing would check it; "
        "add `schema: {type: …}`"),
    ),
    "a schema that is none": (
        ("items: {type: string}", "items: {type: strin}"),
        "15:39: not a JSON Schema: the string `strin` cannot stand at `type`",
    ),
    "a schema that leads elsewhere": (
        ("items: {type: string}", 'items: {$ref: "file:///etc/passwd"}'),
        "15:11: not a JSON Schema: a `$ref` leads out of it, or to nothing",
    ),
    "a default beyond its bounds": (
        ("default: 100}", "default: 2000}"),
        ("14:64: the integer `2000` is beyond the argument's own bounds: "
        "2000 is greater than the maximum of 1000"),
    ),
    "a default of null": (
        ("default: 100}", "default: null}"),
        "14:64: `null` means nothing here; leave the key out",
    ),
    "bounds that nothing meets": (
        ("minimum: 1, maximum: 1000, default: 100", "minimum: 1001, maximum: 1000"),
        "14:37: `minimum` `1001` is more than `maximum` `1000`, so no value fits",
    ),
    "lengths that nothing meets": (
        ("minLength: 2, maxLength: 80, default: untitled", "minLength: 81, maxLength: 80"),
        "16:38: `minLength` `81` is more than `maxLength` `80`, so no value fits",
    ),
    "a bound of another type": (
        ("{type: integer, minimum: 1,", "{type: integer, minLength: 1, minimum: 1,"),
        "14:28: `minLength` means nothing for an argument of type `integer`; remove it",
    ),
    "a choice beyond its bounds": (
        ("[north, south, east]", "[north, 5]"),
        '17:42: the integer `5` is beyond the argument\'s own bounds: 5 is not of type "string"',
    ),
    "a destination without what it needs": (
        ("        dialect: sqlite\n", ""),
        "11:7: the tool names no dialect",
    ),
    "a variable in a tool": (
        ("        max_rows: 500\n", "        tables: {t: {columns: [$tenant]}}\n"),
        ("13:32: `$tenant` reads like a variable, and a tool has none; "
        "variables belong in a task's grants"),
    ),
    "data at one place twice": (
        ("/data/rates.db", "/data/sales.db"),
        ("21:28: `/data/sales.db` and `/data/sales.db` would hide one another; "
        "mount them side by side"),
    ),
    "data within data": (
        ("/data/rates.db", "/data/sales.db/rates"),
        ("21:28: `/data/sales.db/rates` and `/data/sales.db` would hide one another; "
        "mount them side by side"),
    ),
    "data outside its place": (
        ("/data/rates.db", "/etc/rates.db"),
        ("21:28: expected a path below `/data`, like `/data/sales.db`, found the string "
        "`/etc/rates.db`"),
    ),
    "data with a way up": (
        ("/data/rates.db", "/data/../etc/rates.db"),
        ("21:28: expected a path below `/data`, like `/data/sales.db`, found the string "
        "`/data/../etc/rates.db`"),
    ),
    "a data source of the same name": (
        ("name: rates", "name: sales"),
        "21:14: data source `sales` is listed twice",
    ),
    "a /tmp that holds all the memory": (
        ("tmp: 16Mi", "tmp: 128Mi"),
        ("22:33: `/tmp` of `128Mi` would use up the memory of `128Mi`: its pages count as "
        "memory; make `tmp` smaller than `memory`"),
    ),
    "a memory beyond its ceiling": (
        ("memory: 128Mi", "memory: 9Gi"),
        "22:21: expected a size from `32Mi` to `8Gi`, found the string `9Gi`",
    ),
    "a cpu share in quotes": (
        ("memory: 128Mi", 'cpu: "0.5"'),
        "22:18: expected a number, found the string `0.5`",
    ),
    "files mounted in another way": (
        ("  data:\n", "  workspace: read-write\n  data:\n"),
        ("19:14: expected `read_only` or `read_write`, found the string `read-write`; "
        "did you mean `read_write`?"),
    ),
    "files mounted for some, in another way": (
        ("  data:\n", "  workspace: {mount: writable, asked_by: [tags]}\n  data:\n"),
        "19:22: expected `read_only` or `read_write`, found the string `writable`",
    ),
    "files that nothing asks for": (
        ("  data:\n", "  workspace: {mount: read_write}\n  data:\n"),
        "19:3: missing key `asked_by`",
    ),
    "files that no argument asks for": (
        ("  data:\n", "  workspace: {mount: read_write, asked_by: []}\n  data:\n"),
        "19:44: expected at least 1 entry, found a list",
    ),
    "files that an argument asks for that there is none of": (
        ("  data:\n", "  workspace: {mount: read_write, asked_by: [tags, tilte]}\n  data:\n"),
        "19:51: the tool has no argument `tilte`; did you mean `title`?",
    ),
    "another isolation": (
        ("memory: 128Mi", "isolation: none"),
        "22:24: expected `runc`, found the string `none`",
    ),
    "artifacts without a number": (
        ("model_text: {}}", "model_text: {}, artifacts: {types: [image/png]}}"),
        "18:51: `types` and `max_count` belong together: both, or none for no artifacts",
    ),
    "an image folder above the manifest": (
        ("  arguments:\n", '  program: {image: {build: "../x"}}\n  arguments:\n'),
        ("6:28: expected a folder at or below the manifest's own, like `.` or `image`, "
        "found the string `../x`"),
    ),
}  # fmt: skip


def test_a_tool_that_works_on_files_needs_a_task_that_has_some(files: dict[str, str]) -> None:
    run = files["run.yaml"].replace("  result:", "  workspace: read_write\n  result:")
    with pytest.raises(ManifestErrors) as caught:
        load_texts({**files, "run.yaml": run})
    assert str(caught.value) == (
        "report.yaml:26:13: tool `python_run` works on the task's files, and this task has no "
        "`workspace`; add `workspace: {size: 64Mi}` to the task's `spec`"
    )
    asking = run.replace("read_write", "{mount: read_write, asked_by: [code]}")
    assert "python_run" in load_texts({**files, "run.yaml": asking}).tools
    report = files["report.yaml"].replace("  lifetime:", "  workspace: {size: 1Mi}\n  lifetime:")
    task = load_texts({**files, "run.yaml": run, "report.yaml": report}).tasks["monthly-report"]
    assert task.manifest.spec.workspace is not None
    assert task.manifest.spec.workspace.inodes == 4096


@pytest.mark.parametrize(("change", "problem"), TOOLS.values(), ids=TOOLS)
def test_a_tool_that_does_not_hold_together_is_told_at_its_place(
    told: Told, change: tuple[str, str], problem: str
) -> None:
    assert told("query.yaml", *change) == f"query.yaml:{problem}"


def test_a_name_that_is_taken_is_told_with_where_it_was_taken(files: dict[str, str]) -> None:
    with pytest.raises(ManifestErrors) as caught:
        load_texts({**files, "z.yaml": f"{files['run.yaml']}---\n{files['report.yaml']}"})
    assert str(caught.value).splitlines() == [
        "z.yaml:3:18: tool `python_run` is already defined at run.yaml:3",
        "z.yaml:12:18: task `monthly-report` is already defined at report.yaml:3",
    ]


def test_a_broken_tool_is_told_once_and_not_in_every_grant_of_it(told: Told) -> None:
    assert told("run.yaml", "kind: Tool", "kind: Tol").count("\n") == 0
    assert told("run.yaml", "type: string", "type: NO").count("\n") == 0
    assert told("run.yaml", "{type: object}", "{type: 5}").count("\n") == 0


def test_grants_that_ask_for_more_checks_than_a_record_holds_are_told_at_the_first_too_many(
    told: Told,
) -> None:
    grant = "    - {id: chart%d, tool: python_run, why: draw, arguments: {code: {}}}\n"
    budgets = "  budgets: {calls: 20, wall_time: 60s, result_bytes: 1Mi}\n"
    fitting, crowded = ("".join(grant % n for n in range(many)) + budgets for many in (99, 102))
    assert told("report.yaml", budgets, fitting) == ""
    assert told("report.yaml", budgets, crowded) == (
        "report.yaml:129:27: the grants of `python_run` up to this one ask for 101 checks of one "
        "call, more than 100; join grants that differ little, as with `one_of`, or split the task"
    )


def test_problems_of_all_files_are_told_together_in_their_order(files: dict[str, str]) -> None:
    changed = {name: text.replace("metadata:", "metadate:") for name, text in files.items()}
    with pytest.raises(ManifestErrors) as caught:
        load_texts(changed)
    problems = caught.value.problems
    assert [problem.file for problem in problems] == sorted(name for name in files for _ in (1, 2))
    assert str(problems[0]) == "query.yaml:1:1: missing key `metadata`"
    assert problems[1] == Problem(
        file="query.yaml",
        line=3,
        column=1,
        message="unknown key `metadate`",
        expected="`apiVersion`, `kind`, `metadata` or `spec`",
        mend="did you mean `metadata`?",
    )


def test_what_a_manifest_holds_reaches_a_terminal_only_as_printable_text(told: Told) -> None:
    text = told("report.yaml", "max_calls: 5", 'max_calls: "\\e[31m`x`\\u202e\\n2:1: fine"')
    assert text == (
        "report.yaml:14:18: expected an integer, found the string "
        r"`\x1b[31m'x'\u202e\n2:1: fine`"
    )


def test_no_manifest_at_all_is_an_empty_catalogue() -> None:
    assert load_texts({}).tools == {}


@given(st.text())
def test_any_text_gives_a_catalogue_or_problems_and_nothing_else(text: str) -> None:
    with pytest.raises(ManifestErrors):
        load_texts({"f.yaml": text})


WORDS = st.sampled_from(["5", "$x", "10s", "1Mi", "string", "sql_query", "sqlite"])
KEYS = st.sampled_from(["type", "sql", "schema", "tables", "columns", "exact", "min", "name"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from(["query.yaml", "report.yaml"]), st.integers(0, 2000), JSON)
def test_any_value_replaced_by_anything_gives_a_catalogue_or_problems(
    files: dict[str, str], file: str, choice: int, value: Json
) -> None:
    (document,) = read(file, files[file]).documents
    paths = sorted(document.values, key=str)
    changed = json.dumps(replaced(document.data, paths[choice % len(paths)], value))
    with suppress(ManifestErrors):
        load_texts({**files, file: changed})


def replaced(data: Json, where: Where, value: Json) -> Json:
    if not where:
        return value
    step, *rest = where
    if isinstance(data, dict):
        return {**data, str(step): replaced(data[str(step)], tuple(rest), value)}
    assert isinstance(data, list)
    return [
        replaced(one, tuple(rest), value) if index == step else one
        for index, one in enumerate(data)
    ]
