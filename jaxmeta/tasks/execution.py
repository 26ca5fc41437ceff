"""Order execution: sell many shares in little time, in a market whose impact and volatility are not known."""

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least, check_positive, check_ranges, check_weights
from jaxmeta.references import execution_cost, schedule_decay, sold_share
from jaxmeta.tasks import drawing
from jaxmeta.tasks.controllers import Controller
from jaxmeta.tasks.environments import ContinuousEnvironment, TimedState, registered
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, TaskDistribution

UNBOUNDED = float(jnp.finfo(jnp.float32).max)


@struct.dataclass
class ExecutionState(TimedState):
    """What is still held, in millions of shares; and what the last step showed: both in $ a share."""

    held: Array
    price_change: Array
    slippage: Array


@struct.dataclass
class ExecutionParams(environment.EnvParams):
    """The task: ``volatility``, ``permanent`` and ``temporary`` impact; others are part of the family's definition.

    Quantities are in millions of shares, money is in millions of $, time in days. By default the example of Almgren and
    Chriss 2001 (their table 1), in more intervals.
    """

    volatility: float = 0.95
    permanent: float = 0.25
    temporary: float = 2.5
    risk_aversion: float = 1.0
    interval: float = 0.25
    max_steps_in_episode: int = 20


@registered
class OrderExecution(ContinuousEnvironment):
    """A million shares are to be sold within the horizon; an action is the share of the rest that is sold in a step.

    The last step sells what is left. The observation is the share of the time that is left, the rest, and of the last
    step the change of the price and how far below it the shares were sold.
    """

    @property
    def default_params(self) -> ExecutionParams:
        return ExecutionParams()

    def first_state(self, key, params):
        zero, held = jnp.zeros((), jnp.float32), jnp.ones((), jnp.float32)
        return ExecutionState(time=jnp.zeros((), jnp.int32), held=held, price_change=zero, slippage=zero)

    def transition(self, key, state, action, params):
        last = state.time + 1 >= params.max_steps_in_episode
        sold = state.held * jnp.where(last, 1.0, jnp.clip(action[0], 0.0, 1.0))
        held = state.held - sold
        noise = params.volatility * jnp.sqrt(params.interval) * jax.random.normal(key)
        price_change = noise - params.permanent * sold
        slippage = params.temporary * sold / params.interval
        # The shortfall, step by step (Almgren and Chriss 2001, equation 3): what is held gains by the price's change,
        # what is sold loses by the slippage.
        risk = params.risk_aversion * params.volatility**2 * params.interval * held**2
        reward = held * price_change - sold * slippage - risk
        next_state = ExecutionState(time=state.time + 1, held=held, price_change=price_change, slippage=slippage)
        return next_state, reward.astype(jnp.float32)

    def get_obs(self, state, params=None, key=None):
        params = self.default_params if params is None else params
        left = 1.0 - state.time / params.max_steps_in_episode
        return jnp.stack([left, state.held, state.price_change, state.slippage]).astype(jnp.float32)

    def action_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (1,), jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        low = jnp.array([0.0, 0.0, -UNBOUNDED, 0.0], jnp.float32)
        high = jnp.array([1.0, 1.0, UNBOUNDED, UNBOUNDED], jnp.float32)
        return spaces.Box(low, high, (4,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        number = spaces.Box(-UNBOUNDED, UNBOUNDED, (), jnp.float32)
        return {"held": spaces.Box(0.0, 1.0, (), jnp.float32), "price_change": number, "slippage": number}

    def render(self, state, params):
        """The best schedule of one task beside equal slices, and one state."""
        steps = int(params.max_steps_in_episode)
        best = best_schedule(params, steps)
        lines = {"best": best, "equal slices": jnp.linspace(1.0, 0.0, steps + 1)}
        return drawing.figure(drawing.curves, lines, (state.time, state.held), what="shares held", time="step")


def market(task: ExecutionParams) -> dict[str, Array]:
    """A task as ``jaxmeta.references`` takes it."""
    names = ("volatility", "permanent", "temporary", "risk_aversion", "interval")
    return {name: getattr(task, name) for name in names}


def best_schedule(task: ExecutionParams, horizon: int) -> Array:
    """What the best policy that knows the task holds, x_0, …, x_N, ``[N + 1]``."""
    shares = sold_share(schedule_decay(**market(task)), jnp.arange(horizon, 0, -1))
    return jnp.concatenate([jnp.ones(1), jnp.cumprod(1.0 - shares)])


def equal_slices(*, horizon: int = 20) -> Controller:
    """Baseline: the same quantity in every step, known as TWAP."""
    return _by_time(lambda task: jnp.zeros(()), horizon)


def told_schedule(*, horizon: int = 20) -> Controller:
    """Told the task: the best schedule."""
    return _by_time(lambda task: schedule_decay(**market(task)), horizon)


def _by_time(decay, horizon: int) -> Controller:
    def act_fn(key: Key, memory: Array, obs: Array) -> Array:
        # Actions of the family are scaled to [−1, 1].
        return 2.0 * sold_share(memory, jnp.round(obs[0] * horizon))[None] - 1.0

    return Controller(decay, act_fn)


def order_execution(
    *,
    horizon: int = 20,
    days: float = 5.0,
    risk_aversion: float = 1.0,
    volatility: tuple[float, float] = (0.3, 1.5),
    permanent: tuple[float, float] = (0.05, 0.4),
    temporary: tuple[float, float] = (0.5, 5.0),
) -> TaskDistribution:
    """Sell a million shares within ``days``: fast, at bad prices, or slowly, at a risk (Almgren and Chriss 2001).

    Selling moves the price for good by ``permanent`` times the quantity, and lowers what a step's shares are sold at by
    ``temporary`` times the rate. In between the price is a random walk. The rewards of an episode sum up to minus the
    implementation shortfall, less ``risk_aversion`` times the variance of a schedule's cost, in millions of $ (their
    equations 3 to 8); each quantity is drawn uniformly from its range. ``optimum`` is their closed form.

    The model leaves out: the half spread, which costs every seller the same; drift; impact that is not linear, that
    fades, or that is noisy; volumes that change with the time of day; buying back; and limit orders.

    Args:
      horizon: steps, N ≥ 1; the last one sells what is left.
      days: of trading, > 0.
      risk_aversion: λ ≥ 0, per million $.
      volatility: range of σ, $ a share and √day.
      permanent: range of γ, $ a share, for a million shares.
      temporary: range of η, $ a share, for a million shares a day; the lowest is more than half of the highest γ times
        the days of a step.
    """
    check_least(1, horizon=horizon)
    check_positive(days=days)
    check_weights(risk_aversion=risk_aversion)
    ranges = {"volatility": volatility, "permanent": permanent, "temporary": temporary}
    check_ranges(**ranges)
    interval = days / horizon
    least = 0.5 * permanent[1] * interval
    if isinstance(least, float) and temporary[0] <= least:
        raise ValueError(f"temporary: got {temporary}; must be above {least:g}, half the permanent impact of a step")
    low, high = jnp.array(list(ranges.values()), jnp.float32).T

    def sample_fn(key: Key) -> ExecutionParams:
        drawn = dict(zip(ranges, jax.random.uniform(key, low.shape, jnp.float32, low, high), strict=True))
        known = {"risk_aversion": risk_aversion, "interval": interval, "max_steps_in_episode": horizon}
        return ExecutionParams(**drawn, **known)

    def optimum_fn(task: ExecutionParams) -> Array:
        return -execution_cost(best_schedule(task, horizon), **market(task))

    by_hand = {"equal slices": equal_slices(horizon=horizon), "told schedule": told_schedule(horizon=horizon)}
    return from_gymnax(OrderExecution(), sample_fn, horizon=horizon, optimum=optimum_fn, controllers=by_hand)
