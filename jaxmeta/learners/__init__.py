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
from jaxmeta.learners.planning import planning_learner
from jaxmeta.learners.q_learning import q_learner
from jaxmeta.learners.recurrent import gate_of_memory, recurrent_learner, recurrent_q_learner
from jaxmeta.learners.uniform import uniform_learner
from jaxmeta.models.online import OnlineModel, online_model_for, recurrent_model, step_between, steps_of, windowed_model

__all__ = [
    "Adaptation",
    "FastWeights",
    "MakeAdaptation",
    "OnlineModel",
    "act_by_mode",
    "act_by_sample",
    "acting",
    "context_learner",
    "first_order",
    "gate_of_adapted",
    "gate_of_memory",
    "gradient_adaptation",
    "gradient_learner",
    "online_model_for",
    "planning_learner",
    "q_learner",
    "recurrent_learner",
    "recurrent_model",
    "recurrent_q_learner",
    "rematerialised",
    "step_between",
    "steps_of",
    "uniform_learner",
    "whole_network",
    "windowed_model",
    "without_adaptation",
]
