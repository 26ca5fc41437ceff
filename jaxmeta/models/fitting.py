"""How models of dynamics learn: a fit with early stopping in one program, and a few gradient steps in a new task."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import check_least
from jaxmeta.data import Transitions, places_at
from jaxmeta.mixed_mode import inner_gradient
from jaxmeta.models.dynamics import DynamicsModel
from jaxmeta.outer import adam_updates
from jaxmeta.over_tasks import Devices, by_all_devices
from jaxmeta.parts import built, part
from jaxmeta.types import Array, Info, Key, PyTree

_VALIDATION = 2048  # held-out transitions, at most, that decide when a fit ends


def fit_model(
    key: Key,
    model: DynamicsModel,
    params: PyTree,
    data: Transitions,
    weight: Array,
    *,
    optimizer: optax.GradientTransformation = part(adam_updates),
    epochs: int = 50,
    batch: int = 256,
    validation_share: float = 0.2,
    patience: int = 5,
) -> tuple[PyTree, Info]:
    """Fit a model until held-out transitions are no longer predicted better; one compiled program.

    On a mesh the transitions are shared out over its devices. Each draws an equal share of a batch, rounded up, from
    its own, in proportion to their weights. Its mean loss counts by its part of all weights, so that the estimates of
    gradients and of the held-out loss are unbiased, however much each device has.

    Args:
      params: to start from; the scales are taken from the data.
      data: ``[M]``; padding is welcome, at weight 0.
      weight: how much each transition counts, ≥ 0, ``[M]``: its mask, or for a bootstrap how often it was drawn.
      optimizer: begun anew; where its step size falls, by steps of this fit.
      epochs: at most, ≥ 1.
      batch: transitions in a step, ≥ 1.
      validation_share: of transitions held out, in (0, 1).
      patience: epochs without a better held-out loss after which the fit ends, ≥ 1.

    Returns:
      The parameters of the best epoch, and ``Info`` with ``validation_loss`` and ``epochs``.
    """
    check_least(1, epochs=epochs, batch=batch, patience=patience)
    if not 0.0 < validation_share < 1.0:
        raise ValueError(f"validation_share: got {validation_share}; must be in (0, 1)")
    optimizer = built(optimizer)
    key_split, key_fit = jax.random.split(key)
    key_share, key_held = jax.random.split(key_split)
    held = (jax.random.uniform(key_share, weight.shape) < validation_share).astype(jnp.float32)
    training = weight * (1.0 - held)
    params = model.scaled(params, data, weight)
    steps = jnp.sum(training > 0) // batch + 1

    def fit(devices: Devices, shared: PyTree, data: Transitions, training: Array, held: Array) -> tuple[PyTree, Info]:
        key_fit, key_held, params, steps = shared
        draw, mean = _weighted_draws(devices, data, training)
        # A draw of the held-out ones: how many there are is not known to the compiler, and padding would cost as much.
        draw_held, mean_of_held = _weighted_draws(devices, data, held)
        validation = draw_held(key_held, min(weight.shape[0], _VALIDATION))

        def validate(params: PyTree) -> Array:
            return mean_of_held(model.loss(params, validation, jnp.ones(validation.mask.shape)))

        def step_fn(index: Array, carry: tuple[PyTree, PyTree, Key]) -> tuple[PyTree, PyTree, Key]:
            params, state, key = carry
            drawn = draw(jax.random.fold_in(key, index), batch)
            gradient = mean(jax.grad(model.loss)(params, drawn, jnp.ones(drawn.mask.shape)))
            updates, state = optimizer.update(gradient, state, params)
            return optax.apply_updates(params, updates), state, key

        def epoch_fn(carry):
            epoch, waited, params, state, best, least = carry
            start = (params, state, jax.random.fold_in(key_fit, epoch))
            params, state, _ = jax.lax.fori_loop(0, steps, step_fn, start)
            loss = validate(params)
            better = loss < least
            best = jax.tree.map(lambda new, old: jnp.where(better, new, old), params, best)
            return epoch + 1, jnp.where(better, 0, waited + 1), params, state, best, jnp.minimum(loss, least)

        start = (jnp.int32(0), jnp.int32(0), params, optimizer.init(params), params, validate(params))
        unfinished = lambda carry: (carry[0] < epochs) & (carry[1] < patience)  # noqa: E731
        epoch, _, _, _, best, least = jax.lax.while_loop(unfinished, epoch_fn, start)
        return best, {"validation_loss": least, "epochs": epoch.astype(jnp.float32)}

    return by_all_devices(fit, (key_fit, key_held, params, steps), data, training, weight * held)


def _weighted_draws(
    devices: Devices, data: Transitions, weight: Array
) -> tuple[Callable[[Key, int], Transitions], Callable[[PyTree], PyTree]]:
    """``draw(key, count)`` of a device's own transitions ``[M]``, and ``mean(x)`` over devices of what they made of it.

    Each device draws as many, in proportion to its weights, with replacement. In the mean it counts as its weights make
    up of all devices', so that a mean over draws is expected to be that over all transitions, by weight.
    """
    cumulative = jnp.cumsum(weight)
    share = devices.share(cumulative[-1])

    def draw(key: Key, count: int) -> Transitions:
        shares = jax.random.uniform(key, (devices.number, -(-count // devices.number)))
        places = places_at(shares[devices.place], cumulative)
        return jax.tree.map(lambda x: x[places], data)

    return draw, lambda each: devices.add(jax.tree.map(lambda x: share * x, each))


def adapt_model(
    model: DynamicsModel, params: PyTree, data: Transitions, weight: Array, *, rate: float | Array, steps: int = 1
) -> PyTree:
    """``steps`` steps down ``model.error`` of a task's own transitions, differentiable (Nagabandi et al. 2019).

    Longer gradients are shortened to norm 5: where the error is steep, a few plain steps would otherwise run away.
    ``params`` are meta-trained; ``data`` and ``weight`` are ``[M]``. Where all weights are 0, nothing is learned. The
    step size ``rate`` and ``steps`` are at least 0.
    """

    def step_fn(params: PyTree, _: None) -> tuple[PyTree, None]:
        gradient = inner_gradient(model.error)(params, data, weight)
        gradient = {name: gradient[name] for name in ("outcome", "ending")}
        # Not the square root at 0, whose derivative is infinite.
        shortened = 5.0 / jnp.sqrt(jnp.maximum(optax.tree.norm(gradient, squared=True), 25.0))
        weights = {name: params[name] for name in gradient}
        return {**params, **jax.tree.map(lambda x, slope: x - rate * shortened * slope, weights, gradient)}, None

    return jax.lax.scan(step_fn, params, length=steps)[0]
