"""Meta-reinforcement learning in JAX: the whole meta-training step is one compiled program."""

from jaxmeta import references, tasks
from jaxmeta.algorithms import compose, fomaml, maml
from jaxmeta.distributions import Categorical, Gaussian
from jaxmeta.estimators import (
    discounted_returns,
    generalised_advantages,
    linear_baseline,
)
from jaxmeta.evaluate import adaptation_returns, bootstrap_interval, interquartile_mean
from jaxmeta.learners import act_by_mode, act_by_sample, first_order, gradient_learner, uniform_learner
from jaxmeta.losses import clipped, dice, likelihood_ratio, score_function, standardised
from jaxmeta.networks import MLP, CategoricalPolicy, GaussianPolicy, Policy, from_module, policy_for
from jaxmeta.objectives import after_every_step, mean_over_tasks, post_adaptation
from jaxmeta.outer import by_optax, trust_region
from jaxmeta.rollout import collect_episodes, collect_lifetime, collect_lifetimes, episode_returns
from jaxmeta.tasks import from_gymnax
from jaxmeta.train import TrainState, init_state, meta_iteration, meta_train, sample_tasks
from jaxmeta.types import (
    Divergence,
    Learner,
    Lifetime,
    MetaAlgorithm,
    MetaState,
    Outer,
    TaskDistribution,
    Trajectory,
)

__all__ = [
    "MLP",
    "Categorical",
    "CategoricalPolicy",
    "Divergence",
    "Gaussian",
    "GaussianPolicy",
    "Learner",
    "Lifetime",
    "MetaAlgorithm",
    "MetaState",
    "Outer",
    "Policy",
    "TaskDistribution",
    "TrainState",
    "Trajectory",
    "act_by_mode",
    "act_by_sample",
    "adaptation_returns",
    "after_every_step",
    "bootstrap_interval",
    "by_optax",
    "clipped",
    "collect_episodes",
    "collect_lifetime",
    "collect_lifetimes",
    "compose",
    "dice",
    "discounted_returns",
    "episode_returns",
    "first_order",
    "fomaml",
    "from_gymnax",
    "from_module",
    "generalised_advantages",
    "gradient_learner",
    "init_state",
    "interquartile_mean",
    "likelihood_ratio",
    "linear_baseline",
    "maml",
    "mean_over_tasks",
    "meta_iteration",
    "meta_train",
    "policy_for",
    "post_adaptation",
    "references",
    "sample_tasks",
    "score_function",
    "standardised",
    "tasks",
    "trust_region",
    "uniform_learner",
]
