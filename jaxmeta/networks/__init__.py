"""Policies, memories and beliefs: pure functions of their weights.

A factory raises a ``ValueError`` of one line on an argument out of its range, an unknown name, or spaces that it does
not fit.
"""

import jaxmeta.types  # noqa: F401  # First: it imports gymnax without plotting packages.
from jaxmeta.networks.beliefs import (
    BeliefModel as BeliefModel,
    belief_model_for as belief_model_for,
    expected_rewards as expected_rewards,
    telling_tasks as telling_tasks,
)
from jaxmeta.networks.cells import CELLS as CELLS, Cell as Cell, cell_for as cell_for
from jaxmeta.networks.distributions import (
    Categorical as Categorical,
    Distribution as Distribution,
    Gaussian as Gaussian,
    SquashedGaussian as SquashedGaussian,
)
from jaxmeta.networks.encoders import Encoder as Encoder, as_it_is as as_it_is, cnn as cnn, is_image as is_image
from jaxmeta.networks.latents import (
    Belief as Belief,
    LatentModel as LatentModel,
    latent_model_for as latent_model_for,
    prior as prior,
    update_belief as update_belief,
)
from jaxmeta.networks.layers import (
    MLP as MLP,
    Activation as Activation,
    Mixture as Mixture,
    activation_for as activation_for,
    aligned as aligned,
)
from jaxmeta.networks.policies import (
    FLAT as FLAT,
    CategoricalPolicy as CategoricalPolicy,
    GaussianPolicy as GaussianPolicy,
    Policy as Policy,
    from_equinox as from_equinox,
    from_module as from_module,
    from_nnx as from_nnx,
    policy_for as policy_for,
)
from jaxmeta.networks.recurrent import (
    RecurrentPolicy as RecurrentPolicy,
    in_segments as in_segments,
    recurrent_policy_for as recurrent_policy_for,
)
from jaxmeta.networks.tabular import TabularMemory as TabularMemory, tabular_policy_for as tabular_policy_for
