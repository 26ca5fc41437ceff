"""Names that the command lines know, and which settings each algorithm has a use for. Nothing heavy is imported."""

TASKS = (
    "acrobot",
    "bernoulli-bandit",
    "cartpole",
    "contextual-bandit",
    "dark-key-to-door",
    "dependent-bandit",
    "dorfman-semicircle",
    "four-rooms",
    "frozen-lake",
    "gaussian-bandit",
    "gridnavi",
    "informative-bandit",
    "meta-maze",
    "mountain-car",
    "mountain-car-continuous",
    "navigation",
    "navigation-rotated",
    "navigation-wind",
    "pendulum",
    "semicircle-dense",
    "semicircle-sparse",
    "t-maze",
    "tabular-mdp",
)
ALGORITHMS = (
    "anil",
    "cavia",
    "e-maml",
    "es-maml",
    "fomaml",
    "from-scratch",
    "grbal",
    "hyperx",
    "imaml",
    "learned-rule",
    "maml",
    "maml-ppo",
    "maml-q",
    "maml-vpg",
    "mb-mpo",
    "meta-sgd",
    "model-maml",
    "mql",
    "multi-task",
    "oracle",
    "pearl",
    "promp",
    "r2d2",
    "rebal",
    "reptile",
    "rl2",
    "trpo-maml",
    "varibad",
)
PLANNING = ("grbal", "rebal")
"""Algorithms that plan with a model which adapts at each step of a lifetime."""
RECURRENT = ("grbal", "hyperx", "mql", "r2d2", "rebal", "rl2", "varibad")
"""Algorithms that learn by acting, across the episodes of a lifetime."""
EXTENDS = {"grbal": "plan-online", "hyperx": "varibad", "mql": "r2d2", "rebal": "plan-online"}
"""What hands the settings that it does not know to the algorithm that it extends."""
UPDATES = {
    "grbal": "updates",
    "maml-q": "updates",
    "mb-mpo": "updates",
    "model-maml": "imagined_updates",
    "mql": "updates",
    "pearl": "updates",
    "r2d2": "updates",
    "rebal": "updates",
}
"""Algorithms that make more than one outer step in a meta-iteration, and the setting of theirs that says how many."""
_PLANNING_SETTINGS = (
    "outer",
    "epochs",
    "minibatches",
    "trace_decay",
    "task_chunk",
    "tabular_memory",
    "segment",
    "initial_log_std",
    "bounded_mean",
    "experts",
)
OWN_SETTINGS: dict[str, tuple[str, ...]] = {
    "e-maml": ("inner_loss", "inner_advantages", "outer_advantages", "objective"),
    "es-maml": ("outer", "outer_advantages", "objective", "epochs", "minibatches", "task_chunk"),
    "from-scratch": ("outer", "epochs", "minibatches"),
    "grbal": (*_PLANNING_SETTINGS, "cell", "size"),
    "hyperx": ("outer", "tabular_memory", "segment", "max_grad_norm"),
    "maml-ppo": ("outer_advantages",),
    "maml-q": (
        "inner_loss",
        "inner_advantages",
        "outer",
        "outer_advantages",
        "objective",
        "epochs",
        "minibatches",
        "trace_decay",
        "initial_log_std",
        "bounded_mean",
    ),
    "maml-vpg": ("inner_loss", "inner_advantages", "outer_advantages"),
    "model-maml": ("objective",),
    "mql": ("outer", "epochs", "minibatches", "trace_decay", "task_chunk"),
    "pearl": (
        "episodes",
        "inner_rate",
        "inner_loss",
        "inner_advantages",
        "outer",
        "outer_advantages",
        "objective",
        "epochs",
        "minibatches",
        "trace_decay",
        "initial_log_std",
        "bounded_mean",
        "task_chunk",
    ),
    "promp": ("inner_loss", "inner_advantages", "outer_advantages", "objective"),
    "r2d2": ("outer", "epochs", "minibatches", "trace_decay", "task_chunk"),
    "rebal": _PLANNING_SETTINGS,
    "reptile": ("objective", "outer_advantages"),
    "varibad": ("outer", "tabular_memory", "segment", "max_grad_norm"),
}
"""Arguments that an algorithm decides by itself: they cannot be given."""
GRADIENT_SETTINGS = (
    "episodes",
    "adaptation_steps",
    "inner_rate",
    "inner_loss",
    "inner_advantages",
    "outer_advantages",
    "objective",
)
UNBALANCED = ("es-maml", "from-scratch", "grbal", "maml-q", "model-maml", "mql", "pearl", "r2d2", "rebal")
"""Algorithms that do not balance the use of a policy's experts."""
RECURRENT_SETTINGS = ("lifetime", "cell", "size", "tabular_memory", "segment")
"""Arguments that only one kind of algorithm has."""
