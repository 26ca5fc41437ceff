"""Settings by algorithm and by task. Nothing heavy is imported."""

from typing import Any

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
_MODEL_BASED = {
    "hidden": (32, 32),
    "activation": "tanh",
    "meta_batch": 10,
    "episodes": 20,
    "inner_rate": 0.1,
    "outer_rate": 1e-3,
    "outer_rate_end": 1e-4,
    "trace_decay": 0.95,
    "initial_log_std": -0.5,
}
_PLANNING = {
    "hidden": (64, 64),
    "activation": "silu",
    "meta_batch": 10,
    "max_grad_norm": 10.0,
}
_R2D2 = {
    "hidden": (),
    "meta_batch": 64,
    "outer_rate": 1e-3,
    "outer_rate_end": 1e-4,
    "max_grad_norm": 10.0,
}
ALGORITHM_PRESETS: dict[str, dict[str, Any]] = {
    "cavia": {"inner_rate": 1.0},
    "es-maml": {"episodes": 5, "outer_rate": 1e-2, "outer_rate_end": 1e-3},
    "grbal": _PLANNING,
    "hyperx": _VARIBAD,
    "imaml": {"inner_loss": "score-function"},
    "maml-ppo": {"epochs": 5, "outer_rate": 1e-3},
    "maml-q": {
        "episodes": 2,
        "meta_batch": 16,
        "hidden": (64, 64),
        "inner_rate": 0.05,
        "outer_rate": 1e-3,
        "outer_rate_end": 1e-4,
        "max_grad_norm": 10.0,
    },
    "mb-mpo": {**_MODEL_BASED, "iterations": 40, "outer_decay": 40},
    "model-maml": {**_MODEL_BASED, "episodes": 2, "iterations": 40, "outer_decay": 40},
    "mql": _R2D2,
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
    "r2d2": _R2D2,
    "rebal": {**_PLANNING, "size": 64},
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
# Actions of one step alone never bring the car to the goal at random.
_CAR = {"repeat": 5, "scaled": True}
TASK_PRESETS: dict[str, dict[str, Any]] = {
    "bernoulli-bandit": {"inner_rate": 3.0, "episodes": 1, "meta_batch": 50, **_SHORT},
    "cartpole": {"inner_rate": 0.2, "episodes": 10, "outer_rate": 1e-3, **_SHORT},
    "contextual-bandit": {"inner_rate": 10.0, "episodes": 10, **_SHORT},
    "dark-key-to-door": {"inner_rate": 1.0, **_SHORT},
    "dependent-bandit": {"inner_rate": 2.0, "episodes": 1, "meta_batch": 50, **_SHORT},
    "gaussian-bandit": {"inner_rate": 2.0, "episodes": 1, "meta_batch": 50, **_SHORT},
    "gridnavi": {"inner_rate": 0.3, "outer_rate": 1e-3, **_SHORT},
    "informative-bandit": {"inner_rate": 2.0, "episodes": 5, "meta_batch": 50, **_SHORT},
    "mountain-car": {**_CAR, **_SHORT},
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
_GRIDNAVI = {
    "lifetime": 4,
    "cell": "linear",
    "size": 32,
    "meta_batch": 128,
    "outer_rate": 3e-3,
    "outer_rate_end": 6e-5,
    "epochs": 3,
    "minibatches": 8,
    "iterations": 1000,
    "outer_decay": 1000,
    # At 0.99 the critic's error is five times as large.
    "discount": 0.95,
    "algorithm_settings": ("entropy_weight=0.02",),
}
_BELIEFS_IN_GRIDNAVI = {
    **_GRIDNAVI,
    "scaled": True,
    "meta_batch": 256,
    "algorithm_settings": ("clip=0.2", "entropy_weight=0.02", "prefixes=8", "reward_scale=0.2", "task_weight=1"),
}
_SPARSE = {
    "lifetime": 2,
    # With a new direction in every step noise goes nowhere: no other part of the circle would ever be tried.
    "repeat": 10,
    "cell": "linear",
    "size": 32,
    "hidden": (32,),
    "initial_log_std": -0.3,
    "bounded_mean": True,
    "meta_batch": 512,
    "outer_rate": 1e-3,
    "outer_rate_end": 1e-4,
    "epochs": 3,
    "minibatches": 8,
    "iterations": 800,
    "outer_decay": 800,
    "discount": 0.9,
    # Returns go from 0 to 85 an episode: unscaled, the critic's errors outweigh the policy's gradient.
    "algorithm_settings": ("entropy_weight=0.04", "reward_scale=0.1", "task_weight=10"),
}
_SPARSE_WITH_BONUSES = {
    **_SPARSE,
    "algorithm_settings": (*_SPARSE["algorithm_settings"], "novelty_weight=0.005", "error_weight=0", "anneal=400"),
}
_PLANNED = {
    "cartpole": {"iterations": 16, "outer_decay": 16},
    "mountain-car": {
        **_CAR,
        "iterations": 16,
        "outer_decay": 16,
        "algorithm_settings": ("random_iterations=4", "plan_steps=20"),
    },
    "navigation-rotated": {"lifetime": 2, "iterations": 40, "outer_decay": 40},
    "navigation-wind": {"lifetime": 2, "iterations": 16, "outer_decay": 16},
    "pendulum": {"iterations": 10, "outer_decay": 10},
}
_R2D2_CARTPOLE = {
    "horizon": 500,
    "size": 64,
    "meta_batch": 16,
    "outer_rate": 5e-4,
    "outer_rate_end": 5e-5,
    "iterations": 300,
    "outer_decay": 300,
    "segment": 80,
    # The end at the horizon cannot be foreseen: it is not learned from, and nothing is drawn by its error.
    "algorithm_settings": (
        "time_ends=False",
        "burn_in=20",
        "updates=64",
        "batch=16",
        "target_every=40",
        "priority_exponent=0.0",
    ),
}
_CAR_VALUES = {
    **_CAR,
    "meta_batch": 32,
    "outer_rate": 1e-3,
    "outer_rate_end": 5e-5,
}
_CAR_IMAGINED = {
    **_CAR,
    "inner_rate": 0.2,
    "outer_rate": 3e-3,
    "outer_rate_end": 3e-4,
}
OWN_TASK_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "grbal": _PLANNED,
    "hyperx": {
        "gridnavi": _BELIEFS_IN_GRIDNAVI,
        "semicircle-sparse": _SPARSE_WITH_BONUSES,
    },
    "maml-q": {
        "cartpole": {
            "horizon": 500,
            "episodes": 1,
            "inner_rate": 0.01,
            "outer_rate_end": 5e-5,
            "iterations": 300,
            "outer_decay": 300,
            "algorithm_settings": (
                "n_step=5",
                "inner_batch=64",
                "early_weight=1.0",
                "target_rate=0.02",
                "batch_tasks=8",
                "updates=64",
                "epsilon_decay=40",
            ),
        },
        "mountain-car": {
            **_CAR_VALUES,
            "inner_rate": 0.005,
            "iterations": 150,
            "outer_decay": 150,
            "algorithm_settings": (
                "inner_updates=2",
                "inner_batch=40",
                "early_weight=1.0",
                "target_rate=0.02",
                "batch_tasks=8",
                "epsilon_decay=40",
            ),
        },
    },
    "mql": {
        "cartpole": _R2D2_CARTPOLE,
        "gridnavi": {"lifetime": 4},
        "mountain-car": {
            **_CAR_VALUES,
            "size": 32,
            "iterations": 150,
            "outer_decay": 150,
            "algorithm_settings": ("time_ends=False", "n_step=3", "batch=32", "epsilon_decay=40"),
        },
        "tabular-mdp": {"lifetime": 10},
    },
    "mb-mpo": {
        "mountain-car": {**_CAR_IMAGINED, "iterations": 30, "outer_decay": 30},
        "navigation-wind": {
            "outer_rate": 3e-3,
            "outer_rate_end": 3e-4,
            "iterations": 20,
            "outer_decay": 20,
            "algorithm_settings": ("imagined_horizon=50",),
        },
        "pendulum": {
            "inner_rate": 0.2,
            "outer_rate": 3e-3,
            "outer_rate_end": 3e-4,
            "iterations": 30,
            "outer_decay": 30,
            "algorithm_settings": ("imagined_horizon=100",),
        },
    },
    "model-maml": {
        # Imagined steps within adaptation make each meta-step three times as long.
        "cartpole": {"algorithm_settings": ("imagined_steps=0",)},
        "mountain-car": {
            **_CAR_IMAGINED,
            "episodes": 10,
            "iterations": 30,
            "outer_decay": 30,
            "algorithm_settings": ("imagined_steps=0",),
        },
        "navigation-wind": {
            "meta_batch": 20,
            "episodes": 10,
            "inner_rate": 0.5,
            "outer_rate": 3e-3,
            "outer_rate_end": 3e-4,
            "iterations": 60,
            "outer_decay": 60,
            "algorithm_settings": ("imagined_steps=0", "imagined_updates=4"),
        },
        "pendulum": {
            "episodes": 4,
            "hidden": (64, 64),
            "trace_decay": 0.97,
            "inner_rate": 0.2,
            "outer_rate": 3e-3,
            "outer_rate_end": 1.5e-4,
            "algorithm_settings": ("imagined_steps=0", "imagined_updates=5", "imagined_horizon=150"),
        },
    },
    "pearl": {
        "semicircle-dense": {
            "iterations": 200,
            "outer_decay": 200,
            "algorithm_settings": ("target_rate=0.02", "divergence_weight=0.03"),
        },
    },
    "r2d2": {
        "cartpole": _R2D2_CARTPOLE,
        "gridnavi": {"lifetime": 4},
        "tabular-mdp": {"lifetime": 10},
    },
    "rebal": _PLANNED,
    "rl2": {
        "bernoulli-bandit": _BANDIT,
        "cartpole": {
            "horizon": 500,
            "size": 64,
            "meta_batch": 32,
            "outer_rate": 2e-3,
            "outer_rate_end": 1e-4,
            "iterations": 300,
            "outer_decay": 300,
        },
        "dependent-bandit": _BANDIT,
        "gridnavi": _GRIDNAVI,
        "tabular-mdp": {
            **_BANDIT,
            "lifetime": 10,
            "size": 64,
            "outer_rate": 2e-3,
            "outer_rate_end": 7e-5,
            "discount": 0.95,
            "trace_decay": 0.8,
            "algorithm_settings": ("entropy_weight=0.02", "reward_scale=0.2"),
        },
    },
    "varibad": {
        "gridnavi": _BELIEFS_IN_GRIDNAVI,
        "semicircle-sparse": _SPARSE,
    },
}
"""Defaults of a task for an algorithm that does without ``TASK_PRESETS``; they come before the algorithm's own."""
