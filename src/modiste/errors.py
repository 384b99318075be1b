"""The errors that modiste raises for what a user can put right."""

from pathlib import Path


class ModisteError(Exception):
    """Something is wrong that the user can put right.

    The message says what is wrong, where, and what to do. The command line prints it without a
    traceback and exits with status 2.
    """


class ConfigError(ModisteError):
    """A setting is unknown, missing or out of range."""


class DataError(ModisteError):
    """An input table cannot be read, or what it holds breaks the data contract."""


def damaged(folder: Path, what: str, error: object, remedy: str) -> DataError:
    """The error of a folder that something which was learned cannot be read back from."""
    return DataError(f"{folder} holds no {what}, or a damaged one ({error}): {remedy}")


class RunError(ModisteError):
    """A run folder cannot be used: locked, foreign or damaged."""


class BundleError(ModisteError):
    """A bundle cannot be served: foreign, of another format, or damaged."""
