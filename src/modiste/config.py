"""The settings of a run: one YAML file, one tree of pydantic models.

Every field says what it means and in which unit; unknown keys are refused with the nearest known
name. A preset is a YAML file in ``presets/``; a config file overrides it, ``--set`` overrides both.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from modiste.candidates.settings import CandidateSettings
from modiste.data.settings import IngestSettings
from modiste.errors import ConfigError
from modiste.evaluation.settings import EvaluationSettings
from modiste.models.blend import BlendSettings
from modiste.models.selection import SelectionSettings
from modiste.ranking.rules import Rules
from modiste.ranking.settings import RankingSettings
from modiste.vectors.settings import VectorSettings

Settings = TypeVar("Settings", bound=BaseModel)

_PRESETS = Path(__file__).parent / "presets"

# Characters in a line of the settings as they are printed.
_WIDTH = 100


class ReportSettings(BaseModel):
    """Settings of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    customers: Annotated[int, Field(ge=0)] = Field(
        default=12, description="Number of customers whose recommendations are shown."
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Seed of the draw of these customers."
    )
    images: Path | None = Field(
        default=None,
        description=(
            "Folder of product pictures as in the Kaggle data: 010/0108775015.jpg by article, or "
            "010/0108775.jpg by product. Left out: <data>/images where it exists."
        ),
    )


class PrivacySettings(BaseModel):
    """What a run keeps of single customers beside what it needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    similar_customers: bool = Field(
        default=True,
        description=(
            "Whether an index of customers is kept, with their ids and latest articles, so that "
            "'modiste similar --customer' can show who is like one and what they bought."
        ),
    )


class Config(BaseModel):
    """All settings of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date | None = Field(
        default=None,
        description=(
            "The first day to recommend for; only what happened before it is used. Left out: the "
            "day after the data ends."
        ),
    )
    horizon: Annotated[int, Field(ge=1, le=3_650)] = Field(
        default=7, description="Length of the label windows in days."
    )
    ingest: IngestSettings = Field(
        default=IngestSettings(), description="Where the shop's tables lie and how they are read."
    )
    vectors: VectorSettings = Field(
        default=VectorSettings(), description="Articles' texts as vectors, and their look-up."
    )
    models: BlendSettings = Field(
        default=BlendSettings(), description="The recommenders and their blend."
    )
    candidates: CandidateSettings = Field(
        default=CandidateSettings(), description="What is proposed to the ranking."
    )
    ranking: RankingSettings = Field(
        default=RankingSettings(), description="How candidates are put into an order."
    )
    rules: Rules = Field(default=Rules(), description="The shop's own rules, applied last.")
    selection: SelectionSettings = Field(
        default=SelectionSettings(),
        description="How settings of the blend are chosen on validation windows.",
    )
    evaluation: EvaluationSettings = Field(
        default=EvaluationSettings(), description="What is measured, and how."
    )
    report: ReportSettings = Field(default=ReportSettings(), description="What the report shows.")
    privacy: PrivacySettings = Field(
        default=PrivacySettings(), description="What is kept of single customers."
    )

    @model_validator(mode="after")
    def _sources_of_the_blend_are_asked(self) -> Self:
        """The blend scores candidates by what its sources say of them."""
        weighted = {name for name, weight in self.models.weights.items() if weight}
        missing = weighted - set(self.candidates.sources)
        if self.ranking.enabled and missing:
            names = ", ".join(sorted(missing))
            raise ValueError(
                f"models.weights names {names}, and candidates.quotas do not ask it: give it a "
                f"quota, as candidates.quotas.lately.{sorted(missing)[0]}=30"
            )
        if self.rules.in_force and not self.ranking.enabled:
            raise ValueError(
                "rules are applied to ranked candidates, and ranking.enabled is false: set it to "
                "true, or leave the rules out"
            )
        return self


