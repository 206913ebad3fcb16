"""Which variables outlive the call, and what are they when they come back?

Law: a value is written as data and read as data: a table as Parquet, an array as npy without
objects, anything else as JSON. Nothing is ever pickled or unpickled, whoever wrote the file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = "kept"
BYTES_MAX = 32 << 20
"""Bytes of one kept value."""


class NotKept(Exception):  # noqa: N818 - what is wrong with it
    """A variable cannot be kept, or was not. `code` says which."""

    def __init__(self, code: str, said: str) -> None:
        super().__init__(said)
        self.code = code


def keep(root: Path, names: list[str], variables: dict[str, Any]) -> list[str]:
    """Write variables below `root`; return the files' names."""
    missing = [name for name in names if name not in variables]
    if missing:
        raise NotKept("no_such_variable", f"the code leaves no variable `{missing[0]}`")
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    return [kept(folder, name, variables[name]) for name in names]


def kept(folder: Path, name: str, value: Any) -> str:  # noqa: ANN401 - it may really be anything
    """Write one value; return its file's name. What was kept under its name is gone then."""
    suffix, write, _ = form(value, name)
    fresh = folder / f".{name}.new"
    try:
        write(value, fresh)
        if fresh.stat().st_size > BYTES_MAX:
            raise NotKept("too_large", f"`{name}` has more than {BYTES_MAX} bytes")
        for other in FORMS:
            (folder / f"{name}{other}").unlink(missing_ok=True)
        fresh.rename(folder / f"{name}{suffix}")
    except OSError as error:
        raise NotKept("workspace_full", f"`{name}` cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return f"{FOLDER}/{name}{suffix}"


def form(value: Any, name: str) -> tuple[str, Any, Any]:  # noqa: ANN401 - as above
    """Return suffix, writer and reader of a value's form."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    if pandas and isinstance(value, pandas.DataFrame):
        return (".parquet", *FORMS[".parquet"])
    if numpy and isinstance(value, numpy.ndarray):
        return (".npy", *FORMS[".npy"])
    if plain(value):
        return (".json", *FORMS[".json"])
    said = "keep a DataFrame, an array of numbers, or what JSON says without loss"
    raise NotKept("cannot_be_kept", f"`{name}` is a {type(value).__name__}; {said}")


def plain(value: object) -> bool:
    """Whether JSON gives a value back as it was."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def load(root: Path, names: list[str]) -> dict[str, Any]:
    """Return variables that earlier calls kept below `root`."""
    return {name: loaded(root / FOLDER, name) for name in names}


def loaded(folder: Path, name: str) -> Any:  # noqa: ANN401 - as above
    """Read one value."""
    for suffix, (_, read) in FORMS.items():
        file = folder / f"{name}{suffix}"
        if file.is_file():
            if file.stat().st_size > BYTES_MAX:
                raise NotKept("too_large", f"`{name}` has more than {BYTES_MAX} bytes")
            return attempted(read, file, name)
    raise NotKept("not_kept", f"no earlier call of this task kept `{name}`")


def attempted(read: Any, file: Path, name: str) -> Any:  # noqa: ANN401 - as above
    """Read a file that may be anything."""
    try:
        return read(file)
    except Exception as error:  # whatever a library makes of a file that is not its own
        said = f"`{name}` cannot be read: {type(error).__name__}"
        raise NotKept("damaged", said) from error


def write_table(value: Any, file: Path) -> None:  # noqa: ANN401 - pandas.DataFrame
    """Write a table; one that Parquet cannot hold is an error."""
    try:
        value.to_parquet(file, engine="pyarrow")
    except (ValueError, TypeError) as error:
        raise NotKept("cannot_be_kept", f"Parquet cannot hold the table: {error}") from error


def read_table(file: Path) -> Any:  # noqa: ANN401 - pandas.DataFrame
    """Read a table."""
    import pandas as pd  # noqa: PLC0415 - only calls that need it pay for it

    return pd.read_parquet(file, engine="pyarrow")


def write_array(value: Any, file: Path) -> None:  # noqa: ANN401 - numpy.ndarray
    """Write an array; one of objects would have to be pickled, and is an error."""
    import numpy as np  # noqa: PLC0415 - as above

    try:
        with file.open("wb") as to:
            np.save(to, value, allow_pickle=False)
    except ValueError as error:
        raise NotKept("cannot_be_kept", "an array of objects cannot be kept") from error


def read_array(file: Path) -> Any:  # noqa: ANN401 - numpy.ndarray
    """Read an array, and no object."""
    import numpy as np  # noqa: PLC0415 - as above

    return np.load(file, allow_pickle=False)


def write_json(value: object, file: Path) -> None:
    """Write anything else."""
    with file.open("w", encoding="utf-8") as to:
        json.dump(value, to, allow_nan=False)
        os.fsync(to.fileno())


def read_json(file: Path) -> object:
    """Read anything else."""
    return json.loads(file.read_bytes())


FORMS: dict[str, tuple[Any, Any]] = {
    ".parquet": (write_table, read_table),
    ".npy": (write_array, read_array),
    ".json": (write_json, read_json),
}
