"""How the figures of a run are written into its directory: flags that several commands have."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxmeta.runs.evaluation import Format


@dataclasses.dataclass(frozen=True)
class Figures:
    """How figures are written."""

    formats: tuple[Format, ...] = ("png",)
    """Formats of the figures; csv has the numbers that are drawn."""
    note: str | None = None
    """A line below each figure."""

    def save(self, figure: Any, place: Path) -> list[Path]:
        """Write a figure to a path without an ending, once in each format; the files."""
        from jaxmeta import plots

        return plots.save(figure, *(place.with_name(f"{place.name}.{one}") for one in self.formats), note=self.note)
