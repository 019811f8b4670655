"""Whether a proposal means what its tool accepts: schema first, then typed values. The first failure wins."""

from gateway.validators.schema import check_arguments, check_result
from gateway.validators.semantic import typed

__all__ = ["check_arguments", "check_result", "typed"]
