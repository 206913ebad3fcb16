"""What does every model of ours have in common?

Law: unknown keys, coercion and mutation are errors, wherever a value comes from.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue

Json = JsonValue
"""What JSON can say: null, true, false, a number, a string, a list, an object."""


class Strict(BaseModel):
    """Unknown keys, coercion and mutation are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
