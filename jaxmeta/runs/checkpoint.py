"""Checkpoints of the whole training state with Orbax: asynchronous, atomic, checked, the last few kept."""

import contextlib
import hashlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxmeta.checks import check_least
from jaxmeta.runs import hosts
from jaxmeta.types import PyTree

FORMAT = 3
_log = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read; the message is one line that says what to do."""


class Checkpoints:
    """A directory of checkpoints, made if need be, to be used in a ``with`` block: leaving it waits for the last save.

    Each holds a digest of every leaf and of its own JSON: what does not match on reading is damaged.

    Args:
      directory: of the checkpoints alone.
      keep: how many of the newest are kept when one is saved, ≥ 1.
      identity: names of the run and its seeds, as JSON; a checkpoint with other ones is refused.
    """

    def __init__(self, directory: str | Path, keep: int = 3, identity: dict[str, Any] | None = None):
        check_least(1, keep=keep)
        self.directory, self._keep, self._identity = Path(directory).absolute(), keep, identity or {}
        self._saves = False
        # They log every failure with its whole trace before it is raised; the one line that we raise is enough.
        for name in ("absl", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if sys.unraisablehook is not _unraisable:
            sys.unraisablehook = _unraisable
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=None,
                create=True,
                # Through a link nothing is deleted either.
                cleanup_tmp_directories=not self.directory.is_symlink(),
                enable_async_checkpointing=True,
            ),
            item_handlers={"state": ocp.PyTreeCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()},
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        if isinstance(exception[1], hosts.HostsError):
            return  # Nobody answers any more.
        try:
            self.wait()
        finally:
            with self._writing():
                self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Inside the ``with`` block a failure is a ``CheckpointError``: of this save, or of the one before it."""
        try:
            with hosts.while_all_live():
                yield
        except hosts.HostsError:
            raise
        except Exception as error:
            intact = f"earlier checkpoints are intact: {self.steps()}"
            raise CheckpointError(f"cannot save to {self.directory} ({_one_line(error)}); {intact}") from error

    def save(self, iteration: int, state: PyTree, meta: dict[str, Any]) -> None:
        """Begin to save; training may go on at once, but must not donate this ``state``.

        Args:
          iteration: names the checkpoint.
          state: a pytree of arrays, typed PRNG keys among them.
          meta: counters and names, as JSON.
        """
        self.wait()
        leaves = {name: digest(leaf) for name, leaf in _named(state).items()}
        meta = {**meta, **self._identity, "format": FORMAT, "leaves": leaves}
        meta["digest"] = digest(meta)
        content = {"state": ocp.args.PyTreeSave(state), "meta": ocp.args.JsonSave(meta)}
        self._saves = True
        with self._writing():
            self._manager.save(iteration, args=ocp.args.Composite(**content), force=True)

    def wait(self) -> None:
        """Wait for a save in progress, and delete what it makes superfluous."""
        with self._writing():
            self._manager.wait_until_finished()
            # A few at a time: thousands, put there by somebody, must not keep a run waiting.
            for step in self.steps()[: -self._keep][:8] if self._saves else ():
                self._manager.delete(step)

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
          CheckpointError: there is none, none can be read, or it has another format or other leaves.
        """
        return self._restore(like, iteration, partial=False)

    def restore_theta(self, like: PyTree, iteration: int | None = None) -> tuple[PyTree, int]:
        """Read the slow weights alone, as ``restore`` does; and the meta-iteration after which they are."""
        state, meta = self._restore({"meta": {"theta": like}}, iteration, partial=True)
        return state["meta"]["theta"], int(meta["iteration"])

    def _restore(self, like: PyTree, iteration: int | None, *, partial: bool) -> tuple[PyTree, dict[str, Any]]:
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"{self.directory} holds no complete checkpoint; start the run anew with --overwrite")
        if iteration is not None and iteration not in steps:
            raise CheckpointError(f"{self.directory} has no checkpoint {iteration}; it has {steps}")
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        how = ocp.args.PyTreeRestore(
            item=abstract, restore_args=ocp.checkpoint_utils.construct_restore_args(abstract), partial_restore=partial
        )
        for step in reversed(steps) if iteration is None else [iteration]:
            together = False
            try:
                with hosts.while_all_live():
                    meta = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
                    self._check_meta(step, meta)
                    self._compare(step, abstract, partial=partial)
                    state = self._manager.restore(step, args=ocp.args.Composite(state=how))["state"]
                    # What all processes have compared, all pass over together.
                    together = True
                    wrong = [name for name, leaf in _named(state).items() if digest(leaf) != meta["leaves"].get(name)]
                if wrong:
                    raise ValueError(f"{wrong[0]} is not what was saved")
                return state, {name: value for name, value in meta.items() if name not in ("digest", "leaves")}
            except (CheckpointError, hosts.HostsError):
                raise
            except Exception as error:
                if hosts.several() and not together:
                    # The others may have read it, and wait for this process.
                    raise CheckpointError(
                        f"{self.directory}/{step} cannot be read ({_one_line(error)}); a process that trains alone "
                        "goes on with an older one if it is damaged"
                    ) from error
                _log.warning("checkpoint %d is damaged (%s); trying an older one", step, _one_line(error))
        raise CheckpointError(f"{self.directory}: none of the checkpoints {steps} can be read: they are damaged")

    def _check_meta(self, step: int, meta: dict[str, Any]) -> None:
        """Refuse another format and another run's checkpoint; a ``ValueError`` where the JSON is damaged."""
        damaged = meta.get("digest") != digest({name: value for name, value in meta.items() if name != "digest"})
        if meta.get("format") != FORMAT and not (damaged and "digest" in meta):
            raise CheckpointError(
                f"{self.directory}/{step} has format {meta.get('format')}, this version reads {FORMAT}; "
                "use the version of jaxmeta that config.json names"
            )
        if damaged:
            raise ValueError("its metadata is not what was saved")
        for name, value in self._identity.items():
            if meta.get(name) != value:
                other = f"{name} is {meta.get(name)!r} there, and {value!r} in config.json"
                raise CheckpointError(f"{self.directory}/{step} is of another run: {other}")

    def _compare(self, step: int, abstract: PyTree, *, partial: bool) -> None:
        """Refuse a checkpoint that lacks a leaf, has it in another shape, or, if all is read, has one more."""
        there, needed = _named(self._manager.item_metadata(step)["state"].tree), _named(abstract)
        differs = [] if partial else [f"{name}, which is not needed" for name in sorted(set(there) - set(needed))]
        for name, leaf in needed.items():
            shape = getattr(there.get(name), "shape", None)
            is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            if name not in there:
                differs.append(f"no {name}")
            elif shape is not None and not is_key and tuple(shape) != tuple(leaf.shape):
                differs.append(f"{name} of shape {list(shape)}, not {list(leaf.shape)}")
        if differs:
            raise CheckpointError(f"{self.directory}/{step} has {differs[0]}: it is of another configuration")


_raised_before = sys.unraisablehook


def _unraisable(raised: Any) -> None:
    """Leave out what a damaged checkpoint's other reads give to an event loop that has ended with the first failure."""
    if str(raised.exc_value) != "Event loop is closed":
        _raised_before(raised)


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]


def _named(tree: PyTree) -> dict[str, Any]:
    """Leaves by their paths as text, whatever kinds of containers those go through."""
    last = lambda key: str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key))))  # noqa: E731
    return {".".join(map(last, path)): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def digest(content: Any) -> str:
    """A digest of an array's type, shape and bits, or of a dictionary as JSON."""
    if isinstance(content, dict):
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
    is_key = jax.numpy.issubdtype(content.dtype, jax.dtypes.prng_key)
    array = hosts.whole(jax.random.key_data(content) if is_key else content)
    return hashlib.blake2b(f"{array.dtype}{array.shape}".encode() + array.tobytes(), digest_size=16).hexdigest()
