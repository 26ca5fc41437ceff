import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta


def test_gymnax_finds_it_and_its_own_step_keeps_the_task_across_resets():
    env, params = gymnax.make("Navigation-jaxmeta")
    params = params.replace(goal=jnp.array([0.05, 0.0]))
    obs, state = env.reset(jax.random.key(0), params)
    np.testing.assert_array_equal(obs, [0, 0])
    obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, jnp.array([0.05, 0.0]), params)
    assert bool(terminated)
    assert not bool(truncated)
    np.testing.assert_allclose(reward, 0.0, atol=1e-6)
    np.testing.assert_array_equal(obs, [0, 0])
    np.testing.assert_allclose(info["final_observation"], [0.05, 0.0])


def _with_goal(*goal):
    env, params = gymnax.make("Navigation-jaxmeta")
    return env, params.replace(goal=jnp.array(goal))


def test_moves_are_clipped_and_rewarded_by_the_distance_after_the_move():
    env, params = _with_goal(0.3, 0.4)
    _, state = env.reset_env(jax.random.key(0), params)
    obs, state, reward, terminated, _ = env.step_env(jax.random.key(0), state, jnp.array([5.0, -0.03]), params)
    np.testing.assert_allclose(obs, [0.1, -0.03], rtol=1e-6)
    np.testing.assert_allclose(reward, -np.hypot(0.2, 0.43), rtol=1e-6)
    assert not bool(terminated)


@pytest.mark.parametrize(("gap", "ends"), [((0.009, 0.009), True), ((0.011, 0.0), False), ((0.0, 0.011), False)])
def test_it_ends_only_when_both_coordinates_are_near(gap, ends):
    env, params = _with_goal(0.05, 0.05)
    _, state = env.reset_env(jax.random.key(0), params)
    *_, terminated, _ = env.step_env(jax.random.key(0), state, params.goal - jnp.array(gap), params)
    assert bool(terminated) == ends


def test_a_policy_acts_in_the_unit_box(navigation):
    task = navigation.sample(jax.random.key(0))
    _, state = navigation.env.reset_env(jax.random.key(0), task)
    obs, *_ = navigation.env.step_env(jax.random.key(0), state, jnp.array([1.0, -3.0]), task)
    np.testing.assert_allclose(obs, [0.1, -0.1], rtol=1e-6)
    assert navigation.env.action_space(task).shape == (2,)


def test_goals_fill_the_square():
    goals = jaxmeta.sample_tasks(jax.random.key(0), jaxmeta.tasks.make("navigation"), 20_000).goal
    assert float(jnp.abs(goals).max()) <= 0.5
    np.testing.assert_allclose(goals.mean(0), 0.0, atol=0.01)
    np.testing.assert_allclose(goals.std(0), 1 / np.sqrt(12), atol=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon": 0}, "horizon: got 0; must be at least 1"),
        ({"goal_range": -1.0}, "goal_range: got -1.0; must be positive"),
        ({"goal_rage": 1.0}, r"goal_rage: unknown setting; did you mean goal_range\?"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        jaxmeta.tasks.make("navigation", **settings)


def test_an_unknown_family_names_the_near_ones():
    with pytest.raises(ValueError, match=r"^family: unknown name 'navigaton'; did you mean navigation") as caught:
        jaxmeta.tasks.make("navigaton")
    assert "\n" not in str(caught.value)
