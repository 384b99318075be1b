"""How work is run (over partitions, with Dask), shown (progress) and written (atomically)."""

from modiste.engine.files import atomic_file, atomic_folder, remove_partials
from modiste.engine.scheduling import Engine

__all__ = ["Engine", "atomic_file", "atomic_folder", "remove_partials"]
