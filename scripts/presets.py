"""Names that the command lines know, and the settings that go with them. Nothing heavy is imported."""

from typing import Any

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
    "hyperx",
    "imaml",
    "learned-rule",
    "maml",
    "maml-ppo",
    "maml-vpg",
    "meta-sgd",
    "multi-task",
    "oracle",
    "pearl",
    "promp",
    "r2d2",
    "reptile",
    "rl2",
    "trpo-maml",
    "varibad",
)
RECURRENT = ("hyperx", "r2d2", "rl2", "varibad")
"""Algorithms that learn by their memory, across the episodes of a lifetime."""
OWN_SETTINGS: dict[str, tuple[str, ...]] = {
    "e-maml": ("inner_loss", "inner_advantages", "outer_advantages", "objective"),
    "es-maml": ("outer", "outer_advantages", "objective", "epochs", "minibatches", "task_chunk"),
    "from-scratch": ("outer", "epochs", "minibatches"),
    "hyperx": ("outer", "segment", "max_grad_norm"),
    "maml-ppo": ("outer_advantages",),
    "maml-vpg": ("inner_loss", "inner_advantages", "outer_advantages"),
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
        "task_chunk",
    ),
    "promp": ("inner_loss", "inner_advantages", "outer_advantages", "objective"),
    "r2d2": ("outer", "epochs", "minibatches", "trace_decay", "task_chunk"),
    "reptile": ("objective", "outer_advantages"),
    "varibad": ("outer", "segment", "max_grad_norm"),
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
RECURRENT_SETTINGS = ("lifetime", "cell", "size", "segment")
"""Arguments that only one kind of algorithm has."""
_VARIBAD = {
    "hidden": (64,),
    "activation": "tanh",
    "size": 64,
    "meta_batch": 256,
    "outer_rate": 7e-4,
    "outer_rate_end": 7e-5,
    "epochs": 4,
    "minibatches": 4,
    "trace_decay": 0.95,
}
ALGORITHM_PRESETS: dict[str, dict[str, Any]] = {
    "cavia": {"inner_rate": 1.0},
    "es-maml": {"episodes": 5, "outer_rate": 1e-2, "outer_rate_end": 1e-3},
    "hyperx": _VARIBAD,
    "imaml": {"inner_loss": "score-function"},
    "maml-ppo": {"epochs": 5, "outer_rate": 1e-3},
    "multi-task": {"adaptation_steps": 0},
    "oracle": {"adaptation_steps": 0},
    "pearl": {
        "adaptation_steps": 2,
        "meta_batch": 16,
        "hidden": (64, 64),
        "outer_rate": 1e-3,
        "outer_rate_end": 1e-4,
        "discount": 0.9,
    },
    "promp": {"epochs": 5, "outer_rate": 1e-3},
    "r2d2": {
        "hidden": (),
        "meta_batch": 64,
        "outer_rate": 1e-3,
        "outer_rate_end": 1e-4,
        "max_grad_norm": 10.0,
    },
    "reptile": {"adaptation_steps": 3, "inner_rate": 0.1, "outer": "sgd", "outer_rate": 1.0, "outer_rate_end": 0.1},
    "rl2": {
        "hidden": (),
        "meta_batch": 256,
        "outer_rate": 1e-3,
        "outer_rate_end": 1e-4,
        "epochs": 4,
        "minibatches": 4,
        "max_grad_norm": 0.5,
        "trace_decay": 0.95,
    },
    "trpo-maml": {"outer": "trust-region"},
    "varibad": _VARIBAD,
}
"""Defaults of an algorithm, where they differ from those of ``Experiment``."""
_SHORT = {"iterations": 200, "outer_decay": 200}
TASK_PRESETS: dict[str, dict[str, Any]] = {
    "bernoulli-bandit": {"inner_rate": 3.0, "episodes": 1, "meta_batch": 50, **_SHORT},
    "cartpole": {"inner_rate": 0.2, "episodes": 10, "outer_rate": 1e-3, **_SHORT},
    "contextual-bandit": {"inner_rate": 10.0, "episodes": 10, **_SHORT},
    "dark-key-to-door": {"inner_rate": 1.0, **_SHORT},
    "dependent-bandit": {"inner_rate": 2.0, "episodes": 1, "meta_batch": 50, **_SHORT},
    "gaussian-bandit": {"inner_rate": 2.0, "episodes": 1, "meta_batch": 50, **_SHORT},
    "gridnavi": {"inner_rate": 0.3, "outer_rate": 1e-3, **_SHORT},
    "informative-bandit": {"inner_rate": 2.0, "episodes": 5, "meta_batch": 50, **_SHORT},
    "navigation-rotated": _SHORT,
    "navigation-wind": _SHORT,
    "pendulum": {"episodes": 10, **_SHORT},
    "semicircle-dense": _SHORT,
    "semicircle-sparse": {"initial_log_std": 0.0, **_SHORT},
    "tabular-mdp": {"inner_rate": 2.0, **_SHORT},
}
"""Defaults of a task, where they differ from those of ``Experiment``; an algorithm's own come first."""
_BANDIT = {
    "cell": "linear",
    "size": 32,
    "meta_batch": 512,
    "outer_rate": 3e-3,
    "outer_rate_end": 1e-4,
    "epochs": 3,
    "minibatches": 8,
    "trace_decay": 0.3,
}
OWN_TASK_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "hyperx": {
        "gridnavi": {"lifetime": 4},
    },
    "pearl": {},
    "r2d2": {
        "gridnavi": {"lifetime": 4},
        "tabular-mdp": {"lifetime": 10},
    },
    "rl2": {
        "bernoulli-bandit": _BANDIT,
        "dependent-bandit": _BANDIT,
        "gridnavi": {
            "lifetime": 4,
            "cell": "linear",
            "size": 32,
            "meta_batch": 128,
            "outer_rate": 2e-3,
            "outer_rate_end": 4e-5,
            "epochs": 3,
            "minibatches": 8,
            "iterations": 1000,
            "outer_decay": 1000,
        },
        "tabular-mdp": {"lifetime": 10, "trace_decay": 0.3},
    },
    "varibad": {
        "gridnavi": {"lifetime": 4},
    },
}
"""Defaults of a task for an algorithm that does without ``TASK_PRESETS``; they come before the algorithm's own."""
PUBLISHED: dict[str, dict[str, Any]] = {
    "cavia-2019": {
        "algorithm": "cavia",
        "outer": "trust-region",
        "curvature_every": 1,
        "inner_rate": 1.0,
        "discount": 0.95,
        "iterations": 500,
    },
    "maml-2017": {
        "algorithm": "maml",
        "outer": "trust-region",
        "curvature_every": 1,
        "inner_rate": 0.5,
        "inner_loss": "score-function",
        "iterations": 100,
    },
    "promp-2019": {
        "algorithm": "promp",
        "hidden": (64, 64),
        "activation": "tanh",
        "inner_rate": 0.1,
        "meta_batch": 40,
        "outer_rate": 1e-3,
        "outer_rate_end": 1e-3,
        "epochs": 5,
        "iterations": 1001,
    },
}
"""Settings of a paper's experiments, by name."""
