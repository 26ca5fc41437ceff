"""MB-MPO and MAML with a model: imagined tasks, what is kept, what adapts, and a probe that the model has to solve."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.mb_mpo import draw_starts, experience_of
from jaxmeta.data import append, empty_buffer
from jaxmeta.learners.imagination import key_from
from jaxmeta.models import ImaginedTask, imagined_tasks
from jaxmeta.objectives import replay_adaptation

HORIZON = 5


@pytest.fixture(scope="module")
def tasks():
    return jaxmeta.tasks.make("navigation-wind", horizon=HORIZON)


@pytest.fixture(scope="module")
def model(tasks):
    return jaxmeta.models.dynamics_model_for(tasks.env, hidden=(8,))


def small(tasks, model, **settings):
    policy = jaxmeta.networks.policy_for(tasks.env, hidden=(8,))
    sizes = {"model_updates": 3, "model_batch": 8, "batch_tasks": 2, "capacity": 4, "imagined_episodes": 3}
    return jaxmeta.model_maml(tasks, model=model, policy=policy, episodes=2, **{**sizes, **settings})


@pytest.fixture(scope="module")
def hybrid(tasks, model):
    """The algorithm, its state after a meta-step, what that reported, and one lifetime adapted with it."""
    algorithm = small(tasks, model, imagined_updates=2, imagined_steps=2)
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, 4)
    start = jax.jit(algorithm.init)(jax.random.key(0))
    state, info = jax.jit(algorithm.step)(jax.random.key(2), start, batch)
    task = jax.tree.map(lambda x: x[0], batch)
    phi, lifetime = jax.jit(algorithm.adapt)(jax.random.key(3), state.theta, task)
    return algorithm, start, state, info, phi, lifetime


def test_an_imagined_task_starts_where_it_is_told_and_moves_as_its_model(tasks, model):
    """A model whose weights are 0 predicts the mean of its scale, with the least deviation its bounds allow."""
    family = imagined_tasks(tasks, model, starts=2, horizon=4)
    params = jax.tree.map(jnp.zeros_like, jax.jit(model.init)(jax.random.key(0)))
    scale = {**params["scale"], "inputs": params["scale"]["inputs"]._replace(deviation=jnp.ones(4))}
    scale["targets"] = params["scale"]["targets"]._replace(
        mean=jnp.array([1.0, -2.0, 5.0]), deviation=jnp.full(3, 1e-6)
    )
    params |= {"scale": scale, "box": {"low": jnp.full(2, -3.5), "high": jnp.full(2, 3.5)}}
    starts = jnp.array([[0.0, 0.0], [1.0, 1.0]])
    task = ImaginedTask(model=params, starts=starts, max_steps_in_episode=jnp.int32(4))
    reset, move = jax.jit(family.env.reset_env), jax.jit(family.env.step_env)
    seen = [reset(key, task)[0].tolist() for key in jax.random.split(jax.random.key(0), 20)]
    assert {tuple(each) for each in seen} == {(0.0, 0.0), (1.0, 1.0)}
    obs, state = reset(jax.random.key(0), task)
    start = obs[0]
    for step in range(1, 4):
        obs, state, reward, _, _ = move(jax.random.key(step), state, jnp.zeros(2), task)
    # Kept in the box: three moves of 1 and −2 would lead beyond it.
    np.testing.assert_allclose(obs, [jnp.minimum(start + 3.0, 3.5), -3.5], atol=1e-3)
    np.testing.assert_allclose(reward, 5.0, atol=1e-3)
    assert not bool(family.env.is_truncated(state, task))
    _, state, _, _, _ = move(jax.random.key(9), state, jnp.zeros(2), task)
    assert bool(family.env.is_truncated(state, task))
    # Log-odds of 0: every other step ends.
    step = jax.jit(jax.vmap(lambda key: family.env.step_env(key, state, jnp.zeros(2), task)[3]))
    assert 30 < int(jnp.sum(step(jax.random.split(jax.random.key(1), 100)))) < 70


def test_a_meta_step_moves_policy_and_model_and_counts_real_steps_only(hybrid):
    _, start, state, info, _, _ = hybrid
    assert float(info["env_steps"]) == 4 * 2 * 2 * HORIZON
    assert float(info["skipped"]) == 0.0
    for part in ("policy", "model"):
        moved = jax.tree.map(lambda new, old: jnp.max(jnp.abs(new - old)), state.theta[part], start.theta[part])
        assert max(float(x) for x in jax.tree.leaves(moved)) > 0
    chex.assert_tree_all_finite(info)
    assert set(info) >= {"model_loss_pre", "model_loss_post", "imagined_return", "return_pre", "return_post"}


def test_replaying_the_adaptation_imagines_the_same(hybrid):
    algorithm, _, state, _, phi, lifetime = hybrid
    again = jax.jit(lambda theta: replay_adaptation(algorithm.learner, theta, lifetime))(state.theta)
    chex.assert_trees_all_close(phi, again, rtol=1e-5, atol=1e-6)
    batch = jax.tree.map(lambda x: x[0], lifetime.trajectory)
    other = batch._replace(reward=batch.reward + 1e-3)
    assert not np.array_equal(*(jax.random.key_data(key_from(each)) for each in (batch, other)))


def test_imagined_steps_count_by_their_weight(tasks, model, hybrid):
    """At weight 0 adaptation is that of MAML; the way to a whole step is straight."""
    _, _, state, _, _, lifetime = hybrid
    batch = jax.tree.map(lambda x: x[0], lifetime.trajectory)

    @jax.jit
    def adapted(theta, weight):
        learner = small(tasks, model, imagined_updates=0, imagined_steps=1, imagined_weight=weight).learner
        return learner.absorb(theta, learner.begin(theta), batch).policy.params

    none, half, whole = (adapted(state.theta, weight) for weight in (0.0, 0.5, 1.0))
    plain = jaxmeta.maml(
        tasks, policy=jaxmeta.networks.policy_for(tasks.env, hidden=(8,)), inner_rate=0.1, episodes=2
    ).learner
    without_a_model = jax.jit(lambda theta: plain.absorb(theta, plain.begin(theta), batch).params)
    chex.assert_trees_all_close(none, without_a_model(state.theta["policy"]), rtol=1e-6, atol=1e-8)
    chex.assert_trees_all_close(half, jax.tree.map(lambda a, b: 0.5 * (a + b), none, whole), rtol=1e-4, atol=1e-6)
    moved = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), none, whole)
    assert max(float(x) for x in jax.tree.leaves(moved)) > 1e-4


def test_no_derivative_of_the_policy_s_loss_reaches_the_model(hybrid):
    algorithm, _, state, _, _, lifetime = hybrid
    objective = jaxmeta.objectives.post_adaptation(algorithm.learner, jaxmeta.objectives.likelihood_ratio)
    gradient = jax.jit(jax.grad(lambda theta: objective(theta, lifetime)[0]))(state.theta)
    assert float(optax.global_norm(gradient["model"])) == 0.0
    assert float(optax.global_norm(gradient["policy"])) > 0.0


def test_the_model_learns_to_adapt(tasks):
    """Winds differ by task and cannot be seen: without adaptation nobody knows where a move leads."""
    model = jaxmeta.models.dynamics_model_for(tasks.env, hidden=(16,), probabilistic=False)
    settings = {"model_updates": 60, "model_batch": 16, "batch_tasks": 8, "capacity": 40, "model_rate": 0.1}
    algorithm = small(
        tasks, model, imagined_updates=0, imagined_steps=0, **settings, model_optimizer=optax.adam(1e-2), model_steps=5
    )
    run = jax.jit(lambda key: jaxmeta.meta_train(key, algorithm, tasks, iterations=8, meta_batch=8)[1])
    info = run(jax.random.key(0))
    constant = 1.5 * jnp.log(2.0 * jnp.pi)
    before, after = (info[name][-1] - constant for name in ("model_loss_pre", "model_loss_post"))
    assert float(after) < 0.6 * float(before)


def test_an_ensemble_s_members_count_tasks_each_in_their_own_way(tasks, model):
    policy = jaxmeta.networks.policy_for(tasks.env, hidden=(8,))
    sizes = {"episodes": 3, "members": 2, "updates": 2, "epochs": 2, "batch": 16, "starts": 4, "capacity": 8}
    algorithm = jaxmeta.mb_mpo(tasks, model=model, policy=policy, **sizes)
    start = jax.jit(algorithm.init)(jax.random.key(0))
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, 3)
    state, info = jax.jit(algorithm.step)(jax.random.key(2), start, batch)
    chex.assert_tree_all_finite(info)
    assert float(info["env_steps"]) == 3 * 2 * HORIZON
    shares = np.asarray(state.opt_state.buffer.data.shares)
    # A ring of eight has room for two rounds of three, spread over it; this is the first.
    assert (shares[[0, 2, 5]] > 0).all()
    assert len(np.unique(shares[[0, 2, 5]])) == 6
    np.testing.assert_array_equal(shares[[1, 3, 4, 6, 7]], 0.0)
    first, second = (jax.tree.map(lambda x, k=k: x[k], state.opt_state.carried.models["scale"]) for k in (0, 1))
    assert not np.allclose(first["targets"].mean, second["targets"].mean)
    assert not np.allclose(*(jax.tree.leaves(each.theta)[0] for each in (start, state)))


def test_imagined_episodes_start_where_real_ones_did(hybrid):
    """Three stored tasks in a ring of five: nothing is drawn from the two empty places."""
    lifetime = hybrid[-1]
    first = experience_of(lifetime, jnp.ones(()))
    np.testing.assert_array_equal(first.starts, lifetime.trajectory.obs[:, :, 0].reshape(-1, 2))
    items = [first._replace(starts=first.starts + shift) for shift in (1.0, 2.0, 3.0)]
    buffer = append(empty_buffer(first, 5), jax.tree.map(lambda *x: jnp.stack(x), *items), jnp.ones(3))
    drawn = draw_starts(jax.random.key(0), buffer, (20, 4))
    assert drawn.shape == (20, 4, 2)
    assert set(np.unique(drawn)) == {1.0, 2.0, 3.0}


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        ("mb_mpo", {"members": 1}, "members: got 1; must be at least 2"),
        ("mb_mpo", {"updates": 0}, "updates: got 0; must be at least 1"),
        ("mb_mpo", {"starts": 0}, "starts: got 0; must be at least 1"),
        ("model_maml", {"imagined_steps": -1}, "imagined_steps: got -1; must be at least 0"),
        ("model_maml", {"imagined_weight": -1.0}, "imagined_weight: got -1.0; must be at least 0"),
        ("model_maml", {"imagined_horizon": 0}, "horizon: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_one_line(tasks, algorithm, settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        getattr(jaxmeta, algorithm)(tasks, **settings)
