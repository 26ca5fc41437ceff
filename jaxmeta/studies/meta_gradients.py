"""Sampled meta-gradients beside exact ones: which estimators are unbiased, and how far they are off.

**What is estimated.** The gradient with respect to θ of the value of the policy that ``k`` steps of *exact* gradient
ascent on the return lead to from θ (Finn et al. 2017, equation 4): ``jaxmeta.references.meta_gradient``.

**By what.** The library's own path, as a user has it: ``collect_lifetime`` with a ``gradient_learner`` on the named
inner surrogate and plain SGD, then ``jax.grad`` of ``post_adaptation(learner, likelihood_ratio)``. Only the inner
surrogate differs between estimators; they all have the same gradient where the data were collected, so they adapt alike
and are given the same lifetimes. A surrogate is a mean over the T steps of an episode and has 1/T of the return's
gradient: SGD runs at T times the rate, and the estimate is multiplied by T.

**Advantages.** ``Σ_{t' ≥ t} γ^t' r_t' − γ^t V_θ(s_t, t)``, which is the objective's own discounting, with the exact
value of the policy before adaptation: a baseline that depends on no sampled action, so that it cannot add a bias. The
second derivative of ``score_function`` is the mean of ``∇²log π · A``. For a table of logits ``∇²log π`` is the same
for all actions, and ``A`` has mean 0 at θ: at ``k = 1`` it differs from ``first-order`` by noise alone.

**Bias and its limit.** Even an unbiased surrogate adapts by a sampled gradient, and the mean of ``∇V(θ + α ĝ)`` is not
``∇V(θ + α ∇V)``: all estimators are off by O(1/E) with E episodes. Whether a surrogate is unbiased is a statement about
large E, so it is tested there: on independent repeats of many episodes, by Hotelling's T² test of their mean against
the exact meta-gradient. With R repeats the O(1/E) is to the mean's standard error as √(R/E), so R much smaller than E
keeps it out of the test. What is met in practice, at E = 20, is measured apart.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats

from jaxmeta import references
from jaxmeta.data import collect_lifetime
from jaxmeta.learners import first_order, gradient_learner
from jaxmeta.networks import Categorical, Policy
from jaxmeta.objectives import clipped, dice, likelihood_ratio, post_adaptation, score_function
from jaxmeta.runs.memory import check_memory
from jaxmeta.tasks import BernoulliBandit, BernoulliParams, TabularMDP, TabularParams
from jaxmeta.types import Array, Estimator, Key, Learner, Lifetime, Surrogate, Task, Trajectory

ARMS = (0.2, 0.5, 0.8)
"""What the bandit's arms pay with."""
STATES, ACTIONS, HORIZON, DISCOUNT = 5, 4, 5, 0.95
SURROGATES: dict[str, Surrogate] = {
    "dice-1": dice(1.0),
    "dice-0.5": dice(0.5),
    "dice-0": dice(0.0),
    "likelihood-ratio": likelihood_ratio,
    "clipped": clipped(),
    "score-function": score_function,
}
ESTIMATORS = (*SURROGATES, "first-order")


class Problem(NamedTuple):
    """A task of an environment that is known exactly, as an MDP too, and the policy's logits θ ``[S, A]``."""

    name: str
    env: Any
    task: Task
    mdp: references.MDP
    logits: Array


class Estimates(NamedTuple):
    """Meta-gradients after 1, …, K adaptation steps: exact ``[K, S, A]``, and R repeats by M estimators sampled."""

    exact: np.ndarray
    sampled: np.ndarray  # [R, M, K, S, A]


def bandit_problem(key: Key) -> Problem:
    """Three Bernoulli arms, one pull an episode; logits from N(0, 1)."""
    probability, logits = jnp.array(ARMS), jax.random.normal(key, (1, len(ARMS)))
    task = BernoulliParams(probability=probability, max_steps_in_episode=jnp.int32(1))
    return Problem("bandit", BernoulliBandit(arms=len(ARMS)), task, references.bandit_mdp(probability), logits)


def mdp_problem(key: Key, name: str) -> Problem:
    """A random MDP of 5 states and 4 actions, without noise on its rewards; logits from N(0, 1)."""
    key_mdp, key_logits = jax.random.split(key)
    mdp = references.random_mdp(key_mdp, STATES, ACTIONS, discount=DISCOUNT, horizon=HORIZON)
    exact = {"noise": jnp.float32(0.0), "max_steps_in_episode": jnp.int32(HORIZON)}
    task = TabularParams(transition=mdp.transition, reward=mdp.reward, **exact)
    logits = jax.random.normal(key_logits, (STATES, ACTIONS))
    return Problem(name, TabularMDP(states=STATES, actions=ACTIONS), task, mdp, logits)


