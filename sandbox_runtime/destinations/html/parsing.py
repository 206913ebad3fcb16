"""How is a text read as a browser reads it, within bounds?

Law: the work is bounded by what it has done, counted while it is done. Nobody could tell it
from the text: elements that are left open are opened again in every paragraph that follows
(WHATWG HTML, 13.2.4.3), and each attribute's name is compared with all before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bleach.html5lib_shim import BleachHTMLParser

from sandbox_runtime.destinations.contract import Objection

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ELEMENTS: Final = 10_000
MAX_DEPTH: Final = 96
MAX_ATTRIBUTES: Final = 64
"""Of one tag."""


class BoundedParser(BleachHTMLParser):  # type: ignore[misc]  # bleach has no types
    """bleach's parser, which objects to a text that makes too much of a tree.

    It knows every element and leaves character references as they stand: bleach's own
    serialiser expects them so.
    """

    def __init__(self) -> None:
        super().__init__(tags=None, strip=True, consume_entities=False, namespaceHTMLElements=False)
        self.tree.elementClass = _counting(self.tree)

    def reset(self) -> None:
        """Begin a text. Its tokenizer is a new one."""
        super().reset()
        self.tokenizer.attributeNameState = _bounded(self.tokenizer)


def too_complex(problem: str) -> Objection:
    """Return the objection to a text that is more than can be cleaned in time."""
    return Objection(
        "html.too_complex",
        problem,
        hint=f"at most {MAX_ELEMENTS} elements, nested at most {MAX_DEPTH} deep, with at most "
        f"{MAX_ATTRIBUTES} attributes each; close what you open",
    )


def _counting(tree: Any) -> Callable[..., object]:  # noqa: ANN401 - bleach has no types
    element, made = tree.elementClass, 0

    class Counted(element):  # type: ignore[misc, valid-type]  # as above
        """Made for each tag, and again for each copy that the parser makes by itself."""

        def __init__(self, name: str, namespace: str | None = None) -> None:
            nonlocal made
            made += 1
            if made > MAX_ELEMENTS:
                raise too_complex("the text has too many elements")
            if len(tree.openElements) > MAX_DEPTH:
                raise too_complex("the text nests too deep")
            super().__init__(name, namespace)

    return Counted


def _bounded(tokenizer: Any) -> Callable[[], bool]:  # noqa: ANN401 - bleach has no types
    read_name = tokenizer.attributeNameState

    def attribute_name() -> bool:
        if len(tokenizer.currentToken["data"]) > MAX_ATTRIBUTES:
            raise too_complex("a tag has too many attributes")
        return bool(read_name())

    return attribute_name