def presets() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def load_config(
    file: Path | None = None, preset: str | None = None, overrides: Sequence[str] = ()
) -> Config:
    """Build the settings from a preset, a YAML file and ``key=value`` overrides, in that order.

    Parameters
    ----------
    file
        A YAML file with any part of the tree.
    preset
        One of :func:`presets`.
    overrides
        Such as ``models.popularity.days=4``; the value is YAML.

    Raises
    ------
    ConfigError
        When a file cannot be read, a key is unknown or a value does not fit.
    """
    base = {}
    if preset is not None:
        if preset not in presets():
            raise ConfigError(f"no preset '{preset}': there are {', '.join(presets())}")
        base = _read_yaml(_PRESETS / f"{preset}.yaml")
    return load_settings(Config(), file, overrides, base)


def load_settings(
    defaults: Settings,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> Settings:
    """Build any tree of settings from a YAML file and ``key=value`` overrides, in that order.

    Parameters
    ----------
    defaults
        Which the others override, so that one weight of several can be set alone.
    file, overrides
        As for :func:`load_config`.
    base
        A part of the tree that the file overrides.

    Raises
    ------
    ConfigError
        As :func:`load_config`.
    """
    model = type(defaults)
    tree = _merged(defaults.model_dump(mode="json"), base or {})
    if file is not None:
        tree = _merged(tree, _read_yaml(file))
    for override in overrides:
        tree = _merged(tree, _parse_override(override))
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        problems = "\n".join(_explain(problem, model) for problem in error.errors())
        raise ConfigError(problems) from error


def dump_config(config: Config) -> str:
    """The settings as YAML, defaults included; :func:`load_config` reads it back to the same."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def describe_config(config: Config) -> str:
    """The settings as YAML with each field's meaning in a comment above it."""
    lines: list[str] = []
    _describe(config, 0, lines)
    return "\n".join(lines) + "\n"


def _describe(model: BaseModel, depth: int, lines: list[str]) -> None:
    indent = "  " * depth
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        comment = f"{indent}# "
        lines += textwrap.wrap(
            field.description or "", _WIDTH, initial_indent=comment, subsequent_indent=comment
        )
        if isinstance(value, BaseModel):
            lines.append(f"{indent}{name}:")
            _describe(value, depth + 1, lines)
        else:
            plain = model.model_dump(mode="json", include={name})[name]
            text = yaml.safe_dump(
                plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
            )
            # YAML ends a lone scalar with a line of its own.
            line = f"{indent}{name}: {text.splitlines()[0]}"
            if len(line) > _WIDTH:
                block = yaml.safe_dump({name: plain}, sort_keys=False, allow_unicode=True)
                lines += textwrap.indent(block, indent).splitlines()
            else:
                lines.append(line)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = [p.name for p in file.parent.glob("*.y*ml")] if file.parent.is_dir() else []
        raise ConfigError(f"no config file {file}{_did_you_mean(file.name, near)}") from None
    except IsADirectoryError:
        raise ConfigError(f"{file} is a folder: --config names a YAML file") from None
    except (yaml.YAMLError, ValueError) as error:  # a ValueError: no text, or a date as 2020-13-01
        raise ConfigError(f"{file} is not YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{file} holds no settings: expected 'key: value' lines")
    return tree


def _parse_override(text: str) -> dict[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {text}: expected key=value, for instance horizon=7")
    try:
        tree = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {text}: the value is not YAML ({error})") from error
    for key in reversed(path.split(".")):
        tree = {key: tree}
    result: dict[str, Any] = tree
    return result


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        earlier = result.get(key)
        if isinstance(earlier, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(earlier, value)
        else:
            result[key] = value
    return result


def _explain(problem: Mapping[str, Any], root: type[BaseModel]) -> str:
    location = [str(part) for part in problem["loc"]]
    path = ".".join(location)
    if problem["type"] == "extra_forbidden":
        known = _fields_at(location[:-1], root)
        return f"unknown setting '{path}'{_did_you_mean(location[-1], known)}"
    message = f"setting '{path}': {problem['msg'].removeprefix('Value error, ')}"
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
        return message  # settings that do not go together, which the words name
    return f"{message}, not {problem['input']!r}"


def _fields_at(location: Sequence[str], root: type[BaseModel]) -> list[str]:
    model = root
    for part in location:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f": did you mean '{near[0]}'?"
    return f": known are {', '.join(known)}" if known else ""
