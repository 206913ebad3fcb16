"""Tables that a spreadsheet will open."""

from sandbox_runtime.destinations.csv.destination import Csv
from sandbox_runtime.destinations.csv.settings import CsvSettings

__all__ = ["Csv", "CsvSettings"]
