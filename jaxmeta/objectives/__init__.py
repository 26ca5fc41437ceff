"""Losses that replay a lifetime's adaptation, and the surrogates of policy gradients in them."""

from jaxmeta.objectives.evidence import evidence_bound as evidence_bound, next_states as next_states
from jaxmeta.objectives.objectives import (
    after_adaptation as after_adaptation,
    after_every_step as after_every_step,
    batch_of as batch_of,
    post_adaptation as post_adaptation,
    replay_adaptation as replay_adaptation,
    towards_adapted as towards_adapted,
    with_inner_penalty as with_inner_penalty,
    with_sampling_term as with_sampling_term,
)
from jaxmeta.objectives.propensity import effective_sample_size as effective_sample_size, new_task_odds as new_task_odds
from jaxmeta.objectives.surrogates import (
    clipped as clipped,
    dice as dice,
    likelihood_ratio as likelihood_ratio,
    ratio_surrogate as ratio_surrogate,
    score_function as score_function,
    score_surrogate as score_surrogate,
    standardised as standardised,
)
