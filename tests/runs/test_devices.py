"""A run with replay on four simulated devices: its ring is shared out, it is resumed on two, and tasks evaluated."""

import json
import subprocess
import sys

RUN = """
import json, sys
from pathlib import Path

import jax
import numpy as np
import optax

jax.config.update("jax_num_cpu_devices", 4)
import jaxmeta
from jaxmeta.over_tasks import task_mesh
from jaxmeta.runs.training import train_run
from jaxmeta.runs.evaluate import in_tasks, random_return

small = {"hidden": (8,)}
tasks = jaxmeta.tasks.make("cartpole", horizon=10)
policy = jaxmeta.networks.policy_for(tasks.env, **small)
optimizer = optax.sgd(0.01)
sizes = {"capacity": 24, "batch_tasks": 4, "batch": 8, "updates": 2, "inner_updates": 1, "inner_batch": 8}
algorithm = jaxmeta.maml_q(tasks, policy=policy, optimizer=optimizer, **sizes)
shared = {"seeds": [0, 1], "meta_batch": 8}


def train(name, iterations, **how):
    directory = Path(sys.argv[1]) / name
    directory.mkdir(exist_ok=True)
    return train_run(directory, algorithm, tasks, iterations=iterations, **shared, **how).state


def weights(state):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.meta.theta)])


four = train("many", 2, devices=4)
two = train("many", 4, devices=2, resume=True)
one = train("one", 4, devices=1)
key, batch = jax.random.key(0), jaxmeta.sample_tasks(jax.random.key(1), tasks, 6)
returned = lambda key, theta, task: theta + random_return(key, tasks, task)
alone = in_tasks(returned, key, batch)(np.float32(1.0))
with jax.set_mesh(task_mesh(4)):
    placed = in_tasks(lambda key, theta, task: jax.lax.axis_index("tasks"), key, batch)(None)
    shared_out = in_tasks(returned, key, batch)(np.float32(1.0))
obs = [state.meta.opt_state.buffer.data.obs for state in (four, two, one)]
print(json.dumps({
    "parts": [[len(x.addressable_shards), x.addressable_shards[0].data.shape[1]] for x in obs],
    "evaluated on": placed.tolist(),
    "same returns": bool(np.allclose(alone, shared_out)),
    "same ring": bool(np.allclose(obs[1], obs[2], atol=1e-5)),
    "moved": float(np.max(np.abs(weights(four) - weights(two)))),
    "difference": float(np.max(np.abs(weights(one) - weights(two)))),
}))
"""


def test_a_run_on_four_devices_is_resumed_on_two_and_is_that_of_one(tmp_path):
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    # Two seeds on four devices: each seed's ring is shared out over two; on two devices each has the ring of its seed.
    assert found["parts"] == [[4, 12], [2, 24], [1, 24]]
    assert found["same ring"]
    # Six tasks on four devices: two on each, filled up from the first.
    assert found["evaluated on"] == [0, 0, 1, 1, 2, 2]
    assert found["same returns"]
    assert found["difference"] < 1e-3 * found["moved"]
