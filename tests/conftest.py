"""What every test run needs."""

# Imported first of all: where hypothesis comes in only while pytest ends, its import has been
# seen to fail under CPython 3.11.7 ("AST constructor recursion depth mismatch").
import hypothesis  # noqa: F401
