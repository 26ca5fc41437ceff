# The public names, and where each is; read by ``__init__.py`` and by type checkers.

from . import algorithms as algorithms
from . import data as data
from . import learners as learners
from . import models as models
from . import networks as networks
from . import objectives as objectives
from . import outer as outer
from . import plots as plots
from . import references as references
from . import registry as registry
from . import runs as runs
from . import studies as studies
from . import tasks as tasks
from .algorithms import Exploration as Exploration
from .algorithms import anil as anil
from .algorithms import cavia as cavia
from .algorithms import compose as compose
from .algorithms import e_maml as e_maml
from .algorithms import es_maml as es_maml
from .algorithms import fomaml as fomaml
from .algorithms import from_scratch as from_scratch
from .algorithms import grbal as grbal
from .algorithms import hyperx as hyperx
from .algorithms import imaml as imaml
from .algorithms import learned_rule as learned_rule
from .algorithms import maml as maml
from .algorithms import maml_ppo as maml_ppo
from .algorithms import maml_q as maml_q
from .algorithms import maml_vpg as maml_vpg
from .algorithms import mb_mpo as mb_mpo
from .algorithms import meta_sgd as meta_sgd
from .algorithms import model_maml as model_maml
from .algorithms import mql as mql
from .algorithms import multi_task as multi_task
from .algorithms import oracle as oracle
from .algorithms import pearl as pearl
from .algorithms import plan_online as plan_online
from .algorithms import promp as promp
from .algorithms import r2d2 as r2d2
from .algorithms import rebal as rebal
from .algorithms import reptile as reptile
from .algorithms import rl2 as rl2
from .algorithms import trpo_maml as trpo_maml
from .algorithms import varibad as varibad
from .data.advantages import critic_baseline as critic_baseline
from .data.advantages import discounted_returns as discounted_returns
from .data.advantages import generalised_advantages as generalised_advantages
from .data.advantages import linear_baseline as linear_baseline
from .data.rollout import collect_episodes as collect_episodes
from .data.rollout import collect_lifetime as collect_lifetime
from .data.rollout import collect_lifetimes as collect_lifetimes
from .data.rollout import episode_returns as episode_returns
from .data.rollout import stage_returns as stage_returns
from .learners import Adaptation as Adaptation
from .learners import OnlineModel as OnlineModel
from .learners import act_by_mode as act_by_mode
from .learners import act_by_sample as act_by_sample
from .learners import acting as acting
from .learners import context_learner as context_learner
from .learners import first_order as first_order
from .learners import gradient_adaptation as gradient_adaptation
from .learners import gradient_learner as gradient_learner
from .learners import online_model_for as online_model_for
from .learners import planning_learner as planning_learner
from .learners import q_learner as q_learner
from .learners import recurrent_learner as recurrent_learner
from .learners import recurrent_model as recurrent_model
from .learners import recurrent_q_learner as recurrent_q_learner
from .learners import rematerialised as rematerialised
from .learners import uniform_learner as uniform_learner
from .learners import whole_network as whole_network
from .learners import windowed_model as windowed_model
from .learners import without_adaptation as without_adaptation
from .models.dynamics import DynamicsModel as DynamicsModel
from .models.dynamics import dynamics_model_for as dynamics_model_for
from .models.dynamics import interval_coverage as interval_coverage
from .models.dynamics import open_loop as open_loop
from .models.dynamics import sample_step as sample_step
from .models.dynamics import with_context as with_context
from .models.fitting import adapt_model as adapt_model
from .models.fitting import fit_model as fit_model
from .models.planners import Planner as Planner
from .models.planners import cross_entropy_method as cross_entropy_method
from .models.planners import imagined_return as imagined_return
from .models.planners import random_shooting as random_shooting
from .networks.beliefs import BeliefModel as BeliefModel
from .networks.beliefs import belief_model_for as belief_model_for
from .networks.cells import CELLS as CELLS
from .networks.cells import Cell as Cell
from .networks.cells import cell_for as cell_for
from .networks.distributions import Categorical as Categorical
from .networks.distributions import Gaussian as Gaussian
from .networks.distributions import SquashedGaussian as SquashedGaussian
from .networks.latents import LatentModel as LatentModel
from .networks.latents import latent_model_for as latent_model_for
from .networks.layers import MLP as MLP
from .networks.layers import Mixture as Mixture
from .networks.policies import CategoricalPolicy as CategoricalPolicy
from .networks.policies import GaussianPolicy as GaussianPolicy
from .networks.policies import Policy as Policy
from .networks.policies import from_module as from_module
from .networks.policies import policy_for as policy_for
from .networks.recurrent import RecurrentPolicy as RecurrentPolicy
from .networks.recurrent import in_segments as in_segments
from .networks.recurrent import recurrent_policy_for as recurrent_policy_for
from .networks.tabular import TabularMemory as TabularMemory
from .networks.tabular import tabular_policy_for as tabular_policy_for
from .objectives.evidence import evidence_bound as evidence_bound
from .objectives.objectives import actor_critic as actor_critic
from .objectives.objectives import after_every_step as after_every_step
from .objectives.objectives import post_adaptation as post_adaptation
from .objectives.objectives import towards_adapted as towards_adapted
from .objectives.objectives import with_inner_penalty as with_inner_penalty
from .objectives.objectives import with_sampling_term as with_sampling_term
from .objectives.surrogates import clipped as clipped
from .objectives.surrogates import dice as dice
from .objectives.surrogates import likelihood_ratio as likelihood_ratio
from .objectives.surrogates import score_function as score_function
from .objectives.surrogates import standardised as standardised
from .outer.descent import adam as adam
from .outer.descent import by_optax as by_optax
from .outer.descent import sgd as sgd
from .outer.in_turn import in_turn as in_turn
from .outer.trust_region import trust_region as trust_region
from .over_tasks import mean_over_tasks as mean_over_tasks
from .parts import built as built
from .parts import part as part
from .runs.evaluate import adaptation_returns as adaptation_returns
from .runs.evaluate import adapted_expert_use as adapted_expert_use
from .runs.evaluate import bootstrap_interval as bootstrap_interval
from .runs.evaluate import interquartile_mean as interquartile_mean
from .runs.experiment import Experiment as Experiment
from .runs.experiment import experiment as experiment
from .runs.loop import TrainState as TrainState
from .runs.loop import init_state as init_state
from .runs.loop import meta_iteration as meta_iteration
from .runs.loop import meta_train as meta_train
from .runs.loop import sample_tasks as sample_tasks
from .runs.run import Run as Run
from .runs.run import load as load
from .studies.model_errors import model_errors as model_errors
from .tasks import as_lifetime as as_lifetime
from .tasks import from_gymnax as from_gymnax
from .tasks import observe_only as observe_only
from .tasks import repeat_actions as repeat_actions
from .tasks import reveal_task as reveal_task
from .tasks import scale_observations as scale_observations
from .types import Divergence as Divergence
from .types import Learner as Learner
from .types import Lifetime as Lifetime
from .types import MetaAlgorithm as MetaAlgorithm
from .types import MetaState as MetaState
from .types import Outer as Outer
from .types import TaskDistribution as TaskDistribution
from .types import Trajectory as Trajectory

