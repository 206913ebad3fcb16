"""Text that a model will read."""

from sandbox_runtime.destinations.model_text.destination import ModelText, ModelTextSettings

__all__ = ["ModelText", "ModelTextSettings"]
