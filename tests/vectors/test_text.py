"""An article in words: parts, missing values, hostile ones."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modiste.data.schema import PREPARED_ARTICLES
from modiste.vectors.text import TextSettings, article_texts


def articles(**columns: list[str | None]) -> pl.DataFrame:
    """Articles whose other columns are all missing."""
    n = len(next(iter(columns.values())))
    return pl.DataFrame(
        {
            name: list(range(n)) if name == "article" else columns.get(name, [None] * n)
            for name in PREPARED_ARTICLES
        },
        schema=PREPARED_ARTICLES,
    )


def test_the_default_template_on_a_whole_article() -> None:
    one = articles(
        prod_name=["Strap top"],
        product_type_name=["Vest top"],
        graphical_appearance_name=["Solid"],
        colour_group_name=["Black"],
        department_name=["Jersey Basic"],
        section_name=["Womens Everyday Basics"],
        detail_desc=["Jersey top with narrow shoulder straps."],
    )
    assert article_texts(one, TextSettings()).to_list() == [
        "Strap top. Vest top. Solid. Black. Jersey Basic. Womens Everyday Basics. "
        "Jersey top with narrow shoulder straps."
    ]


def test_missing_parts_leave_no_trace() -> None:
    some = articles(
        prod_name=["Strap top", None, " ", "Unknown", None],
        product_type_name=[None, "Vest top", "Vest top", "Vest top", None],
        colour_group_name=["Black", "Black", "undefined", "Black", None],
    )
    settings = TextSettings(parts=("{prod_name}", "{product_type_name}", "in {colour_group_name}"))
    assert article_texts(some, settings).to_list() == [
        "Strap top. in Black",
        "Vest top. in Black",
        "Vest top",
        "Vest top. in Black",
        "",
    ]


def test_a_part_of_several_columns_needs_all_of_them() -> None:
    some = articles(prod_name=["Top", "Top"], colour_group_name=["Red", None])
    settings = TextSettings(parts=("{prod_name} in {colour_group_name}",))
    assert article_texts(some, settings).to_list() == ["Top in Red", ""]


def test_a_full_stop_is_not_doubled_and_white_space_is_one_space() -> None:
    one = articles(prod_name=["Top."], detail_desc=["  Soft\n\njersey.  "])
    assert article_texts(one, TextSettings()).to_list() == ["Top. Soft jersey."]


@given(st.lists(st.one_of(st.none(), st.text()), min_size=1, max_size=5))
def test_any_value_is_taken_as_it_is(names: list[str | None]) -> None:
    texts = article_texts(articles(prod_name=names), TextSettings(parts=("{prod_name}",)))
    assert len(texts) == len(names)
    assert texts.null_count() == 0


@pytest.mark.parametrize(
    ("part", "told"),
    [("{prod_nam}", "no column 'prod_nam'"), ("plain", "at least one"), ("{prod_name", "write a")],
)
def test_a_wrong_template_is_told_before_any_work(part: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TextSettings(parts=(part,))
