"""Errors of models: of one that knows, of one that says nothing, and the units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.models import DynamicsModel, OnlineModel
from jaxmeta.models.dynamics import Prediction
from jaxmeta.networks import Gaussian

STEPS = 8


@pytest.fixture(scope="module")
def acted():
    """Random actions in six tasks: two episodes of eight steps, actions turned by the task's angle."""
    tasks = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation-rotated", horizon=STEPS, angle=1.0), 2)
    batch = jaxmeta.sample_tasks(jax.random.key(0), tasks, 6)
    learner = jaxmeta.learners.uniform_learner(tasks.env)

    def act(key, task):
        return jaxmeta.data.collect_episodes(key, tasks.env, task, learner, (), (), episodes=1, horizon=2 * STEPS)[0]

    return tasks.env, jax.jit(jax.vmap(act))(jax.random.split(jax.random.key(1), 6), batch)


def believed(env, move):
    """A model that predicts ``move(known, action)``; ``known`` is 1 from the second observation on."""

    def predict(params, obs, action):
        mean = jnp.append(move(params, action), 0.0)
        return Prediction(Gaussian(mean, jnp.full(3, jnp.log(0.05))), jnp.zeros(()))

    nothing = lambda *arguments: None  # noqa: E731
    model = DynamicsModel(nothing, predict, nothing, nothing, nothing, lambda params, obs: obs)
    return OnlineModel(
        nothing,
        lambda: jnp.zeros(()),
        lambda params, memory, obs: env.split_observation(obs).has_action,
        lambda params, memory: (model, memory),
        nothing,
        model,
    )


def test_nothing_predicted_scores_about_one_and_only_what_stays_in_an_episode_counts(acted):
    env, trajectories = acted
    found = jaxmeta.studies.model_errors.model_errors(
        env, believed(env, lambda known, action: jnp.zeros(2)), None, trajectories, horizon=3
    )
    # The last step of each episode leads to the next one, and is not seen.
    assert found["steps"] == 6 * 2 * (STEPS - 1)
    obs = np.asarray(trajectories.obs[:, 0, :, :2]).reshape(6, 2, STEPS, 2)
    for name, ahead in (("one_step", 1), ("horizon", 3)):
        change = obs[:, :, ahead:] - obs[:, :, :-ahead]
        by_hand = np.sqrt(np.mean(change.reshape(-1, 2) ** 2 / change.reshape(-1, 2).var(axis=0)))
        np.testing.assert_allclose(found["before"][name], by_hand, rtol=1e-4)
        assert found["after"] == found["before"]
    change = (obs[:, :, 1:] - obs[:, :, :-1]).reshape(-1, 2)
    for level, width in ((50, 0.6745), (90, 1.6449)):
        np.testing.assert_allclose(
            found["after"][f"coverage_{level}"], np.mean(np.abs(change) < width * 0.05), atol=1e-6
        )


def test_what_is_known_after_the_first_observation_counts_only_after_adaptation(acted):
    env, trajectories = acted
    # A model of no turn at all, which knows how far an action reaches once it has seen one.
    found = jaxmeta.studies.model_errors.model_errors(
        env, believed(env, lambda known, action: 0.1 * known * action), None, trajectories
    )
    assert found["after"]["one_step"] < 0.75 * found["before"]["one_step"]
    assert np.isnan(found["after"]["horizon"]), "ten steps do not fit into an episode of eight"
    assert found["after"]["reward"] == pytest.approx(found["before"]["reward"])


def test_bad_input_is_one_line(acted, navigation):
    env, trajectories = acted
    online = believed(env, lambda known, action: jnp.zeros(2))
    for horizon in (0, 17):
        with pytest.raises(ValueError, match=f"^horizon: got {horizon}; must be from 1 to the lifetime's 16 steps$"):
            jaxmeta.studies.model_errors.model_errors(env, online, None, trajectories, horizon=horizon)
    with pytest.raises(ValueError, match="env: not one of lifetimes"):
        jaxmeta.studies.model_errors.model_errors(navigation.env, online, None, trajectories)
