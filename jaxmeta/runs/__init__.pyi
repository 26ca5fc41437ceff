# The public names, and where each is; read by ``__init__.py`` and by type checkers.

from .evaluate import (
    adaptation_returns as adaptation_returns,
    adapted_expert_use as adapted_expert_use,
    evaluate_run as evaluate_run,
)
from .experiment import Experiment as Experiment
from .loop import (
    TrainState as TrainState,
    init_state as init_state,
    meta_iteration as meta_iteration,
    meta_train as meta_train,
    sample_tasks as sample_tasks,
)
from .program import seed_states as seed_states
from .run import Run as Run, load as load
from .statistics import (
    bootstrap_interval as bootstrap_interval,
    interquartile_mean as interquartile_mean,
    probability_of_improvement as probability_of_improvement,
)
