"""Figures of runs. Every function returns a matplotlib figure; ``save`` writes one."""

from jaxmeta.plots.adaptation import adaptation_by_label, adaptation_curve, comparison
from jaxmeta.plots.experts import expert_use
from jaxmeta.plots.gallery import gallery
from jaxmeta.plots.learning import learning_curve, over_seeds, sample_efficiency
from jaxmeta.plots.memory import arm_pull_shares, arm_pulls, grid_beliefs, regrets
from jaxmeta.plots.style import BOTH, EPISODES, STEPS, STYLE, Stages, save, stages_of, subplots
from jaxmeta.plots.trajectories import animate, episodes_of_lifetimes, trajectories

__all__ = [
    "BOTH",
    "EPISODES",
    "STEPS",
    "STYLE",
    "Stages",
    "adaptation_by_label",
    "adaptation_curve",
    "animate",
    "arm_pull_shares",
    "arm_pulls",
    "comparison",
    "episodes_of_lifetimes",
    "expert_use",
    "gallery",
    "grid_beliefs",
    "learning_curve",
    "over_seeds",
    "regrets",
    "sample_efficiency",
    "save",
    "stages_of",
    "subplots",
    "trajectories",
]
