"""How methods learn inside one task."""

from jaxmeta.learners.context import context_learner
from jaxmeta.learners.gradient import (
    Adaptation,
    FastWeights,
    MakeAdaptation,
    act_by_mode,
    act_by_sample,
    acting,
    first_order,
    gate_of_adapted,
    gradient_adaptation,
    gradient_learner,
    rematerialised,
    whole_network,
    without_adaptation,
)
from jaxmeta.learners.recurrent import gate_of_memory, recurrent_learner, recurrent_q_learner
from jaxmeta.learners.uniform import uniform_learner

__all__ = [
    "Adaptation",
    "FastWeights",
    "MakeAdaptation",
    "act_by_mode",
    "act_by_sample",
    "acting",
    "context_learner",
    "first_order",
    "gate_of_adapted",
    "gate_of_memory",
    "gradient_adaptation",
    "gradient_learner",
    "recurrent_learner",
    "recurrent_q_learner",
    "rematerialised",
    "uniform_learner",
    "whole_network",
    "without_adaptation",
]
