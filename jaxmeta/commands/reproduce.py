"""Make the figures and tables of a paper or of the results anew: runs, evaluations, figures, and whether they agree."""

import concurrent.futures
import datetime
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

import jaxmeta
from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import fail

if TYPE_CHECKING:
    from jaxmeta.studies.reproduction import Recipe

ALL = "all"
REPOSITORY = Path(jaxmeta.__file__).parents[1]


@command(endings=(), jobs=1)
def main(
    name: Positional[str] = "",
    *,
    quick: bool = False,
    out: Path | None = None,
    jobs: int = max(1, (os.cpu_count() or 1) // 2),
    commands: bool = False,
) -> None:
    """Make a recipe's runs, figures and tables, say whether its numbers are as they should be, and write a report.

    The same command, given again, goes on where it was cut off. The exit status is 1 if a number is not as it should
    be.

    Args:
      name: A recipe, or all. Without a name: those there are, and how long they take.
      quick: A reduced budget, at most three minutes on two cores; the figures say so.
      out: The folder for everything; reproductions/NAME or reproductions/NAME-quick if not given.
      jobs: Runs that train side by side; by default one for every two cores.
      commands: Print the commands that it consists of, and end.
    """
    from jaxmeta.studies import reproduction

    if not name:
        print(overview())
        return
    chosen = reproduction.names() if name == ALL else [name]
    recipes = [reproduction.recipe(one, quick=quick) for one in chosen]
    if commands:
        print("\n".join(shlex.join(one) for recipe in recipes for one in shown(recipe)))
        return
    wrong = []
    for recipe in recipes:
        default = Path("reproductions") / f"{recipe.name}{'-quick' if quick else ''}"
        folder = default if out is None else out / recipe.name if name == ALL else out
        wrong += [] if Reproduction(recipe, folder).make(jobs) else [recipe.name]
    if wrong:
        print(f"\nnot as they should be: {', '.join(wrong)}")
        raise SystemExit(1)


def overview() -> str:
    """The recipes, with what they take."""
    from jaxmeta.studies import reproduction

    rows = []
    for name in reproduction.names():
        full, quick = (reproduction.recipe(name, quick=size) for size in (False, True))
        rows.append(f"{name:20s}{in_words(full.seconds):>10s}{in_words(quick.seconds):>10s}  {full.title}")
    return "\n".join([f"{'recipe':20s}{'in full':>10s}{'--quick':>10s}  (on two cores)", *rows])


def in_words(seconds: float) -> str:
    """A time, roughly."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def shown(recipe: "Recipe") -> list[list[str]]:
    """A recipe's commands, as a person would give them in its folder."""
    trained = [["jaxmeta", "train", *arguments, "--out", f"runs/{run}"] for run, arguments in recipe.runs.items()]
    return trained + [["python" if is_script(step) else "jaxmeta", *step] for step in recipe.steps]


def is_script(step: list[str]) -> bool:
    """Whether a step is a script of the repository, and no command of ours."""
    return step[0].endswith(".py")


class Reproduction:
    """A recipe being made in a folder, whose ``steps.json`` holds what is done."""

    def __init__(self, recipe: "Recipe", folder: Path):
        self.recipe, self.folder, self.log = recipe, folder, folder / "steps.json"
        self.began = {"command": recipe.command, "jaxmeta": jaxmeta.__version__}
        self.writing, self.processes = threading.Lock(), set[subprocess.Popen[bytes]]()
        missing = [step[0] for step in recipe.steps if is_script(step) and not (REPOSITORY / step[0]).exists()]
        if missing:
            fail(f"{recipe.name}: needs {missing[0]} of the repository; clone it and run the command there")
        if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not self.log.exists())):
            fail(f"--out: {folder} is not empty and holds no reproduction; choose another folder")
        before = self.done().get("began", self.began)
        if before != self.began:
            what = f"{before['command']}, begun with jaxmeta {before['jaxmeta']}"
            fail(f"--out: {folder} holds {what}; choose another folder")

    def make(self, jobs: int) -> bool:
        """Make what is not there yet; whether all numbers are as they should be."""
        recipe = self.recipe
        self.folder.mkdir(parents=True, exist_ok=True)
        self.note("began", self.began)
        size = (
            f"{len(recipe.runs)} runs and {len(recipe.steps)} commands, about {in_words(recipe.seconds)} on two cores"
        )
        print(f"{recipe.title}: {size}, in {self.folder}", flush=True)
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            trainings = [
                pool.submit(self.run, ["train", *arguments, "--out", f"runs/{run}", "--auto-resume"])
                for run, arguments in recipe.runs.items()
            ]
            for one in concurrent.futures.as_completed(trainings):
                one.result()
            for step in recipe.steps:
                self.run(step)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(self.processes):
                # A run that is stopped saves its state.
                process.terminate()
        return self.finish()

    def done(self) -> dict[str, Any]:
        """What ``steps.json`` holds."""
        try:
            return dict(json.loads(self.log.read_text())) if self.log.exists() else {}
        except (ValueError, TypeError):
            fail(f"{self.log}: cannot be read; choose another folder, or remove this one")

    def note(self, name: str, content: Any) -> None:
        """Put an entry into ``steps.json``."""
        from jaxmeta.runs.logging import write_json

        with self.writing:
            write_json(self.log, self.done() | {name: content})

    def run(self, arguments: list[str]) -> None:
        """Run a command if it has not ended well before; where it fails, so does everything."""
        words = shlex.join(arguments)
        if words in self.done():
            return
        print(f"\n$ {words}", flush=True)
        script = is_script(arguments)
        program = [str(REPOSITORY / arguments[0]), *arguments[1:]] if script else ["-m", "jaxmeta", *arguments]
        # Programs that several commands have are compiled once; a script times its own.
        compiled = {} if script else {"JAX_COMPILATION_CACHE_DIR": str((self.folder / "compiled").absolute())}
        started = time.perf_counter()
        with subprocess.Popen([sys.executable, *program], cwd=self.folder, env=compiled | os.environ) as process:
            self.processes.add(process)
            status = process.wait()
            self.processes.discard(process)
        if status:
            print(f"error: {words}: ended with status {status}; the same command goes on from there", file=sys.stderr)
            raise SystemExit(status if status > 0 else 128 - status)
        seconds, when = time.perf_counter() - started, datetime.datetime.now(datetime.UTC)
        self.note(words, {"seconds": round(seconds, 1), "date": when.date().isoformat()})

    def finish(self) -> bool:
        """Compare the numbers and write ``result.json``; whether all are as they should be."""
        from jaxmeta.runs.logging import write_json
        from jaxmeta.runs.machine import describe
        from jaxmeta.studies import reproduction

        bands = reproduction.found(self.recipe, self.folder)
        content = {"recipe": self.recipe.name, "command": self.recipe.command, **describe()}
        content["commands"] = [shlex.join(one) for one in shown(self.recipe)]
        content["numbers"] = [{**band._asdict(), "inside": band.inside} for band in bands]
        write_json(self.folder / "result.json", content)
        if bands:
            print("\n" + reproduction.table(bands))
        print(f"\nwrote {self.folder / 'result.json'}", flush=True)
        return all(band.inside for band in bands)
