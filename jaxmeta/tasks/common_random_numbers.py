"""The tasks that classical methods are simulated on, for learners to play.

A learner and a classical method then meet the same tasks. In bandits the i-th pull of an arm also pays both the same
(common random numbers), so the difference between them has less variance than either mean.
"""

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces

from jaxmeta.references import draw_mdps, task_keys
from jaxmeta.tasks.bandits import BernoulliBandit, BernoulliParams
from jaxmeta.tasks.environments import TimedState, typed
from jaxmeta.tasks.tabular import TabularParams
from jaxmeta.types import Array, Key


@struct.dataclass
class CommonBanditState(TimedState):
    """``pulls`` of each arm so far, ``[k]``."""

    pulls: Array


@struct.dataclass
class CommonBanditParams(BernoulliParams):
    """``outcomes``: data of the key that decides what each pull of an arm pays."""

    outcomes: Array = struct.field(default_factory=lambda: jnp.zeros(2, jnp.uint32))


class CommonBandit(BernoulliBandit):
    """A Bernoulli bandit whose pulls pay as those of ``bandit_returns``, by the arm and how often it was pulled."""

    @property
    def default_params(self) -> CommonBanditParams:
        return CommonBanditParams(probability=jnp.linspace(0.1, 0.9, self.arms))

    def first_state(self, key, params) -> CommonBanditState:
        return CommonBanditState(pulls=jnp.zeros(self.arms, jnp.int32), time=jnp.zeros((), jnp.int32))

    def transition(self, key, state, action, params):
        which = action * params.max_steps_in_episode + state.pulls[action]
        uniform = jax.random.uniform(jax.random.fold_in(jax.random.wrap_key_data(params.outcomes), which))
        next_state = CommonBanditState(pulls=state.pulls.at[action].add(1), time=state.time + 1)
        return next_state, (uniform < params.probability[action]).astype(jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        return {"pulls": spaces.Box(0, int(params.max_steps_in_episode), (self.arms,), jnp.int32)}


def common_bandits(key: Key, *, arms: int, pulls: int, tasks: int) -> CommonBanditParams:
    """The tasks of ``bandit_returns`` at that key, for ``CommonBandit``: leaves ``[N, ...]``."""

    def task(key: Key) -> CommonBanditParams:
        key_task, key_reward, _ = task_keys(key)
        probability, outcomes = jax.random.uniform(key_task, (arms,)), jax.random.key_data(key_reward)
        return typed(CommonBanditParams(probability=probability, outcomes=outcomes, max_steps_in_episode=pulls))

    return jax.vmap(task)(jax.random.split(key, tasks))


def common_mdps(key: Key, *, tasks: int, states: int = 10, actions: int = 5, horizon: int = 10) -> TabularParams:
    """The MDPs of ``mdp_returns`` at that key, for ``TabularMDP``, leaves ``[N, ...]``; their outcomes differ."""

    def task(transition: Array, reward: Array) -> TabularParams:
        return typed(TabularParams(transition=transition, reward=reward, max_steps_in_episode=horizon))

    return jax.vmap(task)(*draw_mdps(key, tasks, states, actions))
