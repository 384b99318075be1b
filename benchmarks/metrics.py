"""Time and peak memory of scoring 1.37 M customers, and of bootstrap intervals over 70,000.

Run ``python benchmarks/metrics.py``; the last line is one JSON object. The peak is that of the
whole process, so it includes the frames that are scored (``input_mib``).
"""

from __future__ import annotations

import json
import resource
import time

import numpy as np
import polars as pl

from modiste.evaluation.intervals import resample_means
from modiste.evaluation.metrics import score_customers

CUSTOMERS = 1_371_980
ARTICLES = 105_542
K = 12
WEEK_CUSTOMERS = 70_000
RESAMPLES = 1_000
COLUMNS = 36  # six models with six metrics


def recommendations(rng: np.random.Generator) -> pl.DataFrame:
    """Twelve articles a customer; low codes are popular ones."""
    rows = CUSTOMERS * K
    popular = (ARTICLES * rng.random(rows, dtype=np.float32) ** 6).astype(np.int32)
    return pl.DataFrame(
        {
            "customer": np.repeat(np.arange(CUSTOMERS, dtype=np.int32), K),
            "article": popular,
            "score": rng.random(rows, dtype=np.float32),
            "rank": np.tile(np.arange(1, K + 1, dtype=np.uint16), CUSTOMERS),
        }
    )


def purchases(rng: np.random.Generator) -> pl.DataFrame:
    """Three articles a customer on average, drawn as the recommendations are."""
    customer = np.repeat(np.arange(CUSTOMERS, dtype=np.int32), rng.integers(1, 6, CUSTOMERS))
    article = (ARTICLES * rng.random(len(customer)) ** 6).astype(np.int32)
    return pl.DataFrame({"customer": customer, "article": article})


def peak_mib() -> float:
    """Largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    recommended, labels = recommendations(rng), purchases(rng)
    before = peak_mib()
    start = time.perf_counter()
    scores = score_customers(recommended, labels, K)
    scoring = time.perf_counter() - start
    after = peak_mib()

    values = rng.random((WEEK_CUSTOMERS, COLUMNS))
    start = time.perf_counter()
    resample_means(values[:, :1], RESAMPLES)
    one = time.perf_counter() - start
    start = time.perf_counter()
    resample_means(values, RESAMPLES)
    many = time.perf_counter() - start

    print(
        json.dumps(
            {
                "customers": CUSTOMERS,
                "recommendations": recommended.height,
                "labels": labels.height,
                "map": round(scores.select(pl.col("average_precision").mean()).item(), 6),
                "score_seconds": round(scoring, 2),
                "input_mib": round(
                    (recommended.estimated_size() + labels.estimated_size()) / 2**20
                ),
                "peak_before_mib": round(before),
                "peak_mib": round(after),
                "bootstrap_customers": WEEK_CUSTOMERS,
                "bootstrap_resamples": RESAMPLES,
                "bootstrap_one_column_seconds": round(one, 2),
                f"bootstrap_{COLUMNS}_columns_seconds": round(many, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
