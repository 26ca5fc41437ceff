"""Exact and Bayes-optimal answers to measure learners against, and classical methods."""

from jaxmeta.references import bandits, tabular
from jaxmeta.references.bandit_values import bernoulli_value
from jaxmeta.references.bandits import bandit_returns, estimate
from jaxmeta.references.exact import (
    MDP,
    adapted_logits,
    bandit_mdp,
    in_float64,
    meta_gradient,
    meta_value,
    policy_gradient,
    policy_value,
    random_mdp,
    state_values,
)
from jaxmeta.references.gittins import gittins_index, gittins_table
from jaxmeta.references.gridnavi import bayes_optimal as gridnavi_bayes_optimal
from jaxmeta.references.point_robots import dense_optimum, indicator_optimum, smallest_distances, sparse_optimum
from jaxmeta.references.tabular_simulation import mdp_optima, mdp_returns
from jaxmeta.references.value_iteration import optimal_return, reaching_probability, value_iteration

__all__ = [
    "MDP",
    "adapted_logits",
    "bandit_mdp",
    "bandit_returns",
    "bandits",
    "bernoulli_value",
    "dense_optimum",
    "estimate",
    "gittins_index",
    "gittins_table",
    "gridnavi_bayes_optimal",
    "in_float64",
    "indicator_optimum",
    "mdp_optima",
    "mdp_returns",
    "meta_gradient",
    "meta_value",
    "optimal_return",
    "policy_gradient",
    "policy_value",
    "random_mdp",
    "reaching_probability",
    "smallest_distances",
    "sparse_optimum",
    "state_values",
    "tabular",
    "value_iteration",
]
