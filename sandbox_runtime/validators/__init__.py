"""The destinations, in killable processes that hold no power."""

from sandbox_runtime.validators.pool import Validators
from sandbox_runtime.validators.process import Limits, ValidatorsUnavailable

__all__ = ["Limits", "Validators", "ValidatorsUnavailable"]
