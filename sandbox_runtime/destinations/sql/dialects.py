"""What does one database engine understand, and how much of that may a model say?

Law: a dialect is data, and its lists are allow-lists. A function that reads a file, runs
text as SQL, loads code, or makes a value of a size given as a number stands in none.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.generators.sqlite import SQLiteGenerator
from sqlglot.parsers.sqlite import SQLiteParser
from sqlglot.tokenizer_core import TokenType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlglot import Dialect

DialectName = Literal["sqlite"]
"""The engines that are supported. A manifest that names another does not load."""


WRITTEN: Final = "written"
"""Marks the parentheses that stand in the text; the parser adds others."""

_PLAIN_TYPES = """
    INT INTEGER BIGINT SMALLINT TINYINT REAL FLOAT DOUBLE NUMERIC DECIMAL TEXT VARCHAR CHAR
    CHARACTER
"""
_TYPE_WORDS = frozenset(_PLAIN_TYPES.split()) | {"DOUBLE PRECISION"}
_TYPE_TOKENS = frozenset(SQLite.Tokenizer.KEYWORDS[word] for word in _TYPE_WORDS)


class Plus(exp.Unary):
    """A plus sign in front: to SQLite, what follows has no affinity and no collation."""


class _Tokenizer(SQLite.Tokenizer):
    """Knows those words for a type that say to SQLite what they say to the parser.

    SQLite reads an affinity out of a word's letters (datatype3.html, 3.1): STRING and LONG
    are NUMERIC to it.
    """

    KEYWORDS: ClassVar = {
        word: token
        for word, token in SQLite.Tokenizer.KEYWORDS.items()
        if token not in _TYPE_TOKENS or word in _TYPE_WORDS
    }


class _Parser(SQLiteParser):
    """Reads every function as what it is called, and joins as SQLite does: left to right.

    The inherited parser looks, after every join without a condition, for joins nested in
    it, and reads all that follow twice: two to the power of their number. SQLite nests
    joins in parentheses only. It also drops a leading plus, and knows casts that are
    written `a::b` and `TEXT 'b'`; to SQLite the latter is the column `text`, called b.
    """

    FUNCTIONS: ClassVar = {}
    FUNCTION_PARSERS: ClassVar = {"CAST": SQLiteParser.FUNCTION_PARSERS["CAST"]}
    NO_PAREN_FUNCTION_PARSERS: ClassVar = {"CASE": SQLiteParser.NO_PAREN_FUNCTION_PARSERS["CASE"]}
    COLUMN_OPERATORS: ClassVar = {TokenType.DOT: None}
    CAST_COLUMN_OPERATORS: ClassVar = set()
    UNARY_PARSERS: ClassVar = {
        **SQLiteParser.UNARY_PARSERS,
        TokenType.PLUS: lambda self: self.expression(Plus(this=self._parse_unary())),
    }

    _in_join = False

    def _parse_join(
        self,
        skip_join_token: bool = False,  # noqa: FBT001, FBT002 - the inherited signature
        parse_bracket: bool = False,  # noqa: FBT001, FBT002
        alias_tokens: Collection[TokenType] | None = None,
    ) -> exp.Join | None:
        with self._join_state(inside=True):
            return super()._parse_join(skip_join_token, parse_bracket, alias_tokens)

    def _parse_joins(self, alias_tokens: Collection[TokenType] | None = None) -> Iterator[exp.Join]:
        if not self._in_join:
            yield from super()._parse_joins(alias_tokens)

    def _parse_type(
        self,
        parse_interval: bool = True,  # noqa: ARG002, FBT001, FBT002 - the inherited signature
        fallback_to_identifier: bool = False,  # noqa: FBT001, FBT002
    ) -> exp.Expr | None:
        if fallback_to_identifier:
            return self._parse_id_var()
        return self._parse_atom() or self._parse_column()

    def _parse_paren(self) -> exp.Expr | None:
        this = super()._parse_paren()
        if isinstance(this, exp.Paren):
            this.meta[WRITTEN] = True
        return this

    def _parse_window(
        self,
        this: exp.Expr | None,
        alias: bool = False,  # noqa: FBT001, FBT002 - the inherited signature
    ) -> exp.Expr | None:
        window = super()._parse_window(this, alias)
        if window is not this and self._prev.text.upper() == "OVER":
            self.raise_error("OVER without a window is a name to SQLite")
        return window

    def _warn_unsupported(self) -> None:
        """Refuse what the parser would keep as a text, and would log."""
        self.raise_error("not a query")

    def _parse_table(self, *args: Any, **kwargs: Any) -> exp.Expr | None:  # noqa: ANN401
        with self._join_state(inside=False):
            return super()._parse_table(*args, **kwargs)

    def _parse_query_modifiers(self, this: Any) -> Any:  # noqa: ANN401 - overloaded there
        with self._join_state(inside=False):
            return super()._parse_query_modifiers(this)

    @contextmanager
    def _join_state(self, *, inside: bool) -> Iterator[None]:
        before, self._in_join = self._in_join, inside
        try:
            yield
        finally:
            self._in_join = before


class _Generator(SQLiteGenerator):
    """Prints a cast with the affinity it was written with: NUMERIC is not REAL."""

    TYPE_MAPPING: ClassVar = {**SQLiteGenerator.TYPE_MAPPING, exp.DType.DECIMAL: "NUMERIC"}
    TRANSFORMS: ClassVar = {
        **SQLiteGenerator.TRANSFORMS,
        Plus: lambda self, plus: f"+{self.sql(plus, 'this')}",
    }


class _PlainSQLite(SQLite):
    """SQLite to SQLite: what is printed means what was read."""

    Tokenizer = _Tokenizer
    Parser = _Parser
    Generator = _Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlDialect:
    """One engine, as far as this destination lets a model use it."""

    reader: type[Dialect]
    main_schema: str
    """Base tables are printed under it, so that no name in the statement can shadow them."""
    functions: frozenset[str]
    """Lower-case names. A manifest may allow fewer, never another."""
    collations: frozenset[str]
    types: Mapping[exp.DType, exp.DType]
    """What a cast may name, and the one type that is printed for all of its kind."""
    reserved_tables: tuple[str, ...]
    """Beginnings of table names that belong to the engine, lower case."""
    unfiltered_limit: int
    """The LIMIT that means "all rows", and that keeps a subquery from being merged."""


_SCALAR = """
    abs ceil ceiling char coalesce concat concat_ws exp floor hex ifnull iif instr length ln
    log log10 log2 lower ltrim mod nullif pi pow power quote random replace round rtrim sign
    sqrt substr substring trim trunc typeof unicode upper
