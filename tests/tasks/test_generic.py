import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment, spaces

import jaxmeta
from jaxmeta import registry


def test_cartpole_tasks_keep_derived_parameters_consistent_and_differ():
    tasks = jaxmeta.tasks.make("cartpole")
    batch = jaxmeta.sample_tasks(jax.random.key(0), tasks, 100)
    np.testing.assert_allclose(batch.total_mass, batch.masscart + batch.masspole, rtol=1e-6)
    np.testing.assert_allclose(batch.polemass_length, batch.masspole * batch.length, rtol=1e-6)
    assert float(batch.masscart.min()) >= 0.5
    assert float(batch.masscart.max()) <= 2.0
    assert float(batch.force_mag.std()) > 1.0
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(batch))


def test_a_physical_parameter_changes_the_motion():
    tasks = jaxmeta.tasks.make("cartpole")
    one, other = (jax.tree.map(lambda x, i=i: x[i], jaxmeta.sample_tasks(jax.random.key(0), tasks, 2)) for i in (0, 1))
    _, state = tasks.env.reset_env(jax.random.key(1), one)
    moves = [tasks.env.step_env(jax.random.key(2), state, 1, task)[0] for task in (one, other)]
    assert not np.allclose(moves[0], moves[1])


def test_any_gymnax_environment_becomes_a_family_and_bounded_actions_are_scaled():
    env, params = gymnax.make("Pendulum-v1")
    tasks = jaxmeta.tasks.from_gymnax(
        env, lambda key: params.replace(g=jax.random.uniform(key, (), minval=5.0, maxval=15.0))
    )
    assert tasks.horizon == 200
    space = tasks.env.action_space(tasks.env.default_params)
    assert (space.low, space.high) == (-1.0, 1.0)
    task = tasks.sample(jax.random.key(0))
    _, state = tasks.env.reset_env(jax.random.key(1), task)
    scaled = tasks.env.step_env(jax.random.key(2), state, jnp.array([1.0]), task)[0]
    np.testing.assert_allclose(scaled, env.step_env(jax.random.key(2), state, jnp.array([2.0]), task)[0], rtol=1e-6)


def test_what_is_not_a_family_is_refused_in_one_line():
    env, params = gymnax.make("CartPole-v1")
    with pytest.raises(TypeError, match=r"^env: got tuple; must be a gymnax Environment"):
        jaxmeta.tasks.from_gymnax((env, params), lambda key: params)
    with pytest.raises(TypeError, match=r"^sample: returns"):
        jaxmeta.tasks.from_gymnax(env, lambda key: {"length": 1.0})
    with pytest.raises(ValueError, match=r"^horizon: got 0; must be at least 1$"):
        jaxmeta.tasks.from_gymnax(env, lambda key: params, horizon=0)
    some = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 2), params)
    assert jaxmeta.tasks.from_gymnax(env, lambda key: params, every=some).every.length.shape == (2,)
    with pytest.raises(TypeError, match=r"^every_test: got PyTreeDef"):
        jaxmeta.tasks.from_gymnax(env, lambda key: params, every_test=[params])
    for wrong in (params, some.replace(length=jnp.ones(3)), jax.tree.map(lambda leaf: leaf[:0], some)):
        with pytest.raises(
            ValueError, match=r"^every: must have leaves \[N, \.\.\.\], N tasks as sample returns them$"
        ):
            jaxmeta.tasks.from_gymnax(env, lambda key: params, every=wrong)
    with pytest.raises(ValueError, match="action space"):
        jaxmeta.tasks.scale_actions(env)
    with pytest.raises(ValueError, match=r"^force: got \(3.0, 1.0\); must be 0 < low <= high$"):
        jaxmeta.tasks.make("cartpole", force=(3, 1))


@struct.dataclass
class State(environment.EnvState):
    x: jax.Array


@struct.dataclass
class Params(environment.EnvParams):
    goal: float = 0.0
    level: jax.Array = struct.field(default_factory=lambda: jax.random.key(0))
    max_steps_in_episode: int = 4


class Walk(environment.Environment):
    """``x`` moves by the action; ``see(x)`` is observed. Settings bend it in ways that environments really have."""

    def __init__(self, begin=0.0, see=lambda x: x[None], low=-1.0, ended=None, pay=lambda x: -jnp.abs(x), dtype=None):
        super().__init__()
        self.begin, self.see, self.low, self.ended, self.pay, self.dtype = begin, see, low, ended, pay, dtype

    @property
    def default_params(self):
        return Params()

    def reset_env(self, key, params):
        x = jnp.asarray(self.begin)
        return self.see(x), State(time=0, x=x)

    def step_env(self, key, state, action, params):
        x = state.x + action[0]
        ended = jnp.zeros((), bool) if self.ended is None else self.ended
        return self.see(x), State(time=state.time + 1, x=x), self.pay(x), ended, {}

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode

    def action_space(self, params=None):
        return spaces.Box(self.low, -self.low, (1,), jnp.float32)

    def observation_space(self, params=None):
        return spaces.Box(0, 255, (1,), self.dtype or jnp.float32)


