"""Settings by name: of papers' experiments, of what takes an accelerator, and of the README's long lifetimes.

Nothing heavy is imported.
"""

from typing import Any

from presets import ALGORITHM_PRESETS, OWN_TASK_PRESETS

# What a pull teaches pays long after it, and values of long returns must not outweigh the policy's gradient.
_LONG_BANDIT = {
    **ALGORITHM_PRESETS["rl2"],
    **OWN_TASK_PRESETS["rl2"]["bernoulli-bandit"],
    "algorithm": "rl2",
    "task": "bernoulli-bandit",
    "task_settings": ("arms=10", "horizon=100"),
    "size": 64,
    "outer_rate": 2e-3,
    "outer_rate_end": 7e-5,
    "discount": 0.95,
    "trace_decay": 0.8,
    "iterations": 450,
    "outer_decay": 450,
    "algorithm_settings": ("entropy_weight=0.02", "reward_scale=0.2"),
}
# One small network for every arm, or pair: few parameters, and each lifetime is data for all of them.
_TABULAR_MEMORY = {
    **ALGORITHM_PRESETS["rl2"],
    "algorithm": "rl2",
    "tabular_memory": True,
    "size": 16,
    "hidden": (16,),
    "meta_batch": 256,
    "outer_rate": 4e-3,
    "outer_rate_end": 1e-4,
    "epochs": 3,
    "minibatches": 8,
    "trace_decay": 0.95,
    "iterations": 200,
    "outer_decay": 200,
    "task_chunk": 16,
}
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
    "rl2-bandit-100": _LONG_BANDIT,
    # As many lifetimes in a meta-batch as an accelerator steps together.
    "rl2-bandit-500": {
        **_LONG_BANDIT,
        "task_settings": ("arms=10", "horizon=500"),
        "size": 128,
        "meta_batch": 2048,
        "iterations": 1000,
        "outer_decay": 1000,
    },
    # 240,000 steps in a meta-batch, about 10⁸ in all.
    "rl2-tabular-mdp": {
        "algorithm": "rl2",
        "task": "tabular-mdp",
        "lifetime": 10,
        "hidden": (),
        "size": 256,
        "meta_batch": 2400,
        "epochs": 8,
        "minibatches": 16,
        "outer_rate": 2e-4,
        "outer_rate_end": 2e-4,
        "max_grad_norm": 0.5,
        "trace_decay": 0.3,
        "algorithm_settings": ("clip=0.1",),
    },
    "tabular-rl2-bandit-100": {
        **_TABULAR_MEMORY,
        "task": "bernoulli-bandit",
        "task_settings": ("arms=10", "horizon=100"),
        "trace_decay": 0.9,
        "algorithm_settings": ("entropy_weight=0.005", "reward_scale=0.2"),
    },
    "tabular-rl2-bandit-500": {
        **_TABULAR_MEMORY,
        "task": "bernoulli-bandit",
        "task_settings": ("arms=10", "horizon=500"),
        "meta_batch": 64,
        "iterations": 150,
        "outer_decay": 150,
        "discount": 0.997,
        "task_chunk": 8,
        "algorithm_settings": ("entropy_weight=0.01", "reward_scale=0.1"),
    },
    "tabular-rl2-mdp": {
        **_TABULAR_MEMORY,
        "task": "tabular-mdp",
        "lifetime": 10,
        "meta_batch": 128,
        "outer_rate": 5e-3,
        "discount": 0.97,
        "trace_decay": 0.9,
        "iterations": 100,
        "outer_decay": 100,
        "algorithm_settings": ("entropy_weight=0.01", "reward_scale=0.2"),
    },
    "varibad-gridnavi-2020": {
        **ALGORITHM_PRESETS["varibad"],
        "algorithm": "varibad",
        "task": "gridnavi",
        "hidden": (32,),
        "lifetime": 4,
        "meta_batch": 16,
        "epochs": 2,
        "outer_rate_end": 7e-4,
        "discount": 0.95,
        "iterations": 20_833,
        "algorithm_settings": ("clip=0.05", "prefixes=60"),
    },
}
