"""Files of a run: metrics as tidy CSV and, on request, for TensorBoard; anything else as JSON."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

LEADING = ("iteration", "seed", "env_steps", "seconds", "return_pre", "return_post")


def tidy_rows(
    first: int, info: dict[str, np.ndarray], seeds: list[int], env_steps: np.ndarray, seconds: np.ndarray
) -> list[dict[str, float]]:
    """One row per meta-iteration and seed, of a chunk before which ``first`` iterations were done.

    ``info`` is ``[I, S]`` each; environment steps ``[I, S]``, adaptation included, and seconds ``[I]`` are all so far.
    """
    names = ("return_pre", "return_post", *sorted(set(info) - set(LEADING)))
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
    """Appends rows to a CSV file; the header comes from the first. Rows past ``iteration`` are dropped on opening."""

    def __init__(self, path: str | Path, iteration: int = 0):
        self.path = Path(path)
        kept = [row for row in read_csv(self.path) if row["iteration"] <= iteration] if self.path.exists() else []
        self._file = self.path.open("w", newline="")
        self._writer: csv.DictWriter | None = None
        self.write(kept)

    def write(self, rows: list[dict[str, float]]) -> None:
        if not rows:
            return
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, fieldnames=list(rows[0]))
            self._writer.writeheader()
        self._writer.writerows(rows)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoardLog:
    """The same rows as TensorBoard scalars, one run a seed. Needs the ``tensorboard`` extra."""

    def __init__(self, directory: str | Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError('tensorboard: tensorboardX is missing; pip install "jaxmeta[tensorboard]"') from error
        self._directory, self._make, self._writers = Path(directory), SummaryWriter, {}

    def write(self, rows: list[dict[str, float]]) -> None:
        for row in rows:
            seed = int(row["seed"])
            if seed not in self._writers:
                self._writers[seed] = self._make(str(self._directory / f"seed_{seed}"))
            for name in row.keys() - {"iteration", "seed"}:
                self._writers[seed].add_scalar(name, row[name], int(row["iteration"]))

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


def read_csv(path: str | Path) -> list[dict[str, float]]:
    """Rows of numbers; a last line that a crash cut short is left out."""
    with Path(path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    complete = [row for row in rows if None not in row.values() and "" not in row.values()]
    integers = {"iteration", "seed", "env_steps"}
    return [{name: int(x) if name in integers else float(x) for name, x in row.items()} for row in complete]


def write_json(path: Path | None, content: Any) -> None:
    """Write a file whole or not at all; nothing where no path is given."""
    if path is not None:
        temporary = path.with_suffix(path.suffix + ".tmp")
        temporary.write_text(json.dumps(content, indent=1) + "\n")
        temporary.replace(path)
