"""Figures of runs. Every function returns a matplotlib figure; ``save`` writes one."""

from jaxmeta.plots import page as page
from jaxmeta.plots.adaptation import (
    adaptation_by_label as adaptation_by_label,
    adaptation_curve as adaptation_curve,
    comparison as comparison,
    performance_profiles as performance_profiles,
    side_by_side as side_by_side,
)
from jaxmeta.plots.experts import expert_use as expert_use
from jaxmeta.plots.gallery import RESOLUTION as RESOLUTION, gallery as gallery
from jaxmeta.plots.learning import (
    learning_curve as learning_curve,
    over_seeds as over_seeds,
    sample_efficiency as sample_efficiency,
)
from jaxmeta.plots.memory import (
    arm_pull_shares as arm_pull_shares,
    arm_pulls as arm_pulls,
    grid_beliefs as grid_beliefs,
    regrets as regrets,
)
from jaxmeta.plots.style import (
    BOTH as BOTH,
    EPISODES as EPISODES,
    STEPS as STEPS,
    STYLE as STYLE,
    save as save,
    stages_of as stages_of,
)
from jaxmeta.plots.trajectories import (
    animate as animate,
    episodes_of_lifetimes as episodes_of_lifetimes,
    trajectories as trajectories,
)
