"""Where do files live between the calls of one task?

On a filesystem of the task's own, of the size that its manifest asks for. `filesystem` makes
and mounts one, `workspace` is one that stands, `workspaces` knows those of a broker.
"""

from sandbox_runtime.workspaces.workspace import Workspace
from sandbox_runtime.workspaces.workspaces import Place, Workspaces

__all__ = ["Place", "Workspace", "Workspaces"]
