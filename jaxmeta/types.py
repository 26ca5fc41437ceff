"""The five contracts, and the data that passes between them.

Every meta-RL method has *slow weights* ``theta``, learned across tasks, and a *fast state* ``phi``, computed inside one
task. ``act`` may move ``phi`` at each step; ``absorb`` moves it after a batch of episodes. A *lifetime* in a task is
collected once, without gradients; objectives then replay ``absorb`` on the stored data, differentiably.

Axes, in this order wherever they occur: ``[S seed, N task, K adaptation step, E episode, T time]``.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax

from jaxmeta.put_off import put_off

with put_off("matplotlib.pyplot", "seaborn"):
    from gymnax.environments import environment

Array = jax.Array
PyTree = Any
Key = jax.Array
Task = Any
Theta = Any
Phi = Any
Info = dict[str, Array]


class Trajectory(NamedTuple):
    """``E`` episodes of at most ``T`` steps in one task. Steps after an episode's end are stored with ``mask`` 0.

    Attributes:
      obs: observations before each action, ``[E, T, ...]``.
      action: actions as the policy gave them, ``[E, T, ...]``.
      log_prob: their log-probability (density) under the policy that acted, ``[E, T]``.
      value: the value estimate at ``obs``, ``[E, T]``; zero where the learner has no critic.
      reward: rewards after each action, ``[E, T]``.
      terminated: 1 where the environment ended: nothing is bootstrapped beyond it, ``[E, T]``.
      truncated: 1 where time ran out: the state's value goes on, ``[E, T]``.
      mask: 1 for a real step, 0 for padding after the end, ``[E, T]``.
      final_obs: the observation after the last real step, ``[E, ...]``.
      advantage: filled in by an estimator after collection, ``[E, T]``.
      value_target: the return that a critic would be fitted to, filled in by an estimator, ``[E, T]``.
      cost: what each step cost apart from its reward, ``[E, T]``; ``()`` in families that tell none.
    """

    obs: Array
    action: Array
    log_prob: Array
    value: Array
    reward: Array
    terminated: Array
    truncated: Array
    mask: Array
    final_obs: Array
    advantage: Array
    value_target: Array
    cost: Array | tuple[()] = ()


class Lifetime(NamedTuple):
    """All that was collected in one task: every leaf of ``trajectory`` leads with ``[K + 1]``.

    Entry ``k`` was acted with the fast state after ``k`` adaptation steps; the last one is the post-adaptation data,
    which no ``absorb`` has seen.

    Attributes:
      trajectory: all batches of episodes.
      peer_return: mean return after adaptation in the meta-batch's other tasks, a scalar: a baseline that no action in
        this task has a part in. 0 where there are no others.
      key: a PRNG key that nothing else uses, for objectives that sample.
      task: where it was collected, for objectives that learn from what only meta-training knows.
    """

    trajectory: Trajectory
    peer_return: Array
    key: Key
    task: Task


class TaskDistribution(NamedTuple):
    """A family of tasks. A task *is* the environment's ``EnvParams`` pytree, so a batch of tasks is a batched pytree.

    Attributes:
      env: a gymnax ``Environment``, used through ``reset_env`` and ``step_env``.
      sample: ``sample(key) -> task``, the meta-training distribution.
      horizon: steps in an episode at most.
      optimum: ``optimum(task) -> return`` of the best policy that knows the task, undiscounted; ``None`` if not known.
      sample_test: ``sample_test(key) -> task``, the meta-test distribution where it is another one, such as physics
        outside the training range; ``None`` means the same as ``sample``.
      every: each task that ``sample`` draws, once, leaves ``[N, ...]``, where they are finitely many and equally
        likely; ``None`` where they are not, or too many to list. Whoever replaces ``sample`` replaces it too.
      every_test: the same of ``sample_test``.
      cost_limit: ``cost_limit(task) -> cost`` that an episode may have at most, undiscounted, in the mean. The
        environment's ``info`` then has each step's ``cost``. ``None`` where it has none.
      controllers: policies written by hand to measure learners against, each a ``jaxmeta.tasks.Controller``, by name;
        for ``env``, or for the environment whose episodes a lifetime has.
    """

    env: environment.Environment
    sample: Callable[[Key], Task]
    horizon: int
    optimum: Callable[[Task], Array] | None = None
    sample_test: Callable[[Key], Task] | None = None
    every: Task | None = None
    every_test: Task | None = None
    cost_limit: Callable[[Task], Array] | None = None
    controllers: Mapping[str, Any] = {}


class Learner(NamedTuple):
    """How a method learns inside one task. All five are pure and unbatched over tasks.

    Attributes:
      init: ``init(key) -> theta``.
      begin: ``begin(theta) -> phi``.
      act: ``act(key, theta, phi, obs) -> (action, log_prob, value, phi)`` for one observation.
      absorb: ``absorb(theta, phi, trajectory) -> phi``, differentiable in ``theta`` and ``phi``.
      score: ``score(theta, phi, trajectory) -> (log_prob, value)`` of the stored actions, both ``[E, T]``.
    """

    init: Callable[[Key], Theta]
    begin: Callable[[Theta], Phi]
    act: Callable[[Key, Theta, Phi, Array], tuple[Array, Array, Array, Phi]]
    absorb: Callable[[Theta, Phi, Trajectory], Phi]
    score: Callable[[Theta, Phi, Trajectory], tuple[Array, Array]]


class Estimator(Protocol):
    """Fills in ``advantage`` and ``value_target`` of a trajectory, once, right after it was collected."""

    def __call__(self, trajectory: Trajectory) -> Trajectory: ...


Objective = Callable[[Theta, Lifetime], tuple[Array, Info]]
"""``objective(theta, lifetime) -> (loss, Info)`` of one task; the caller takes the mean over tasks."""

Gate = Callable[[Theta, Phi, Array], Array]
"""``gate(theta, phi, obs) -> [..., experts]``: how much each expert has to say at ``obs`` ``[..., O]``; sums to 1."""


class Surrogate(Protocol):
    """``surrogate(log_prob, trajectory) -> loss`` of stored actions whose log-probabilities are ``[E, T]`` now."""

    def __call__(self, log_prob: Array, trajectory: Trajectory, /) -> Array: ...


class ObjectiveMaker(Protocol):
    """``make(learner, surrogate) -> objective``: what the outer step improves, of the data that ``surrogate`` sees."""

    def __call__(self, learner: Learner, surrogate: Surrogate, /) -> Objective: ...


class Divergence(NamedTuple):
    """How far the policies that ``theta`` adapts to are from those that collected: a mean over tasks.

    Attributes:
      value: ``value(theta) -> scalar``, in nats.
      curvature: ``curvature(vector, every) -> pytree``: its Hessian at the ``theta`` that collected, times a pytree of
        theta's shape; only every ``every``-th term of the mean over time steps counts.
    """

    value: Callable[[Theta], Array]
    curvature: Callable[[Theta, int], Theta]


class Outer(NamedTuple):
    """How the slow weights move.

    Attributes:
      init: ``init(theta) -> opt_state``.
      step: ``step(theta, opt_state, objective, divergence) -> (theta, opt_state, Info)``, where
        ``objective(theta, part=None) -> (loss, Info)`` is a mean over tasks, differentiable: over all, or over part
        ``(index, count)``, the ``index``-th of ``count`` equal parts. ``divergence`` is a ``Divergence``. ``Info`` has
        at least ``loss`` and ``grad_norm``.
    """

    init: Callable[[Theta], PyTree]
    step: Callable[[Theta, PyTree, Callable[..., tuple[Array, Info]], Divergence], tuple[Theta, PyTree, Info]]


class MetaState(NamedTuple):
    """What a meta-algorithm carries between steps: nothing but what the next step needs."""

    theta: Theta
    opt_state: PyTree


class MetaAlgorithm(NamedTuple):
    """A method, whole.

    Attributes:
      init: ``init(key) -> MetaState``.
      step: ``step(key, state, tasks) -> (MetaState, Info)``; ``tasks`` is a pytree with leading axis ``[N]``.
      adapt: ``adapt(key, theta, task) -> (phi, Lifetime)``: what a user runs on a new task.
      learner: the learner that ``adapt`` collects with.
      greedy: the same learner, acting by the mode of its distribution: for evaluation of ``phi``, not for exploration.
      estimator: fills in the advantages of a batch of episodes before ``learner.absorb`` is given it.
      gate: which experts act, at observations ``[E, T, O]`` that a batch of episodes or a lifetime met and by the fast
        state that it began with; ``None`` where the policy is a single network.
    """

    init: Callable[[Key], MetaState]
    step: Callable[[Key, MetaState, Task], tuple[MetaState, Info]]
    adapt: Callable[[Key, Theta, Task], tuple[Phi, Lifetime]]
    learner: Learner
    greedy: Learner
    estimator: Estimator
    gate: Gate | None = None
