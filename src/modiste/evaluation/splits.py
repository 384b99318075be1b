"""Which windows a run chooses on, reports on and submits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from modiste.data.dataset import Dataset, Window
from modiste.errors import DataError


@dataclass(frozen=True)
class Split:
    """The windows of a run.

    Attributes
    ----------
    validation
        Everything that is chosen is chosen on these, all before ``test``; may be empty.
    test
        Looked at to report.
    submit
        The date that the submission is made as of.
    """

    validation: tuple[Window, ...]
    test: Window
    submit: date

    @property
    def all(self) -> tuple[Window, ...]:
        """All windows, validation first."""
        return (*self.validation, self.test)
