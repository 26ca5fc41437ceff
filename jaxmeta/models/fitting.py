"""How models of dynamics learn: a fit with early stopping in one program, and a few gradient steps in a new task."""

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import check_least
from jaxmeta.data import Transitions, draw_places
from jaxmeta.mixed_mode import inner_gradient
from jaxmeta.models.dynamics import DynamicsModel
from jaxmeta.outer import adam_updates
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
    seen = jnp.cumsum(training)
    steps = jnp.sum(training > 0) // batch + 1
    # A draw of the held-out ones: how many there are is not known to the compiler, and padding would cost as much.
    places = draw_places(key_held, jnp.cumsum(weight * held), min(weight.shape[0], _VALIDATION))
    validation = jax.tree.map(lambda x: x[places], data)

    def validate(params: PyTree) -> Array:
        return model.loss(params, validation, jnp.ones(places.shape))

    def step_fn(index: Array, carry: tuple[PyTree, PyTree, Key]) -> tuple[PyTree, PyTree, Key]:
        params, state, key = carry
        places = draw_places(jax.random.fold_in(key, index), seen, batch)
        drawn = jax.tree.map(lambda x: x[places], data)
        gradient = jax.grad(model.loss)(params, drawn, jnp.ones(batch))
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
