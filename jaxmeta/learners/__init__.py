"""How methods learn inside one task."""

from jaxmeta.learners.gradient import (
    FastWeights,
    act_by_mode,
    act_by_sample,
    first_order,
    gradient_learner,
)
from jaxmeta.learners.uniform import uniform_learner

__all__ = ["FastWeights", "act_by_mode", "act_by_sample", "first_order", "gradient_learner", "uniform_learner"]
