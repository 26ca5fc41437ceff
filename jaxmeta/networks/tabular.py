"""A memory for each pair of an observation and an action, all with the same weights, where both are discrete."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least
from jaxmeta.networks.cells import Cell, cell_for
from jaxmeta.networks.distributions import Categorical
from jaxmeta.networks.layers import Activation, activation_for, check_widths
from jaxmeta.networks.lookahead import Lookahead, RememberedMDP, SeenStep
from jaxmeta.networks.recurrent import RecurrentPolicy
from jaxmeta.tasks import LifetimeEnv, LifetimeObservation
from jaxmeta.types import Array, Key, PyTree


class TabularMemory(NamedTuple):
    """What is remembered of a lifetime with S observations and A actions.

    Attributes:
      summary: carry of the cell that sees every step.
      entries: carries of the cells that see the steps of one pair each, leaves ``[S, A, ...]``.
      features: what those cells gave last, ``[S, A, H]``.
      mean: of the features over all pairs, ``[H]``.
      before: index of the observation that the next action is taken at.
      mdp: what is planned in; ``()`` without ``lookahead``.
    """

    summary: PyTree
    entries: PyTree
    features: Array
    mean: Array
    before: Array
    mdp: RememberedMDP | tuple[()]


class Known(NamedTuple):
    """What of a memory the next action is chosen by.

    Attributes:
      pairs: features of the actions at this observation, ``[A, H]``.
      mean: of the features over all pairs, ``[H]``.
      here: index of this observation.
      mdp: what is planned in; ``()`` without ``lookahead``.
    """

    pairs: Array
    mean: Array
    here: Array
    mdp: RememberedMDP | tuple[()]


class _Heads(nn.Module):
    """Logit and value of each action, ``[..., A, 2]``: an MLP of its own features and of what all actions share."""

    hidden: Sequence[int]
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, own: Array, shared: Array) -> Array:
        widths = (*self.hidden, 2)
        # The last layer's a hundredth as large: all actions are about as likely at first (``networks.undecided``).
        scales = (*[1.0] * len(self.hidden), 1e-4)
        inits = [nn.initializers.variance_scaling(scale, "fan_avg", "uniform") for scale in scales]
        (width, init), *rest = zip(widths, inits, strict=True)
        x = nn.Dense(width, kernel_init=init, name="own")(own)
        x += nn.Dense(width, kernel_init=init, use_bias=False, name="shared")(shared)[..., None, :]
        for width, init in rest:
            x = nn.Dense(width, kernel_init=init)(self.activation(x))
        return x


def tabular_policy_for(
    env: environment.Environment,
    horizon: int,
    *,
    cell: str | Cell = "gru",
    size: int = 16,
    hidden: tuple[int, ...] = (16,),
    activation: str | Activation = "relu",
    lookahead: int = 0,
) -> RecurrentPolicy:
    """A recurrent actor and critic for which observations and actions have no names.

    One cell sees the rewards and ends of all steps. Another one, with a carry for each pair of an observation and an
    action, sees those of the steps that began with its pair. The logit ``l_a`` and the value ``q_a`` of an action are
    the same function for every action: of the features of its pair, their mean over the actions at this observation
    and over all pairs, and the features of the first cell. The critic is ``V = Σ_a softmax(l)_a q_a``.

    So the policy is equivariant to permutations of the actions at each observation, and of the observations: the same
    weights fit any number of either (symmetries as those of Kirsch et al. 2022).

    Transitions are remembered only for ``lookahead``: so many backups of value iteration in the MDP that the memory
    holds (``networks.lookahead``), whose Q-values at this observation are added to the logits.

    Args:
      env: of lifetimes, with discrete actions and one-hot observations, or a constant 1: tabular MDPs, bandits.
      horizon: steps in a lifetime, ≥ 1; a transformer remembers as many.
      cell: a name in ``CELLS``, or a ``Cell``; for both cells.
      size: H ≥ 1, features that each cell gives; used where ``cell`` is a name.
      hidden: widths of the hidden layers of the function of each action.
      activation: the nonlinearity of those layers.
      lookahead: steps that the policy plans ahead, ≥ 0; those of an episode at most.
    """
    check_least(0, lookahead=lookahead)
    if not isinstance(env, LifetimeEnv):
        raise ValueError("env: not one of lifetimes; give as_lifetime(tasks, episodes).env")
    observations, actions = _pairs(env)
    check_widths(hidden=hidden)
    cell = cell_for(cell, size, horizon)
    heads, norm = _Heads(tuple(hidden), activation_for(activation)), nn.LayerNorm()
    plan = Lookahead(min(lookahead, env.horizon), env.horizon, hidden, activation) if lookahead else None
    seen = jnp.zeros(3)

    def init_fn(key: Key) -> PyTree:
        key_summary, key_entry, key_heads = jax.random.split(key, 3)
        params = {"summary": cell.init(key_summary, seen.shape[0]), "entry": cell.init(key_entry, seen.shape[0])}
        features = cell.step(params["entry"], cell.start(), seen)[1]
        # What an entry that was never visited gives.
        params["first"] = jnp.zeros_like(features)
        # A normalisation's parameters are not drawn: any key gives the same.
        params["norms"] = {name: norm.init(jax.random.key(0), features) for name in ("pairs", "mean", "summary")}
        params["heads"] = heads.init(key_heads, features[None], jnp.tile(features, 3))
        if plan is not None:
            params["plan"] = plan.init(jax.random.fold_in(key_heads, 1), features)
        return params

    def begin_fn(params: PyTree) -> TabularMemory:
        each = lambda x: jnp.broadcast_to(x, (observations, actions, *x.shape))  # noqa: E731
        entries, features = jax.tree.map(each, cell.start()), each(params["first"])
        mdp = () if plan is None else plan.begin(params["plan"], features)
        return TabularMemory(cell.start(), entries, features, params["first"], jnp.zeros((), jnp.int32), mdp)

    def judge(params: PyTree, known: Known, summary: Array) -> tuple[Categorical, Array]:
        """Of one step, or with an axis of steps before all of ``known`` and ``summary``."""
        normalised = lambda name, x: cast(Array, norm.apply(params["norms"][name], x))  # noqa: E731
        pairs, summary = normalised("pairs", known.pairs), normalised("summary", summary)
        shared = (jnp.mean(pairs, axis=-2), normalised("mean", known.mean), summary)
        outputs = cast(Array, heads.apply(params["heads"], pairs, jnp.concatenate(shared, axis=-1)))
        logits, values = outputs[..., 0], outputs[..., 1]
        if plan is not None:
            values_of, mdp = functools.partial(plan.values, params["plan"]), cast(RememberedMDP, known.mdp)
            logits += (values_of if known.here.ndim == 0 else jax.vmap(values_of))(mdp, summary, known.here)
        # The critic's error is no reason to act otherwise.
        weights = jax.lax.stop_gradient(jax.nn.softmax(logits))
        return Categorical(logits), jnp.sum(weights * values, axis=-1)

    def read(obs: Array) -> tuple[LifetimeObservation, Array]:
        seen = env.split_observation(obs)
        return seen, jnp.stack([seen.reward, seen.episode_end, seen.has_action], axis=-1)

    def step_fn(params: PyTree, memory: TabularMemory, obs: Array) -> tuple[Categorical, Array, TabularMemory]:
        seen, x = read(obs)
        carry, summary = cell.step(params["summary"], memory.summary, x)
        memory, known = _visited(cell, plan, params, memory, (seen, x))
        return *judge(params, known, summary), memory._replace(summary=carry)

    def sequence_fn(params: PyTree, memory: TabularMemory, obs: Array) -> tuple[Categorical, Array, TabularMemory]:
        seen, xs = read(obs)
        carry, summary = cell.sequence(params["summary"], memory.summary, xs)
        memory, known = jax.lax.scan(functools.partial(_visited, cell, plan, params), memory, (seen, xs))
        return *judge(params, known, summary), memory._replace(summary=carry)

    return RecurrentPolicy(init_fn, begin_fn, step_fn, sequence_fn)


def _visited(
    cell: Cell, plan: Lookahead | None, params: PyTree, memory: TabularMemory, step: tuple[LifetimeObservation, Array]
) -> tuple[TabularMemory, Known]:
    """The memory with the last step in its pair's entry, and what of it the next action is chosen by.

    A step is the observation that tells of it, and the input of the pair's cell.
    """
    seen, x = step
    observations, actions = memory.features.shape[:2]
    pair = (memory.before, seen.action)
    carry, features = cell.step(params["entry"], jax.tree.map(lambda table: table[pair], memory.entries), x)
    # Before the first action there is no step: an index that is out of range is dropped.
    where = (memory.before, jnp.where(seen.has_action > 0, seen.action, actions))
    put = lambda table, new: table.at[where].set(new, mode="drop")  # noqa: E731
    change = seen.has_action * (features - memory.features[pair]) / (observations * actions)
    here, mdp = jnp.argmax(seen.obs), memory.mdp
    if plan is not None:
        told = SeenStep(where, seen.reward, features, here, seen.episode_end)
        mdp = plan.learn(params["plan"], cast(RememberedMDP, mdp), told)
    memory = memory._replace(
        entries=jax.tree.map(put, memory.entries, carry),
        features=put(memory.features, features),
        mean=memory.mean + change,
        before=here.astype(jnp.int32),
        mdp=mdp,
    )
    return memory, Known(memory.features[here], memory.mean, here, mdp)


def _pairs(env: LifetimeEnv) -> tuple[int, int]:
    """How many observations and actions there are; a ``ValueError`` where they are of another kind."""
    action_space = env.action_space(env.default_params)
    if not isinstance(action_space, spaces.Discrete):
        raise ValueError(f"env: action space is {action_space}; a memory for each action needs Discrete")
    with jax.ensure_compile_time_eval():
        obs = env.split_observation(env.reset_env(jax.random.key(0), env.default_params)[0]).obs
        if jnp.sum(obs == 1) != 1 or jnp.sum(obs != 0) != 1:
            raise ValueError("env: its first observation is not one-hot; a memory for each observation needs it to be")
    return obs.shape[0], action_space.n
