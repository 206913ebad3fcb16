"""Names of files in a task's workspace."""

from sandbox_runtime.destinations.path.destination import HERE, Path, PathSettings, normal

__all__ = ["HERE", "Path", "PathSettings", "normal"]