def walked(env, wrap=lambda family: family):
    """Observations of an episode whose actions are all 0.3."""
    family = wrap(jaxmeta.from_gymnax(env, lambda key: Params(goal=jax.random.uniform(key), level=key)))
    learner = jaxmeta.learners.uniform_learner(family.env)
    always = learner._replace(act=lambda key, theta, phi, obs: (jnp.full(1, 0.3), jnp.zeros(()), jnp.zeros(()), phi))
    task, sizes = family.sample(jax.random.key(0)), {"episodes": 1, "horizon": family.horizon}
    collect = lambda key: jaxmeta.data.collect_episodes(key, family.env, task, always, {}, always.begin({}), **sizes)  # noqa: E731
    return collect(jax.random.key(1))[0]


@pytest.mark.parametrize("wrap", [lambda family: family, lambda family: jaxmeta.as_lifetime(family, 1)])
def test_a_state_has_the_type_of_the_steps_not_of_the_reset(wrap):
    """It begins as the whole number 0, and moves by 0.3."""
    np.testing.assert_allclose(walked(Walk(begin=0), wrap).obs[0, :, 0], [0.0, 0.3, 0.6, 0.9], rtol=1e-6)
    twice = walked(Walk(begin=0), lambda family: jaxmeta.tasks.repeat_actions(family, 2))
    np.testing.assert_allclose(twice.obs[0, :, 0], [0.0, 0.6], rtol=1e-6)


def test_without_from_gymnax_a_state_that_changes_its_type_is_refused_by_name():
    family = jaxmeta.TaskDistribution(Walk(begin=0), lambda key: Params(), 4)
    learner = jaxmeta.learners.uniform_learner(family.env)
    with pytest.raises(
        ValueError, match=r"^env: state.x is int32 and becomes float32; jaxmeta.from_gymnax\(env, ...\)"
    ):
        jaxmeta.data.collect_episodes(
            jax.random.key(0), family.env, Params(), learner, {}, learner.begin({}), episodes=1, horizon=4
        )


@pytest.mark.parametrize("dtype", [jnp.bool_, jnp.uint8])
def test_flags_and_pixels_are_seen_as_numbers_that_can_be_subtracted(dtype):
    env = Walk(see=lambda x: (x > 0.5)[None].astype(dtype), dtype=dtype)
    obs = walked(env).obs
    assert obs.dtype == jnp.float32
    np.testing.assert_array_equal(jnp.diff(-obs[0, :, 0]), [0.0, -1.0, 0.0])
    assert jaxmeta.from_gymnax(env, lambda key: Params()).env.observation_space(Params()).dtype == jnp.float32


@pytest.mark.parametrize("low", [-jnp.inf, -float(jnp.finfo(jnp.float32).max)])
def test_actions_without_bounds_are_taken_as_they_are(low):
    np.testing.assert_allclose(walked(Walk(low=low)).obs[0, :, 0], [0.0, 0.3, 0.6, 0.9], rtol=1e-6)


def test_an_end_may_be_a_python_number():
    assert float(walked(Walk(ended=0.0)).mask.sum()) == 4.0
    assert float(walked(Walk(ended=1)).mask.sum()) == 1.0


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Walk(ended=jnp.zeros(1, bool)), r"^env: step_env's end has shape \(1,\); must be a scalar$"),
        (Walk(pay=lambda x: x[None]), r"^env: step_env's reward has shape \(1,\); must be a scalar$"),
        (Walk(begin=jnp.zeros(2)), r"^env: step_env's reward has shape \(2,\); must be a scalar$"),
    ],
)
def test_what_an_environment_returns_is_checked_where_it_comes_in(env, message):
    with pytest.raises(ValueError, match=message):
        jaxmeta.from_gymnax(env, lambda key: Params())


def test_a_key_can_be_the_task():
    family = jaxmeta.from_gymnax(Walk(), lambda key: Params(level=key))
    revealed = jaxmeta.reveal_task(family)
    tasks = [revealed.sample(jax.random.key(seed)) for seed in (1, 2)]
    one, other = (revealed.env.reset_env(jax.random.key(0), task)[0] for task in tasks)
    assert one.shape == other.shape == (3,)
    assert not np.array_equal(one[1:], other[1:])


@pytest.mark.parametrize("name", registry.families())
def test_families_can_be_built_inside_of_jit(name):
    """As in a sweep over settings of a family."""

    def reset(key):
        family = jaxmeta.tasks.make(name)
        return family.env.reset_env(key, family.sample(key))[0]

    assert jax.eval_shape(reset, jax.random.key(0)).dtype == jnp.float32
