"""The CSV destination on formulas that nobody on this project wrote."""

from __future__ import annotations

import csv
import io

from sandbox_runtime.destinations import registry
from tests.corpora.corpora import corpus


def test_no_formula_begins_a_cell_wherever_it_stood() -> None:
    formulas: list[str] = corpus("misc/payloads.json.gz")["csv_formula"]
    assert len(formulas) > 10
    for formula in formulas:
        file = io.StringIO(newline="")
        csv.writer(file).writerow([formula, formula.strip(), f"a;{formula}", f"a\n{formula}"])
        text = str(registry.check("csv", file.getvalue(), {}).value)
        for separator in (",", ";"):
            reader = csv.reader(io.StringIO(text), delimiter=separator)
            begun = [cell.lstrip(' "')[:1] for row in reader for cell in row]
            assert not {"=", "+", "-", "@"} & {*begun}, formula