__version__: str
__all__ = [
    "CELLS",
    "MLP",
    "Adaptation",
    "BeliefModel",
    "Categorical",
    "CategoricalPolicy",
    "Cell",
    "Divergence",
    "DynamicsModel",
    "Experiment",
    "Exploration",
    "Gaussian",
    "GaussianPolicy",
    "LatentModel",
    "Learner",
    "Lifetime",
    "MetaAlgorithm",
    "MetaState",
    "Mixture",
    "OnlineModel",
    "Outer",
    "Planner",
    "Policy",
    "RecurrentPolicy",
    "Run",
    "SquashedGaussian",
    "TabularMemory",
    "TaskDistribution",
    "TrainState",
    "Trajectory",
    "act_by_mode",
    "act_by_sample",
    "acting",
    "actor_critic",
    "adam",
    "adapt_model",
    "adaptation_returns",
    "adapted_expert_use",
    "after_every_step",
    "algorithms",
    "anil",
    "as_lifetime",
    "belief_model_for",
    "bootstrap_interval",
    "built",
    "by_optax",
    "cavia",
    "cell_for",
    "clipped",
    "collect_episodes",
    "collect_lifetime",
    "collect_lifetimes",
    "compose",
    "context_learner",
    "critic_baseline",
    "cross_entropy_method",
    "data",
    "dice",
    "discounted_returns",
    "dynamics_model_for",
    "e_maml",
    "episode_returns",
    "es_maml",
    "evidence_bound",
    "experiment",
    "first_order",
    "fit_model",
    "fomaml",
    "from_gymnax",
    "from_module",
    "from_scratch",
    "generalised_advantages",
    "gradient_adaptation",
    "gradient_learner",
    "grbal",
    "hyperx",
    "imagined_return",
    "imaml",
    "in_segments",
    "in_turn",
    "init_state",
    "interquartile_mean",
    "interval_coverage",
    "latent_model_for",
    "learned_rule",
    "learners",
    "likelihood_ratio",
    "linear_baseline",
    "load",
    "maml",
    "maml_ppo",
    "maml_q",
    "maml_vpg",
    "mb_mpo",
    "mean_over_tasks",
    "meta_iteration",
    "meta_sgd",
    "meta_train",
    "model_errors",
    "model_maml",
    "models",
    "mql",
    "multi_task",
    "networks",
    "objectives",
    "observe_only",
    "online_model_for",
    "open_loop",
    "oracle",
    "outer",
    "part",
    "pearl",
    "plan_online",
    "planning_learner",
    "plots",
    "policy_for",
    "post_adaptation",
    "promp",
    "q_learner",
    "r2d2",
    "random_shooting",
    "rebal",
    "recurrent_learner",
    "recurrent_model",
    "recurrent_policy_for",
    "recurrent_q_learner",
    "references",
    "registry",
    "rematerialised",
    "repeat_actions",
    "reptile",
    "reveal_task",
    "rl2",
    "runs",
    "sample_step",
    "sample_tasks",
    "scale_observations",
    "score_function",
    "sgd",
    "stage_returns",
    "standardised",
    "studies",
    "tabular_policy_for",
    "tasks",
    "towards_adapted",
    "trpo_maml",
    "trust_region",
    "uniform_learner",
    "varibad",
    "whole_network",
    "windowed_model",
    "with_context",
    "with_inner_penalty",
    "with_sampling_term",
    "without_adaptation",
]
