"""Exact and Bayes-optimal answers to measure learners against, and classical methods.

Every function raises a ``ValueError`` of one line on an argument outside the range that its description gives.
"""

from jaxmeta.references import bandits as bandits, gridnavi as gridnavi, tabular as tabular
from jaxmeta.references.bandit_values import bernoulli_value as bernoulli_value
from jaxmeta.references.bandits import (
    bandit_returns as bandit_returns,
    estimate as estimate,
    gittins_index as gittins_index,
    gittins_table as gittins_table,
    task_keys as task_keys,
)
from jaxmeta.references.exact import (
    MDP as MDP,
    adapted_logits as adapted_logits,
    bandit_mdp as bandit_mdp,
    in_float64 as in_float64,
    meta_gradient as meta_gradient,
    meta_value as meta_value,
    policy_gradient as policy_gradient,
    policy_value as policy_value,
    random_mdp as random_mdp,
    state_values as state_values,
)
from jaxmeta.references.execution import (
    execution_cost as execution_cost,
    schedule_decay as schedule_decay,
    sold_share as sold_share,
)
from jaxmeta.references.gridnavi import MOVES as MOVES, goal_cells as goal_cells, goal_posterior as goal_posterior
from jaxmeta.references.knowledge_tracing import (
    known_after_answer as known_after_answer,
    mean_over_belief as mean_over_belief,
    practice_values as practice_values,
    tutoring_bound as tutoring_bound,
)
from jaxmeta.references.linear_bandits import (
    LinearBelief as LinearBelief,
    drawn_preference as drawn_preference,
    linear_posterior as linear_posterior,
    linear_prior as linear_prior,
)
from jaxmeta.references.linear_quadratic import Regulator as Regulator, regulator as regulator
from jaxmeta.references.point_robots import smallest_distances as smallest_distances
from jaxmeta.references.tabular import (
    optimal_return as optimal_return,
    reaching_probability as reaching_probability,
    value_iteration as value_iteration,
)
from jaxmeta.references.tabular_simulation import (
    draw_mdp as draw_mdp,
    draw_mdps as draw_mdps,
    mdp_optima as mdp_optima,
    mdp_returns as mdp_returns,
)
