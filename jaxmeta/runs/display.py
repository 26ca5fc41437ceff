"""How far a long piece of work is: a bar on a terminal, a line every few seconds elsewhere."""

import time
from typing import Any


class Display:
    """Shows progress inside a ``with`` block.

    Args:
      what: is counted.
      every: seconds between lines, where no terminal shows a bar.
    """

    def __init__(self, what: str, every: float = 5.0):
        from rich import progress

        columns = [progress.TextColumn(text) for text in ("{task.completed}/{task.total}", "{task.fields[said]}")]
        self._bar = progress.Progress(columns[0], progress.BarColumn(bar_width=20), columns[1], transient=True)
        self._live, self._what, self._every = self._bar.console.is_terminal, what, every
        self._id = self._bar.add_task("", total=None, said="")
        self._started = time.monotonic()
        self._printed: float | None = None

    def __enter__(self) -> "Display":
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._bar.stop()

    def announce(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._live:
            self._bar.console.print(line, highlight=False)
        else:
            print(line, flush=True)

    def report(self, progress: Any) -> None:
        """Show a ``Progress`` of training."""
        parts = [
            f"{progress.steps_per_second / 1e3:,.0f} k env steps/s",
            f"return {progress.return_pre:.2f} → {progress.return_post:.2f}",
            *([] if progress.over_limit is None else [f"{progress.over_limit:.0%} of tasks over their limit"]),
            *([f"{progress.skipped} skipped"] if progress.skipped else []),
        ]
        due = self._printed is None or time.monotonic() - self._printed >= self._every
        self._show(progress.iteration, progress.iterations, progress.seconds_left, parts, due=due)

    def count(self, done: int, total: int) -> None:
        """Show that so many are done of so many; what takes no time is done without a word."""
        now = time.monotonic()
        left = (now - self._started) / done * (total - done)
        due = now - (self._started if self._printed is None else self._printed) >= self._every
        self._show(done, total, left, [], due=due)

    def _show(self, done: int, total: int, seconds_left: float, parts: list[str], *, due: bool) -> None:
        minutes, seconds = divmod(int(seconds_left), 60)
        parts = [f"{minutes}:{seconds:02d} left", *parts]
        if self._live:
            self._bar.update(self._id, completed=done, total=total, said="  ".join(parts))
        elif due or (done == total and self._printed is not None):
            self._printed = time.monotonic()
            print(f"{self._what} {done}/{total}", *parts, sep=", ", flush=True)
