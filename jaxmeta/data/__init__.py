"""What is collected in tasks: rollouts, advantages, buffers."""

from jaxmeta.data.advantages import (
    critic_baseline as critic_baseline,
    discount_weighted as discount_weighted,
    discounted_returns as discounted_returns,
    generalised_advantages as generalised_advantages,
    identity_estimator as identity_estimator,
    linear_baseline as linear_baseline,
    masked_mean as masked_mean,
    n_step_returns as n_step_returns,
    n_step_targets as n_step_targets,
    rescaled as rescaled,
    scaled_rewards as scaled_rewards,
    standardise as standardise,
    unscaled as unscaled,
)
from jaxmeta.data.buffers import (
    Buffer as Buffer,
    Transitions as Transitions,
    append as append,
    draw as draw,
    draw_places as draw_places,
    empty_buffer as empty_buffer,
    importance_weights as importance_weights,
    places_at as places_at,
    reprioritise as reprioritise,
)
from jaxmeta.data.recorded import (
    absorbs as absorbs,
    adapt_on as adapt_on,
    check_recorded as check_recorded,
    needs_costs as needs_costs,
    recorded as recorded,
)
from jaxmeta.data.rollout import (
    collect_episodes as collect_episodes,
    collect_lifetime as collect_lifetime,
    collect_lifetimes as collect_lifetimes,
    episode_returns as episode_returns,
    episode_states as episode_states,
    next_observations as next_observations,
    stage_costs as stage_costs,
    stage_returns as stage_returns,
    transitions_of as transitions_of,
)
