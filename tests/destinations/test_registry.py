"""Nothing but an answer or an objection comes out, whatever goes in."""

from __future__ import annotations

import pytest

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.strict import Json

SETTINGS: dict[str, Json] = {
    "sql": {"dialect": "sqlite"},
    "path": {},
    "schema": {},
    "html": {},
    "csv": {},
    "model_text": {},
}


def _nested(depth: int) -> Json:
    value: Json = "x"
    for _ in range(depth):
        value = [value]
    return value


def test_the_kinds_are_those_that_are_built() -> None:
    assert list(registry.DESTINATIONS) == ["sql", "path", "schema", "html", "csv", "model_text"]
    assert set(SETTINGS) == set(registry.DESTINATIONS)


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("depth", [129, 5000, 100_000])
def test_a_value_nested_too_deep_is_objected_to_by_every_kind(kind: str, depth: int) -> None:
    with pytest.raises(Objection) as refused:
        registry.check(kind, _nested(depth), SETTINGS[kind])
    assert refused.value.code == f"{kind}.too_complex"


@pytest.mark.parametrize("kind", SETTINGS)
def test_memory_or_recursion_that_ends_is_an_objection(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (RecursionError, MemoryError):

        def fail(*_: object, error: type[BaseException] = error) -> None:
            raise error

        monkeypatch.setattr(type(registry.DESTINATIONS[kind]), "check", fail)
        with pytest.raises(Objection) as refused:
            registry.check(kind, "x", SETTINGS[kind])
        assert refused.value.code == f"{kind}.too_complex"


def test_an_unknown_kind_or_unreadable_settings_are_a_fault_of_the_loader() -> None:
    unreadable: list[tuple[str, Json]] = [
        ("no-such-kind", {}),
        ("sql", {"nope": 1}),
        ("model_text", None),
    ]
    for kind, settings in unreadable:
        with pytest.raises(ValueError):  # noqa: PT011 - each library words it as it likes
            registry.check(kind, "x", settings)


def test_the_same_settings_are_parsed_and_compiled_once() -> None:
    one = registry.settings_of("schema", {"type": "string", "maxLength": 3})
    other = registry.settings_of("schema", {"maxLength": 3, "type": "string"})
    assert one is other
