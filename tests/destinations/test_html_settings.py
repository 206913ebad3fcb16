"""What a manifest may say about HTML, and what is left of it under a grant."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Widens
from sandbox_runtime.strict import Json

TOOL: Json = {
    "elements": ["p", "a", "img"],
    "links": {"hosts": ["*.good.example", "other.example:8443"], "schemes": ["https", "http"]},
    "images": {"hosts": ["img.example"]},
    "max_bytes": 1000,
}


@pytest.mark.parametrize(
    "settings",
    [
        {"elements": ["script"]},
        {"elements": ["svg"]},
        {"elements": ["P"]},
        {"elements": []},
        {"links": {"hosts": ["*"]}},
        {"links": {"hosts": ["*.*"]}},
        {"links": {"hosts": ["a.*.example"]}},
        {"links": {"hosts": ["https://good.example"]}},
        {"links": {"hosts": ["good.example/path"]}},
        {"links": {"hosts": ["user@good.example"]}},
        {"links": {"hosts": ["good.example:"]}},
        {"links": {"hosts": ["good.example."]}},
        {"links": {"hosts": ["*.1.2.3.4"]}},
        {"links": {"hosts": ["0x7f.1"]}},
        {"links": {"hosts": [""]}},
        {"links": {"hosts": ["good.example"], "schemes": ["javascript"]}},
        {"links": {"hosts": ["good.example"], "schemes": []}},
        {"links": {"data": True}},
        {"images": {"hosts": "good.example"}},
        {"images": {"data": "yes"}},
        {"styles": True},
        {"max_bytes": 0},
        {"max_bytes": 1 << 20},
    ],
)
def test_settings_that_say_what_cannot_be_do_not_load(settings: Json) -> None:
    with pytest.raises(ValidationError):
        registry.settings_of("html", settings)


@pytest.mark.parametrize("settings", [TOOL, {}, {"links": {"hosts": ["$host"]}}])
def test_settings_are_written_as_they_were_read(settings: Json) -> None:
    assert registry.dump(registry.settings_of("html", settings)) == settings


def test_a_tool_leaves_to_the_grant_what_it_does_not_speak_of() -> None:
    grant: Json = {"links": {"hosts": ["good.example"]}, "max_bytes": 10}
    assert registry.narrow("html", {}, grant) == grant
    assert registry.narrow("html", TOOL, {}) == TOOL


def test_a_grant_takes_some_of_what_the_tool_lists() -> None:
    grant: Json = {
        "elements": ["p"],
        "links": {"hosts": ["a.good.example", "*.b.good.example", "*.good.example"]},
        "images": {"hosts": []},
        "max_bytes": 10,
    }
    assert registry.narrow("html", TOOL, grant) == {
        "elements": ["p"],
        "links": {
            "hosts": ["a.good.example", "*.b.good.example", "*.good.example"],
            "schemes": ["https"],
        },
        "images": {"hosts": [], "schemes": ["https"], "data": False},
        "max_bytes": 10,
    }


@pytest.mark.parametrize(
    ("grant", "path"),
    [
        ({"elements": ["p", "h1"]}, ("elements", 1)),
        ({"links": {"hosts": ["good.example"]}}, ("links", "hosts", 0)),
        ({"links": {"hosts": ["*.example"]}}, ("links", "hosts", 0)),
        ({"links": {"hosts": ["evilgood.example"]}}, ("links", "hosts", 0)),
        ({"links": {"hosts": ["other.example"]}}, ("links", "hosts", 0)),
        ({"links": {"hosts": ["*.other.example:8443"]}}, ("links", "hosts", 0)),
        ({"links": {"hosts": ["$host"]}}, ("links", "hosts", 0)),
        ({"images": {"schemes": ["http"]}}, ("images", "schemes", 0)),
        ({"images": {"data": True}}, ("images", "data")),
        ({"max_bytes": 1001}, ("max_bytes",)),
    ],
)
def test_a_grant_never_widens_its_tool(grant: Json, path: tuple[str | int, ...]) -> None:
    with pytest.raises(Widens) as widens:
        registry.narrow("html", TOOL, grant)
    assert widens.value.path == path


def test_a_variable_that_nobody_put_in_stands_for_no_host() -> None:
    unbound: Json = {"links": {"hosts": ["$host"]}}
    assert registry.check("html", '<a href="https://host/">a</a>', unbound).value == "a"


def test_a_model_is_told_what_it_may_send() -> None:
    settings = registry.settings_of("html", TOOL)
    described = registry.DESTINATIONS["html"].describe(settings)
    assert described == {
        "description": "HTML of a, img, p. Links only over https or http, to *.good.example, "
        "other.example:8443. Images only over https, to img.example. At most 1000 bytes."
    }
    without = registry.DESTINATIONS["html"].describe(registry.settings_of("html", {}))
    assert "No links. No images. At most 65536 bytes." in str(without)
