"""Values that must match a JSON Schema."""

from sandbox_runtime.destinations.schema.closing import closed
from sandbox_runtime.destinations.schema.destination import Schema
from sandbox_runtime.destinations.schema.settings import SchemaSettings

__all__ = ["Schema", "SchemaSettings", "closed"]
