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
    gradient_adaptation,
    gradient_learner,
    rematerialised,
    whole_network,
    without_adaptation,
)
from jaxmeta.learners.q_learning import q_learner
from jaxmeta.learners.recurrent import recurrent_learner, recurrent_q_learner
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
    "gradient_adaptation",
    "gradient_learner",
    "q_learner",
    "recurrent_learner",
    "recurrent_q_learner",
    "rematerialised",
    "uniform_learner",
    "whole_network",
    "without_adaptation",
]
