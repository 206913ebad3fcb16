"""Statements for a database: one SELECT, of granted tables and columns."""

from sandbox_runtime.destinations.sql.destination import Sql
from sandbox_runtime.destinations.sql.settings import SqlSettings

__all__ = ["Sql", "SqlSettings"]
