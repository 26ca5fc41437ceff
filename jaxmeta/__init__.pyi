# The public names, and where each is; read by ``__init__.py`` and by type checkers. Further names are in the rooms.

from . import (
    algorithms as algorithms,
    data as data,
    learners as learners,
    models as models,
    networks as networks,
    objectives as objectives,
    outer as outer,
    over_tasks as over_tasks,
    parts as parts,
    plots as plots,
    references as references,
    registry as registry,
    runs as runs,
    studies as studies,
    tasks as tasks,
)
from .algorithms import (
    anil as anil,
    cavia as cavia,
    compose as compose,
    e_maml as e_maml,
    es_maml as es_maml,
    fomaml as fomaml,
    from_scratch as from_scratch,
    grbal as grbal,
    hyperx as hyperx,
    imaml as imaml,
    learned_rule as learned_rule,
    maml as maml,
    maml_lagrangian as maml_lagrangian,
    maml_ppo as maml_ppo,
    maml_q as maml_q,
    maml_vpg as maml_vpg,
    mb_mpo as mb_mpo,
    meta_sgd as meta_sgd,
    model_maml as model_maml,
    mql as mql,
    multi_task as multi_task,
    oracle as oracle,
    pearl as pearl,
    promp as promp,
    r2d2 as r2d2,
    rebal as rebal,
    reptile as reptile,
    rl2 as rl2,
    rl2_lagrangian as rl2_lagrangian,
    trpo_maml as trpo_maml,
    varibad as varibad,
)
from .data import critic_baseline as critic_baseline
from .models import dynamics_model_for as dynamics_model_for
from .networks import policy_for as policy_for, recurrent_policy_for as recurrent_policy_for
from .parts import built as built, part as part
from .runs.experiment import Experiment as Experiment, experiment as experiment
from .runs.loop import meta_train as meta_train, sample_tasks as sample_tasks
from .runs.pretrained import pretrained as pretrained
from .runs.run import Run as Run, load as load
from .tasks import as_lifetime as as_lifetime, from_gymnax as from_gymnax, reveal_task as reveal_task
from .types import (
    Divergence as Divergence,
    Learner as Learner,
    Lifetime as Lifetime,
    MetaAlgorithm as MetaAlgorithm,
    MetaState as MetaState,
    Outer as Outer,
    TaskDistribution as TaskDistribution,
    Trajectory as Trajectory,
)

__version__: str
