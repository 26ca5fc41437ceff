"""Checkpoints of the whole training state with Orbax: asynchronous, atomic, the last few kept."""

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxmeta.types import PyTree

FORMAT = 1
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
                    state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave({**meta, "format": FORMAT})
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
                restored = self._manager.restore(
                    step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
                )["state"]
            except Exception as error:
                _log.warning("checkpoint %d cannot be read (%s); trying an older one", step, _one_line(error))
                continue
            return restored, meta
        raise CheckpointError(
            f"{self.directory}: none of the checkpoints {steps} can be read: damaged, or of another configuration"
        )

    def _write_error(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"cannot save to {self.directory} ({_one_line(error)}); earlier checkpoints are intact: {self.steps()}"
        )


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
