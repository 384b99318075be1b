"""The settings: refused with a message that helps, printed as what can be read back."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from modiste.config import Config, describe_config, dump_config, load_config, presets
from modiste.errors import ConfigError
from modiste.models.blend import RECOMMENDERS, BlendSettings
from modiste.models.graph.sage_settings import GraphSettings
from modiste.models.sasrec.settings import SASRecSettings


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "settings.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("horizn=3", r"unknown setting 'horizn': did you mean 'horizon'\?"),
        ("models.popularity.dayz=3", r"'models.popularity.dayz': did you mean 'days'\?"),
        ("ingest.articls.separator=;", r"'ingest.articls': did you mean 'articles'\?"),
        ("qqqq=1", "unknown setting 'qqqq': known are as_of, horizon, ingest"),
        ("horizon=abc", "setting 'horizon': .*integer.*'abc'"),
        ("horizon=", "setting 'horizon': .*not None"),
        ("horizon=0", "setting 'horizon': .*greater than or equal to 1"),
        ("horizon=100000000", "setting 'horizon': .*less than or equal to 3650"),
        ("horizon.days=3", "setting 'horizon': .*integer"),
        ("as_of=2020-13-01", "month must be in 1..12"),
        ("models=3", "setting 'models'"),
        ("models.popularity.days=99999999", "setting 'models.popularity.days'"),
        ("models.weights.repurchas=1", "setting 'models.weights': no recommender repurchas"),
        ("models.weights.popularity=0", "the blend needs a weight of popularity"),
        ("models.weights.repurchase=-1", "setting 'models.weights.repurchase'"),
        ("models.popularity_by_section.column=section", "did you mean 'section_no'"),
        ("models.repurchase.repeat_group=foo", "no such column of the articles"),
        ("ingest.articles.columns.articl_id=sku", "did you mean 'article_id'"),
        ("ingest.articles.separator=;;", "setting 'ingest.articles.separator'"),
        ("horizon", "expected key=value"),
        ("=3", "expected key=value"),
        ("horizon=[1", "the value is not YAML"),
    ],
)
def test_a_wrong_override_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=[override])


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, "horizn: 3\nmodels:\n  candidates: none\n")
    with pytest.raises(
        ConfigError, match=r"models.candidates[\s\S]*horizn|horizn[\s\S]*candidates"
    ):
        load_config(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- horizon\n", "holds no settings"),
        ("horizon: [1\n", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        ("1: 2\n", "Keys should be strings"),
        ("models:\n", "setting 'models'"),
        ("!!python/object/apply:os.getcwd []\n", "is not YAML"),
    ],
)
def test_a_file_that_is_no_tree_of_settings(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, text))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    file = write(tmp_path, "horizon: 3\n")
    with pytest.raises(ConfigError, match=r"did you mean 'settings.yaml'\?"):
        load_config(file.with_name("setting.yaml"))
    with pytest.raises(ConfigError, match="no config file"):
        load_config(tmp_path / "nowhere" / "settings.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)


def test_an_override_outbids_the_file_and_the_file_the_preset(tmp_path: Path) -> None:
    assert load_config(preset="demo").evaluation.resamples == 500
    file = write(tmp_path, "evaluation: {resamples: 7, level: 0.9}\nhorizon: 5\n")
    config = load_config(file, "demo", ["horizon=3", "as_of=2020-09-20"])
    assert (config.evaluation.resamples, config.evaluation.level) == (7, 0.9)
    assert (config.horizon, config.as_of) == (3, date(2020, 9, 20))
    assert load_config(write(tmp_path, "")) == Config()


def test_presets() -> None:
    assert presets() == ["demo", "full", "mission"]
    for preset in presets():
        load_config(preset=preset)
    with pytest.raises(ConfigError, match="no preset 'dmo': there are demo, full, mission"):
        load_config(preset="dmo")


OVERRIDES = [
    "as_of=2020-09-20",
    "horizon=3",
    "models.weights.most_frequent=3",
    "models.repurchase.repeat_group=null",
    "models.popularity_by_age.band_starts=[30, 60]",
    "ingest.articles.columns={detail_desc: [a, 'b: c'], prod_name: 'nämé #1'}",
    'ingest.transactions.separator="\\t"',
    "evaluation.recall_at=[]",
    "report.images=some/folder",
]


def test_dumped_settings_read_back_to_the_same(tmp_path: Path) -> None:
    for config in (Config(), load_config(overrides=OVERRIDES)):
        assert load_config(write(tmp_path, dump_config(config))) == config


def undescribed(model: type[BaseModel]) -> list[str]:
    """Names of the fields of a tree of settings that do not say what they mean."""
    found = []
    for name, field in model.model_fields.items():
        found += [] if field.description else [f"{model.__name__}.{name}"]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += undescribed(field.annotation)
    return found


def test_described_settings_read_back_to_the_same_and_say_what_they_mean(tmp_path: Path) -> None:
    for config in (Config(), load_config(overrides=OVERRIDES)):
        text = describe_config(config)
        assert load_config(write(tmp_path, text)) == config
        weights = yaml.safe_load(text)["models"]["weights"]
        assert list(weights) == list(config.models.weights)
    lines = describe_config(Config()).splitlines()
    assert max(map(len, lines)) <= 110
    assert undescribed(Config) == []


def test_one_weight_can_be_set_alone() -> None:
    default = Config().models.weights
    changed = load_config(overrides=["models.weights.repurchase=500"]).models.weights
    assert changed == {**default, "repurchase": 500}


def test_a_presets_weight_is_left_out_by_null() -> None:
    without = ["models.gnn.enabled=false", "models.weights.gnn=null"]
    config = load_config(preset="mission", overrides=without)
    assert "gnn" not in config.models.weights
    assert config.models.weights["sasrec"] == 10


def test_settings_that_do_not_go_together_are_said_without_the_whole_tree() -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(preset="mission", overrides=["models.gnn.enabled=false"])
    message = str(raised.value)
    assert "models.weights names gnn" in message
    assert "models.weights.gnn to null" in message
    assert len(message) < 300


def test_the_order_of_weights_is_one_whoever_writes_them() -> None:
    """The search moves them in turn, and a stage's key does not tell one order from another."""
    names = list(RECOMMENDERS)
    written = BlendSettings(
        weights=dict.fromkeys(reversed(names), 1.0),
        sasrec=SASRecSettings(enabled=True),
        gnn=GraphSettings(enabled=True),
    )
    assert list(written.weights) == names


def test_a_recall_depth_named_twice_counts_once() -> None:
    config = load_config(overrides=["evaluation.recall_at=[100, 50, 100]"])
    assert config.evaluation.recall_at == (100, 50)
