"""The best articles of each customer are those that sorting all rows by hand would give."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from modiste.evaluation.protocol import RECOMMENDATIONS, rank_by_score

CODES = st.integers(0, 2**31 - 1)
# Few customers near one another and far apart, so that they are ranked in one part or in many.
CUSTOMERS = st.one_of(st.integers(0, 5), st.integers(2**31 - 5, 2**31 - 1), CODES)
ARTICLES = st.one_of(st.integers(0, 5), CODES)
SCORES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan")]),
    st.floats(width=32),
)
PAIRS = st.dictionaries(st.tuples(CUSTOMERS, ARTICLES), SCORES, max_size=60)


@given(scored=PAIRS, k=st.integers(1, 8))
def test_ranks_are_those_of_sorting_by_hand(scored: dict[tuple[int, int], float], k: int) -> None:
    frame = pl.DataFrame(
        [(customer, article, score) for (customer, article), score in scored.items()],
        schema={name: RECOMMENDATIONS[name] for name in ("customer", "article", "score")},
        orient="row",
    )
    expected = []
    for customer in sorted({customer for customer, _ in scored}):
        own = [(article, score) for (of, article), score in scored.items() if of == customer]
        # What is not a number comes last; of equal scores the lower code first.
        own.sort(key=lambda row: (row[1] != row[1], -row[1] if row[1] == row[1] else 0.0, row[0]))
        expected += [
            (customer, article, score, place + 1) for place, (article, score) in enumerate(own[:k])
        ]
    found = rank_by_score(frame, k)
    assert found.schema == RECOMMENDATIONS
    assert found.equals(pl.DataFrame(expected, schema=RECOMMENDATIONS, orient="row"))
