"""How methods learn inside one task."""

from jaxmeta.learners.context import acting_latent as acting_latent, context_learner as context_learner
from jaxmeta.learners.gradient import (
    Adaptation as Adaptation,
    FastWeights as FastWeights,
    MakeAdaptation as MakeAdaptation,
    act_by_mode as act_by_mode,
    act_by_sample as act_by_sample,
    acting as acting,
    first_order as first_order,
    gate_of_adapted as gate_of_adapted,
    gradient_adaptation as gradient_adaptation,
    gradient_learner as gradient_learner,
    rematerialised as rematerialised,
    whole_network as whole_network,
    without_adaptation as without_adaptation,
)
from jaxmeta.learners.imagination import imagining as imagining
from jaxmeta.learners.planning import planning_learner as planning_learner, uniform_learner as uniform_learner
from jaxmeta.learners.q_learning import (
    at_shares as at_shares,
    n_step_transitions as n_step_transitions,
    q_learner as q_learner,
    td_errors as td_errors,
    td_targets as td_targets,
)
from jaxmeta.learners.recurrent import (
    duelling as duelling,
    gate_of_memory as gate_of_memory,
    recurrent_learner as recurrent_learner,
    recurrent_q_learner as recurrent_q_learner,
    replay_lifetimes as replay_lifetimes,
)