def discounted_advantages(baseline: Array, discount: Array | float) -> Estimator:
    """``A_t = Σ_{t' ≥ t} γ^t' r_t' − γ^t b(s_t, t)`` with a baseline b ``[T, S]``; states are one-hot observations."""
    weights = discount ** jnp.arange(baseline.shape[0])[None]

    def estimate_fn(trajectory: Trajectory) -> Trajectory:
        to_go = jnp.cumsum((trajectory.reward * weights)[:, ::-1], axis=1)[:, ::-1]
        expected = weights * jnp.einsum("ets,ts->et", trajectory.obs, baseline)
        return trajectory._replace(advantage=to_go - expected, value_target=to_go)

    return estimate_fn


def sampler(
    env: Any,
    mdp: references.MDP,
    *,
    rate: float,
    steps: int,
    episodes: int,
    names: tuple[str, ...] = ESTIMATORS,
    together: int = 1,
) -> jax.stages.Wrapped:
    """A compiled ``sample(keys, logits, task, baseline) -> estimates``, for all problems of the same shape.

    Keys ``[R]`` give ``[R, M, K, S, A]``, for 1, …, K adaptation steps. One lifetime of K steps serves every number of
    steps below: its batch ``k`` was collected by the policy after ``k`` steps.
    The horizon and the discount are those of ``mdp``, ``rate`` α is the step size on the gradient of the return, and
    ``together`` repeats are sampled side by side.
    """
    horizon = mdp.horizon
    assert horizon is not None
    # The logits come with the problem, so nothing is drawn here.
    policy = Policy(lambda key: jnp.zeros((STATES, ACTIONS)), lambda params, obs: Categorical(obs @ params))
    surrogates = {**SURROGATES, "first-order": likelihood_ratio}
    made = [gradient_learner(policy, surrogates[name], optax.sgd(rate * horizon)) for name in names]
    made = [first_order(each) if name == "first-order" else each for name, each in zip(names, made, strict=True)]
    sizes = {"adaptation_steps": steps, "episodes": episodes, "horizon": horizon}

    def gradient(learner: Learner, theta: Array, lifetime: Lifetime, k: int) -> Array:
        objective = post_adaptation(learner, likelihood_ratio)
        until = lifetime._replace(trajectory=jax.tree.map(lambda x: x[: k + 1], lifetime.trajectory))
        # The objective is a loss, and a mean over the episode's steps.
        return -horizon * jax.grad(lambda theta: objective(theta, until)[0])(theta)

    def repeat(key: Key, theta: Array, task: Task, baseline: Array) -> Array:
        estimator = discounted_advantages(baseline, mdp.discount)
        _, lifetime = collect_lifetime(key, env, task, made[0], theta, estimator, **sizes)
        counts = range(1, steps + 1)
        return jnp.stack([jnp.stack([gradient(learner, theta, lifetime, k) for k in counts]) for learner in made])

    def sample(keys: Key, theta: Array, task: Task, baseline: Array) -> Array:
        size = together if together > 1 else None
        return jax.lax.map(lambda key: repeat(key, theta, task, baseline), keys, batch_size=size)

    return jax.jit(sample)


def exact(problem: Problem, rate: float, steps: int) -> np.ndarray:
    """Exact meta-gradients after 1, …, K adaptation steps, ``[K, S, A]``, in double precision."""
    counts = range(1, steps + 1)
    gradients = lambda logits, mdp: [references.meta_gradient(logits, mdp, rate, k) for k in counts]  # noqa: E731
    return np.stack(references.in_float64(gradients, problem.logits, problem.mdp))


def draw(key: Key, sample: jax.stages.Wrapped, problem: Problem, truth: np.ndarray, repeats: int) -> Estimates:
    """``repeats`` independent estimates by each estimator."""
    baseline = references.state_values(problem.logits, problem.mdp)
    arguments = (jax.random.split(key, repeats), problem.logits, problem.task, baseline)
    check_memory(sample.trace(*arguments).jaxpr)
    return Estimates(truth, np.asarray(sample(*arguments), np.float64))


def relative_bias(estimates: Estimates) -> tuple[np.ndarray, np.ndarray]:
    """``‖mean − exact‖ / ‖exact‖``, and what it would be on average without a bias, by noise alone; both ``[M, K]``."""
    scale = np.linalg.norm(estimates.exact, axis=(1, 2))
    error = np.linalg.norm(estimates.sampled.mean(axis=0) - estimates.exact, axis=(2, 3))
    return error / scale, relative_deviation(estimates) / np.sqrt(len(estimates.sampled))


