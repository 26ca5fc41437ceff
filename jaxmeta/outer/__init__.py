"""Steps of slow weights."""

from jaxmeta.outer.descent import (
    adam as adam,
    adam_updates as adam_updates,
    by_optax as by_optax,
    in_turn as in_turn,
    no_step as no_step,
    sgd as sgd,
)
from jaxmeta.outer.trust_region import conjugate_gradient as conjugate_gradient, trust_region as trust_region