"""
_TIME = "date datetime julianday strftime time timediff unixepoch"
_AGGREGATE = "avg count group_concat max min string_agg sum total"
_WINDOW = """
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank
    row_number
"""

SQLITE = SqlDialect(
    reader=_PlainSQLite,
    main_schema="main",
    # Left out on purpose: load_extension, readfile, writefile, edit, fts3_tokenizer, eval;
    # printf, format, zeroblob, randomblob (a size given as a number); sqlite_* and the
    # counters of the connection (changes, last_insert_rowid), which tell of other work;
    # match and regexp, which an extension defines; json_*, whose errors quote values.
    functions=frozenset(f"{_SCALAR} {_TIME} {_AGGREGATE} {_WINDOW}".split()),
    collations=frozenset({"BINARY", "NOCASE", "RTRIM"}),
    types=MappingProxyType(
        {
            exp.DType.INT: exp.DType.INT,
            exp.DType.BIGINT: exp.DType.INT,
            exp.DType.SMALLINT: exp.DType.INT,
            exp.DType.TINYINT: exp.DType.INT,
            exp.DType.DOUBLE: exp.DType.DOUBLE,
            exp.DType.DECIMAL: exp.DType.DECIMAL,
            exp.DType.TEXT: exp.DType.TEXT,
            exp.DType.VARCHAR: exp.DType.TEXT,
            exp.DType.CHAR: exp.DType.TEXT,
        }
    ),
    reserved_tables=("sqlite_", "pragma_"),
    unfiltered_limit=-1,
)

DIALECTS: Mapping[DialectName, SqlDialect] = MappingProxyType({"sqlite": SQLITE})
