"""Files of a run: metrics as tidy CSV, anything else as JSON."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

LEADING = ("iteration", "seed", "env_steps", "seconds", "return_pre", "return_post")


def columns(info: Iterable[str]) -> list[str]:
    """Names of the columns, given those in ``Info``."""
    return [*LEADING, *sorted(set(info) - set(LEADING))]


def tidy_rows(
    first: int, info: dict[str, np.ndarray], seeds: list[int], env_steps: np.ndarray, seconds: np.ndarray
) -> list[dict[str, float]]:
    """One row per meta-iteration and seed, of a chunk before which ``first`` iterations were done.

    ``info`` is ``[I, S]`` each; environment steps ``[I, S]``, adaptation included, and seconds ``[I]`` are all so far.
    """
    names = columns(info)[4:]
    return [
        {
            "iteration": first + i + 1,
            "seed": seed,
            "env_steps": int(env_steps[i, s]),
            "seconds": round(float(seconds[i]), 4),
            **{name: float(info[name][i, s]) for name in names},
        }
        for i in range(len(seconds))
        for s, seed in enumerate(seeds)
    ]


class CsvLog:
    """Appends rows to a CSV file, whose earlier rows are untouched: only what is beyond ``iteration`` is dropped.

    Args:
      path: the file.
      columns: names.
      seeds: a row each at every iteration.
      iteration: how many of them the file must hold.

    Raises:
      ValueError: the file does not hold exactly these rows; it is named.
    """

    def __init__(self, path: str | Path, columns: Sequence[str], seeds: Sequence[int], iteration: int = 0):
        self.path = Path(path)
        # Before the first checkpoint nothing is kept, whatever a kill left there.
        rows = read_csv(self.path) if iteration and self.path.exists() else []
        kept = [row for row in rows if row["iteration"] <= iteration]
        expected = [(i, seed) for i in range(1, iteration + 1) for seed in seeds]
        if [(row["iteration"], row["seed"]) for row in kept] != expected:
            asked = f"{len(expected)} rows, of iterations 1 to {iteration} of seeds {', '.join(map(str, seeds))}"
            raise ValueError(f"{path}: holds {len(kept)} rows, and the checkpoint needs {asked}; restore the file")
        if kept and list(kept[0]) != list(columns):
            differ = sorted(set(kept[0]) ^ set(columns)) or ["their order"]
            raise ValueError(f"{path}: its columns are not this run's: {', '.join(differ)}; restore the file")
        # A link is replaced by a file: what it leads to stays as it is.
        whole = bool(kept) and self.path.read_text().endswith("\n") and not self.path.is_symlink()
        if len(kept) < len(rows) or not whole:
            # Beside, and then in place of the old one: a kill at any moment leaves one of them.
            beside = without_link(self.path.with_suffix(".csv.tmp"))
            with beside.open("w", newline="") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(kept)
                _synced(file)
            beside.replace(self.path)
        self._file = self.path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, columns)

    def write(self, rows: list[dict[str, float]]) -> None:
        self._writer.writerows(rows)
        self._file.flush()

    def sync(self) -> None:
        """Wait until the rows are on disk."""
        _synced(self._file)

    def close(self) -> None:
        self._file.close()


def _synced(file: TextIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def read_csv(path: str | Path) -> list[dict[str, float]]:
    """Rows of numbers; a last line that a crash cut short is left out.

    Raises:
      ValueError: the file is not a table of metrics; it is named.
    """
    try:
        text = Path(path).read_text()
        table = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
        if missing := set(LEADING) - set(table.fieldnames or ()):
            raise ValueError(f"it has no columns {', '.join(sorted(missing))}")
        integers = {"iteration", "seed", "env_steps"}
        rows = [{name: int(x) if name in integers else float(x) for name, x in row.items()} for row in table]
        if any(row["iteration"] < 1 for row in rows):
            raise ValueError("its iterations are not counted from 1")
        return rows
    except (ValueError, TypeError, csv.Error) as error:
        raise ValueError(f"{path}: not a table of metrics ({error}); restore the file") from error


def write_json(path: Path | None, content: Any) -> None:
    """Write a file whole or not at all; nothing where no path is given."""
    if path is None:
        return
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, in UTF-8. A link there is replaced, not followed."""
    # Names of files may hold what is no text.
    how = {"encoding": "utf-8", "errors": "replace"}
    if path.exists() and not path.is_file():
        # Such as /dev/stdout: nothing may take its place.
        path.write_text(text, **how)
        return
    temporary = without_link(path.with_suffix(path.suffix + ".tmp"))
    temporary.write_text(text, **how)
    temporary.replace(path)


def without_link(path: str | Path) -> Path:
    """A path to write a file to; if it is a link to a file, or to nothing, the link is removed first.

    A run that somebody else made may hold links to any file of the one who evaluates it.
    """
    path = Path(path)
    if path.is_symlink() and (path.is_file() or not path.exists()):
        path.unlink()
    return path
