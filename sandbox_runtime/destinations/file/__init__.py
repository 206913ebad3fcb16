"""The destination `file`: what may leave a task's workspace as a file."""

from sandbox_runtime.destinations.file.destination import File, FileSettings

__all__ = ["File", "FileSettings"]
