"""Names of files in a task's workspace."""

from sandbox_runtime.destinations.path.destination import Path, PathSettings, normal

__all__ = ["Path", "PathSettings", "normal"]
