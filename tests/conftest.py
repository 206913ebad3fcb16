"""What every test run needs."""

# Imported first of all: where hypothesis comes in only while pytest ends, its import has been
# seen to fail under CPython 3.11.7 ("AST constructor recursion depth mismatch").
from hypothesis import HealthCheck, settings

# How fast a shared machine makes examples says nothing of what they show.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")
