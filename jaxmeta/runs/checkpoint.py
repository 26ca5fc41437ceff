"""Checkpoints of the whole training state with Orbax: asynchronous, atomic, the last few kept."""

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxmeta.types import PyTree

FORMAT = 2
_log = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read; the message is one line that says what to do."""


class Checkpoints:
    """A directory of checkpoints, to be used in a ``with`` block: leaving it waits for the last save.

    Args:
      directory: made if it does not exist.
      keep: how many of the newest are kept, ≥ 1.

    Raises:
      ValueError: ``keep`` below 1.
    """

    def __init__(self, directory: str | Path, keep: int = 3):
        if keep < 1:
            raise ValueError(f"keep: got {keep}; must be at least 1")
        self.directory = Path(directory).absolute()
        # Orbax logs every failure with its whole trace before it raises; the one line that we raise is enough.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, create=True, cleanup_tmp_directories=True, enable_async_checkpointing=True
            ),
            item_handlers={"state": ocp.PyTreeCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()},
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def save(self, iteration: int, state: PyTree, meta: dict[str, Any]) -> None:
        """Begin to save; training may go on at once, but must not donate this ``state``.

        Args:
          iteration: names the checkpoint.
          state: a pytree of arrays, typed PRNG keys among them.
          meta: counters and names, as JSON.

        Raises:
          CheckpointError: this save, or the one before it, failed; the earlier checkpoints are intact.
        """
        try:
            self._manager.wait_until_finished()
            self._manager.save(
                iteration,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(state), meta=ocp.args.JsonSave({**meta, "format": FORMAT})
                ),
                force=True,
            )
        except Exception as error:
            raise self._write_error(error) from error

    def wait(self) -> None:
        """Wait for a save in progress.

        Raises:
          CheckpointError: it failed; the earlier checkpoints are intact.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._write_error(error) from error

    def close(self) -> None:
        """Wait for a save in progress, then let go of the directory.

        Raises:
          CheckpointError: the save failed; the earlier checkpoints are intact.
        """
        try:
            self._manager.close()
        except Exception as error:
            raise self._write_error(error) from error

    def steps(self) -> list[int]:
        """The iterations that have a complete checkpoint, oldest first."""
        return sorted(self._manager.all_steps())

    def restore(self, like: PyTree, iteration: int | None = None) -> tuple[PyTree, dict[str, Any]]:
        """Read the newest checkpoint that can be read, or the one of ``iteration``.

        Args:
          like: arrays or ``ShapeDtypeStruct``s of the state's structure, shapes, types and shardings.
          iteration: ``None`` for the newest; a damaged one is passed over with a warning.

        Returns:
          The state, and the JSON saved with it.

        Raises:
          CheckpointError: there is none, none can be read, or it has another format.
        """
        return self._restore(like, iteration, partial=False)

    def restore_theta(self, like: PyTree, iteration: int | None = None) -> tuple[PyTree, int]:
        """Read the slow weights alone, whatever else the state holds.

        Args:
          like: ``ShapeDtypeStruct``s of the slow weights.
          iteration: ``None`` for the newest; a damaged one is passed over with a warning.

        Returns:
          The slow weights, and the meta-iteration after which they are.

        Raises:
          CheckpointError: there is none, none can be read, or it holds other weights: the first that differs is named.
        """
        state, meta = self._restore({"meta": {"theta": like}}, iteration, partial=True)
        return state["meta"]["theta"], int(meta["iteration"])

    def _restore(self, like: PyTree, iteration: int | None, *, partial: bool) -> tuple[PyTree, dict[str, Any]]:
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"{self.directory} holds no complete checkpoint; start the run anew with --overwrite")
        if iteration is not None and iteration not in steps:
            raise CheckpointError(f"{self.directory} has no checkpoint {iteration}; it has {steps}")
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        for step in reversed(steps) if iteration is None else [iteration]:
            try:
                meta = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
            except Exception as error:
                _log.warning("checkpoint %d cannot be read (%s); trying an older one", step, _one_line(error))
                continue
            if meta.get("format") != FORMAT:
                raise CheckpointError(
                    f"{self.directory}/{step} has format {meta.get('format')}, this version reads {FORMAT}; "
                    "use the version of jaxmeta that config.json names"
                )
            try:
                self._compare(step, abstract, partial=partial)
                how = ocp.args.PyTreeRestore(
                    item=abstract,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
                    partial_restore=partial,
                )
                return self._manager.restore(step, args=ocp.args.Composite(state=how))["state"], meta
            except CheckpointError:
                raise
            except Exception as error:
                _log.warning("checkpoint %d cannot be read (%s); trying an older one", step, _one_line(error))
        raise CheckpointError(f"{self.directory}: none of the checkpoints {steps} can be read: they are damaged")

    def _compare(self, step: int, abstract: PyTree, *, partial: bool) -> None:
        """Refuse a checkpoint that lacks a leaf, has it in another shape, or, if all is read, has one more."""
        saved = self._manager.item_metadata(step)["state"]
        there = {_names(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(saved.tree)[0]}
        needed = {_names(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(abstract)[0]}
        here, other = f"{self.directory}/{step}", "it is of another configuration"
        further = [] if partial else sorted(set(there) - set(needed))
        if further:
            raise CheckpointError(f"{here} has {'.'.join(further[0])}, which is not needed: {other}")
        for name, leaf in needed.items():
            if name not in there:
                raise CheckpointError(f"{here} has no {'.'.join(name)}: {other}")
            shape = getattr(there[name], "shape", None)
            is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            if shape is not None and not is_key and tuple(shape) != tuple(leaf.shape):
                differs = f"{'.'.join(name)} of shape {list(shape)}, not {list(leaf.shape)}"
                raise CheckpointError(f"{here} has {differs}: {other}")

    def _write_error(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"cannot save to {self.directory} ({_one_line(error)}); earlier checkpoints are intact: {self.steps()}"
        )


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]


def _names(path: Any) -> tuple[str, ...]:
    """A leaf's path as text, whatever kinds of containers it goes through."""
    return tuple(str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key)))) for key in path)
