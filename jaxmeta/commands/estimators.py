"""Print which meta-gradient estimators are unbiased, and the bias and variance of each at equal sample size.

Each estimator is an inner surrogate of the library, differentiated through the adaptation; the truth is the exact
meta-gradient of an enumerable problem, in double precision: a bandit of three Bernoulli arms and one pull, and random
MDPs of 5 states, 4 actions, 5 steps and discount 0.95 (the check of Foerster et al. 2018 and Farquhar et al. 2019).
``jaxmeta/studies/meta_gradients.py`` says in full what is compared with what. All figures but the verdict are relative
to the norm of the exact meta-gradient:

- ``bias``: distance of the mean estimate from the truth, at so many episodes a batch that a step's own noise does not
  count; ``noise``: what that distance would be without a bias.
- ``verdict``: of Hotelling's test of that mean against the truth, whose ``p`` is beside it. An unbiased estimator is
  called biased anywhere in the table with probability 0.01. ``unbiased`` means that no bias is seen at this size.
- the columns under ``a batch of 20``: the same bias and its noise, the standard deviation of one estimate, and the mean
  cosine of its angle to the truth, when all batches have that many episodes. There, what a step of that size does on
  average is not what an exact step does, and every estimator is off.
"""

import dataclasses
from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes

from jaxmeta.checks import check_positive
from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import of_flags


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is sampled."""

    mdps: int = 3
    """Random MDPs, besides the bandit."""
    adaptation_steps: int = 3
    """Adaptation steps at most; every number from 1 is measured."""
    rate: float = 1.0
    """Step size of adaptation, on the gradient of the return."""
    repeats: int = 64
    """Independent repeats of the large batches; more than the 15 free parameters of a policy, by far."""
    episodes: int = 2**14
    """Episodes in each large batch, of which a lifetime has one more than adaptation steps."""
    batch_repeats: int = 2**14
    """Independent repeats of the batches of usual size."""
    batch_episodes: int = 20
    """Episodes in each batch of usual size."""
    seed: int = 0
    """Draws the problems and all that is sampled."""


QUICK = {"mdps": 1, "adaptation_steps": 2, "episodes": 2048, "batch_repeats": 2048}
"""What a quick run has at most."""


@command(
    mdps=(0, 10_000),
    seed=0,
    adaptation_steps=(1, 100),
    episodes=1,
    batch_episodes=1,
    batch_repeats=(2, 10_000_000),
    repeats=(32, 10_000_000),
)
def main(effort: OmitArgPrefixes[Effort], *, quick: bool = False, json: Path | None = None) -> None:
    """Print which meta-gradient estimators are unbiased; the bias and variance of each at equal sample size.

    Args:
      effort: How much is sampled.
      quick: One MDP, two adaptation steps, 2,048 episodes and batch repeats at most: under a minute on two cores.
      json: Write the rows to this file, a JSON list; it is brought up to date after each problem.
    """
    with of_flags():
        check_positive(rate=effort.rate)
    from jaxmeta.runs.logging import write_json
    from jaxmeta.studies import meta_gradients

    if quick:
        effort = dataclasses.replace(effort, **{name: min(getattr(effort, name), QUICK[name]) for name in QUICK})
    print(
        f"Meta-gradients against exact ones, relative to their norm; rate {effort.rate:g}. In the limit: "
        f"{effort.repeats} repeats of {effort.episodes} episodes a batch; a batch of {effort.batch_episodes}: "
        f"{effort.batch_repeats} repeats.",
        flush=True,
    )
    written: list[dict[str, Any]] = []
    for rows in meta_gradients.measure(effort):
        print("\n" + table(rows, effort.batch_episodes), flush=True)
        written += [row | vars(effort) for row in rows]
        write_json(json, written)


def table(rows: list[dict[str, Any]], batch: int) -> str:
    """One problem's rows."""
    under = f"a batch of {batch}"
    lines = [
        f"{'':33s}{'in the limit':>24s}{'':12s}{under:>30s}",
        f"{'problem':9s}{'steps':>5s}  {'estimator':17s}{'bias':>8s}{'noise':>8s}{'p':>10s}  {'verdict':10s}"
        f"{'bias':>8s}{'noise':>8s}{'deviation':>11s}{'cosine':>8s}",
    ]
    for row in rows:
        lines.append(
            f"{row['problem']:9s}{row['steps']:5d}  {row['estimator']:17s}{row['bias']:8.4f}{row['noise']:8.4f}"
            f"{row['p_value']:10.1e}  {row['verdict']:10s}{row['batch_bias']:8.3f}{row['batch_noise']:8.3f}"
            f"{row['batch_deviation']:11.2f}{row['batch_cosine']:8.3f}"
        )
    return "\n".join(lines)
