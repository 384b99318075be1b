"""What the container files name is there: no engine is needed to see that."""

from __future__ import annotations

from pathlib import Path

import yaml
from typer.testing import CliRunner

from modiste.cli import app as command_line
from modiste.service.keys import Role, add_key

_ROOT = Path(__file__).parents[2]


def test_the_command_of_the_service_is_one(tmp_path: Path) -> None:
    """It is taken up to the place where it looks at its bundles, which are not there."""
    service = yaml.safe_load((_ROOT / "compose.yaml").read_text())["services"]["service"]
    keys = tmp_path / "keys.yaml"
    add_key(keys, "page", [Role.READ])
    command = [str(keys) if each == "/run/secrets/keys" else each for each in service["command"]]
    done = CliRunner().invoke(command_line, command)
    assert "/bundles is no bundle" in str(done.exception)


def test_what_is_copied_into_the_image_is_there() -> None:
    lines = (_ROOT / "Containerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert copied
    for name in copied:
        assert (_ROOT / name).exists(), name


def test_prometheus_is_told_where_the_metrics_are() -> None:
    compose = yaml.safe_load((_ROOT / "compose.yaml").read_text())
    scrape = yaml.safe_load(compose["configs"]["prometheus"]["content"])["scrape_configs"][0]
    assert scrape["static_configs"] == [{"targets": ["service:8000"]}]
    assert "metrics_path" not in scrape  # Prometheus's own default, /metrics