def relative_deviation(estimates: Estimates) -> np.ndarray:
    """``√(trace of the covariance) / ‖exact‖`` of one estimate, ``[M, K]``."""
    variance = estimates.sampled.var(axis=0, ddof=1).sum(axis=(2, 3))
    return np.sqrt(variance) / np.linalg.norm(estimates.exact, axis=(1, 2))


def mean_cosine(estimates: Estimates) -> np.ndarray:
    """Mean cosine of the angle between one estimate and the exact meta-gradient, ``[M, K]``."""
    products = (estimates.sampled * estimates.exact).sum(axis=(3, 4))
    norms = np.linalg.norm(estimates.sampled, axis=(3, 4)) * np.linalg.norm(estimates.exact, axis=(1, 2))
    return (products / norms).mean(axis=0)


def unbiased_p_values(estimates: Estimates) -> np.ndarray:
    """Probability of a mean as far from the exact meta-gradient as this one, if there is no bias; ``[M, K]``.

    Hotelling's T² = R dᵀ C⁻¹ d, with d the mean error over R repeats and C their covariance. ``(R − p) / (p (R − 1))``
    times T² has the F distribution with p and R − p degrees of freedom. A state's entries sum to 0 in every estimate,
    so the last action's is left out, and p = S (A − 1). R must be larger.
    """
    errors = (estimates.sampled - estimates.exact)[..., :-1]
    repeats, size = len(errors), errors[0, 0, 0].size
    errors = np.moveaxis(errors, 0, 2).reshape(*errors.shape[1:3], repeats, size)

    def p_value(errors: np.ndarray) -> float:
        mean, covariance = errors.mean(axis=0), np.atleast_2d(np.cov(errors.T))
        t_squared = repeats * mean @ np.linalg.solve(covariance, mean)
        return float(stats.f.sf((repeats - size) / (size * (repeats - 1)) * t_squared, size, repeats - size))

    return np.array([[p_value(each) for each in per_estimator] for per_estimator in errors])


def measure(effort: Any, level: float = 0.01) -> Iterator[list[dict[str, Any]]]:
    """Rows of the bandit and of ``effort.mdps`` random MDPs, a row for each number of adaptation steps and estimator.

    How much is sampled is said by the arguments of ``jaxmeta estimators``. ``level`` is the probability that any
    unbiased estimator of the whole table is called biased (Bonferroni).
    """
    steps = effort.adaptation_steps
    level /= (effort.mdps + 1) * steps * len(ESTIMATORS)
    key_problems, key_large, key_batch = jax.random.split(jax.random.key(effort.seed), 3)
    samplers: dict[type, tuple[jax.stages.Wrapped, jax.stages.Wrapped]] = {}
    for index, key in enumerate(jax.random.split(key_problems, effort.mdps + 1)):
        problem = mdp_problem(key, f"mdp-{index}") if index else bandit_problem(key)
        kind = type(problem.env)
        if kind not in samplers:
            make = functools.partial(sampler, problem.env, problem.mdp, rate=effort.rate, steps=steps)
            samplers[kind] = make(episodes=effort.episodes), make(episodes=effort.batch_episodes, together=256)
        large, small = samplers[kind]
        truth = exact(problem, effort.rate, steps)
        limit = draw(jax.random.fold_in(key_large, index), large, problem, truth, effort.repeats)
        batch = draw(jax.random.fold_in(key_batch, index), small, problem, truth, effort.batch_repeats)
        yield rows(problem.name, limit, batch, level)


def rows(name: str, limit: Estimates, batch: Estimates, level: float) -> list[dict[str, Any]]:
    """A row for each number of adaptation steps and estimator, from estimates in the limit and at a usual batch."""
    names = ("bias", "noise", "p_value", "batch_bias", "batch_noise", "batch_deviation", "batch_cosine")
    of_batch = (*relative_bias(batch), relative_deviation(batch), mean_cosine(batch))
    columns = np.stack([*relative_bias(limit), unbiased_p_values(limit), *of_batch], axis=-1)
    rows = []
    for k, m in np.ndindex(columns.shape[1], len(ESTIMATORS)):
        numbers = dict(zip(names, columns[m, k].tolist(), strict=True))
        verdict = "biased" if numbers["p_value"] < level else "unbiased"
        rows.append({"problem": name, "steps": k + 1, "estimator": ESTIMATORS[m], "verdict": verdict, **numbers})
    return rows
