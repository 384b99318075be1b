"""Who may ask for what, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml
from typer.testing import CliRunner

from modiste.cli import app as command_line
from modiste.errors import ConfigError
from modiste.service.access import TokenBucket, required_role
from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.events.store import EventStore
from modiste.service.keys import KeyFile, Keys, Role, add_key
from modiste.service.server import serve
from modiste.service.settings import LimitSettings, ServiceSettings
from serving import UNHURRIED, listening


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.yaml"


@pytest.fixture(scope="module")
def keys(key_file: Path) -> dict[str, str]:
    """A key of each role, by its name."""
    return {role: add_key(key_file, role, [role]) for role in Role}


@pytest.fixture(scope="module")
def guarded(
    bundle: Bundle,
    keys: dict[str, str],
    key_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx2.Client]:
    store = EventStore.create(str(tmp_path_factory.mktemp("guarded") / "events.sqlite"))
    settings = ServiceSettings(limits=UNHURRIED)
    with listening(make_app(bundle, settings, store=store, keys=Keys.read(key_file))) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/version", {"read", "admin"}),
        ("GET", "/v1/customers/a/recommendations", {"read", "admin"}),
        ("POST", "/v1/events", {"event", "admin"}),
        ("DELETE", "/v1/customers/a/data", {"admin"}),
        ("GET", "/metrics", {"read", "admin"}),
    ],
)
def test_a_key_is_for_its_role(
    method: str, path: str, allowed: set[str], guarded: httpx2.Client, keys: dict[str, str]
) -> None:
    for role, key in keys.items():
        answer = guarded.request(method, path, headers=bearer(key))
        assert (answer.status_code != 403) == (role in allowed), (role, answer.text)
        assert answer.status_code != 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer wrong", "Basic {}", "{}", "Bearer {}x", "Bearer \xe9\xff"],
)
def test_without_a_valid_key(header: str, guarded: httpx2.Client, keys: dict[str, str]) -> None:
    given = header.format(keys["read"]).encode("latin-1")
    for path in ("/v1/version", "/metrics", "/v1/customers/a/recommendations", "/v1/nowhere"):
        answer = guarded.get(path, headers={b"Authorization": given})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
    answer = guarded.post("/v1/events", content=b"{", headers={b"Authorization": given})
    assert answer.status_code == 401


def test_what_needs_no_key(guarded: httpx2.Client) -> None:
    for path in ("/v1/health/live", "/v1/health/ready", "/openapi.json"):
        assert guarded.get(path).status_code == 200


def test_the_description_names_the_role_of_each_endpoint(guarded: httpx2.Client) -> None:
    described = guarded.get("/openapi.json").json()["paths"]
    without = []
    for path, methods in described.items():
        for method, operation in methods.items():
            role = required_role(method.upper(), path)
            if role is None:
                without.append(path)
            assert operation.get("security", []) == ([] if role is None else [{"key": [role]}])
    assert without == ["/v1/health/live", "/v1/health/ready"]


def test_a_key_that_is_used_too_often(bundle: Bundle, key_file: Path, keys: dict[str, str]) -> None:
    limits = LimitSettings(key_requests_per_second=0.001, key_burst=3)
    with listening(
        make_app(bundle, ServiceSettings(limits=limits), keys=Keys.read(key_file))
    ) as client:
        of_reader = [client.get("/v1/version", headers=bearer(keys["read"])) for _ in range(5)]
        assert [each.status_code for each in of_reader] == [200, 200, 200, 429, 429]
        assert 900 < int(of_reader[3].headers["retry-after"]) <= 1_000
        # Another key has a rate of its own, and health none.
        assert client.get("/v1/version", headers=bearer(keys["admin"])).status_code == 200
        assert client.get("/v1/health/live").status_code == 200


def test_a_bucket_fills_up_again_and_not_beyond() -> None:
    now = 0.0
    bucket = TokenBucket(2, 3, lambda: now)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
    now = 0.25
    assert bucket.take() == 0.25
    now = 0.5
    assert bucket.take() == 0
    now = 100
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]


def test_the_file_has_no_key_in_it(key_file: Path, keys: dict[str, str]) -> None:
    text = key_file.read_text()
    assert not any(key in text for key in keys.values())
    assert [each["name"] for each in yaml.safe_load(text)["keys"]] == list(keys)
    with pytest.raises(ConfigError, match="has a key read already"):
        add_key(key_file, "read", [Role.READ])
    with pytest.raises(ConfigError, match="'a key' is no name"):
        add_key(key_file, "a key", [Role.READ])
    assert key_file.read_text() == text


def test_a_key_is_made_and_revoked_while_the_service_runs(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    first = add_key(file, "first", [Role.READ])
    only_first = file.read_text()
    now = 0.0
    keys = KeyFile(file, lambda: now)

    def known(presented: str) -> bool:
        nonlocal now
        now += 2
        return keys.find(presented) is not None

    second = add_key(file, "second", [Role.READ])
    assert known(first)
    assert known(second)
    file.write_text("keys: 7")
    assert known(second)
    file.unlink()
    assert known(second)
    file.write_text(only_first)
    assert not known(second)
    assert known(first)
    file.write_text("keys: []")
    assert not known(first)


def test_a_key_by_command(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    command = ["keys", "add", "--keys", str(file), "--name", "till", "--role", "event"]
    made = CliRunner().invoke(command_line, [*command, "--role", "read"])
    assert made.exit_code == 0, made.output
    found = Keys.read(file).find(made.output.strip())
    assert found is not None
    assert (found.name, found.roles) == ("till", (Role.EVENT, Role.READ))
    refused = CliRunner().invoke(command_line, [*command[:-1], "king"])
    assert refused.exit_code == 2
    assert "none of read, event, admin" in refused.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no API key"),
        ("keys: []", "there is no API key"),
        ("keys: [{name: a, roles: [read], sha256: abc}]", "keys.0.sha256"),
        ("keys: [{name: a, roles: [], sha256: " + "0" * 64 + "}]", "keys.0.roles"),
        ("keys: [{name: a, roles: [king], sha256: " + "0" * 64 + "}]", "keys.0.roles.0"),
        ("key: 7", "unknown setting 'key'"),
        (
            "keys: [" + 2 * ("{name: a, roles: [read], sha256: '" + "0" * 64 + "'}, ") + "]",
            "two API keys have the name a",
        ),
    ],
)
def test_a_file_that_holds_something_else(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        Keys.read(tmp_path / "keys.yaml")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example"])
def test_without_keys_no_other_machine_may_ask(host: str, bundle_folder: Path) -> None:
    with pytest.raises(ConfigError, match="without API keys whoever reaches"):
        serve(bundle_folder, ServiceSettings(host=host))
