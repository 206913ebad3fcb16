"""A name of a file has one spelling, is relative, and leads only downwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection, Widens
from sandbox_runtime.destinations.path import normal
from sandbox_runtime.strict import Json


def spelt(value: Json, settings: Json = None) -> Json:
    return registry.check("path", value, settings or {}).value


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a/b.txt", "a/b.txt"),
        ("./a//b/", "a/b"),
        ("a/./b", "a/b"),
        ("", "."),
        (".", "."),
        ("..a/b..", "..a/b.."),
        ("-rf", "-rf"),
        ("a\\..\\b", "a\\..\\b"),
    ],
)
def test_a_name_has_one_spelling(written: str, name: str) -> None:
    assert spelt(written) == name


@pytest.mark.parametrize(
    ("written", "code"),
    [
        pytest.param("/etc/passwd", "path.absolute", id="absolute"),
        pytest.param("//etc/passwd", "path.absolute", id="absolute twice"),
        pytest.param("..", "path.upwards", id="upwards"),
        pytest.param("a/../../etc/passwd", "path.upwards", id="upwards on the way"),
        pytest.param("a/..", "path.upwards", id="upwards at the end"),
        pytest.param("a\x00.txt", "path.unseen", id="a zero"),
        pytest.param("a\nb", "path.unseen", id="a line end"),
        pytest.param("a\u202etxt.exe", "path.unseen", id="turned around"),
        pytest.param("a\u200b/b", "path.unseen", id="no width"),
        pytest.param("\ud800", "path.unseen", id="half a character"),
        pytest.param("a\u3164.csv", "path.unseen", id="a letter that shows nothing"),
        pytest.param("a\ufe0f.csv", "path.unseen", id="a choice between two looks"),
        pytest.param("a\u034f", "path.unseen", id="a mark that shows nothing"),
        pytest.param("a" * 256, "path.too_long", id="a long name"),
        pytest.param("/".join(["a" * 200] * 6), "path.too_long", id="a long path"),
        pytest.param("/".join("a" * 17), "path.too_deep", id="a deep path"),
        pytest.param(7, "path.no_text", id="a number"),
        pytest.param({"path": "a"}, "path.no_text", id="an object"),
    ],
)
def test_what_leads_elsewhere_is_no_name(written: Json, code: str) -> None:
    with pytest.raises(Objection) as refused:
        spelt(written)
    assert refused.value.code == code


def test_each_name_of_a_list_is_spelt_and_pointed_at() -> None:
    assert spelt(["a//b", "./c"]) == ["a/b", "c"]
    with pytest.raises(Objection) as refused:
        spelt(["a", "../b"])
    assert refused.value.pointer == "/1"


UNDER: Json = {"under": ["in", "out/today"], "suffixes": [".csv", ".json"]}


@pytest.mark.parametrize("name", ["in/a.csv", "out/today/b.json", "in/x/y.csv"])
def test_a_name_where_it_may_be_passes(name: str) -> None:
    assert spelt(name, UNDER) == name


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("inside/a.csv", "path.not_under"),
        ("out/a.csv", "path.not_under"),
        ("./", "path.not_under"),
        ("in/a.txt", "path.suffix"),
        ("in/a.csv/b", "path.suffix"),
    ],
)
def test_a_name_elsewhere_is_objected_to(name: str, code: str) -> None:
    with pytest.raises(Objection) as refused:
        spelt(name, UNDER)
    assert refused.value.code == code


def test_a_grant_only_narrows() -> None:
    assert registry.narrow("path", {}, {"under": ["in"]}) == {"under": ["in"]}
    assert registry.narrow("path", {"under": ["in"]}, {}) == {"under": ["in"]}
    narrowed = registry.narrow("path", {"under": ["in"]}, {"under": ["in/deep"]})
    assert narrowed == {"under": ["in/deep"]}
    beyond: tuple[Json, ...] = ({"under": ["."]}, {"under": ["in", "out"]}, {"suffixes": [".md"]})
    for wider in beyond:
        with pytest.raises(Widens):
            registry.narrow("path", {"under": ["in"], "suffixes": [".csv"]}, wider)


@pytest.mark.parametrize("folder", ["../up", "/root", "a//b", "a/"])
def test_a_folder_of_the_settings_stands_in_its_one_spelling(folder: str) -> None:
    with pytest.raises(ValidationError):
        registry.settings_of("path", {"under": [folder]})


TEXTS = st.one_of(st.text(max_size=40), st.text(alphabet="a./-~\\\x00 ", max_size=40))


@given(TEXTS)
def test_a_name_is_spelt_or_objected_to_and_never_leaves_its_folder(written: str) -> None:
    try:
        name = normal(written)
    except Objection:
        return
    assert normal(name) == name
    below = os.path.normpath(f"/workspace/{name}")
    assert Path(below).is_relative_to("/workspace")
