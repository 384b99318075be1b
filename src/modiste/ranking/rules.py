"""The shop's own rules: the last step between ranked candidates and what a customer is shown.

A merchandiser's wishes are no matter of learning: not this article, at most two of a product,
nothing dearer than this. They are worked out once for each article (:func:`article_rules`), applied
to the candidates of any number of customers (:func:`apply_rules`, :func:`fill_up`), and what each
of them changed is counted (:func:`rule_changes`).

First what may not be shown is taken out, then scores are boosted and articles ordered anew, and
``at_most`` goes down this order: an article is taken unless its product, department or colour is
full with those taken before it. Without rules, the best candidates stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Annotated, Literal, TypeVar, get_args

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modiste.errors import ConfigError
from modiste.evaluation.protocol import RECOMMENDATIONS
from modiste.models.columns import ArticleColumn

RuleName = Literal[
    "exclude_articles",
    "exclude",
    "only",
    "only_on_sale_days",
    "price_ceiling",
    "already_bought",
    "boost",
    "at_most",
]

# In the order in which they are applied.
RULES: tuple[RuleName, ...] = get_args(RuleName)

# Those that say of an article, whoever the customer is, that it may not be shown.
_FORBIDDING: tuple[RuleName, ...] = RULES[: RULES.index("already_bought")]

# What :func:`rule_changes` calls all rules together.
TOGETHER = "all"

_Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Rules(BaseModel):
    """What may be shown, whatever the rankers say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exclude_articles: tuple[str, ...] = Field(
        default=(), description="Ids of articles that are never shown."
    )
    exclude: dict[ArticleColumn, tuple[str, ...]] = Field(
        default={},
        description=(
            "Values by column of the articles that are never shown, such as "
            "section_name: [Mens Underwear]."
        ),
    )
    only: dict[ArticleColumn, tuple[str, ...]] = Field(
        default={},
        description=(
            "Values by column of the articles that alone are shown, such as "
            "section_name: [Womens Everyday Basics]; of every column named one of its values."
        ),
    )
    only_on_sale_days: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description=(
            "Days without a sale after which an article counts as off sale and is not shown. Left "
            "out: whatever was proposed."
        ),
    )
    price_ceiling: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description=(
            "Highest price that is shown, in the shop's unit, by an article's latest mean price; "
            "one whose price is not known is not shown. Left out: any."
        ),
    )
    already_bought: Literal["keep", "drop", "only"] = Field(
        default="keep",
        description=(
            "What a customer has bought before: keep it, drop it, or show only that (a list to buy "
            "again)."
        ),
    )
    boost: dict[ArticleColumn, dict[str, _Factor]] = Field(
        default={},
        description=(
            "Factors on the score by value by column of the articles, such as "
            "index_name: {Sport: 1.5}; those of several columns are multiplied."
        ),
    )
    at_most: dict[ArticleColumn, Annotated[int, Field(ge=1)]] = Field(
        default={},
        description=(
            "Number of articles in a customer's list that may share a value of a column, such as "
            "product_code: 2. Articles without a value are not counted."
        ),
    )

    @property
    def in_force(self) -> list[RuleName]:
        """Names of those that are set, in the order of ``RULES``."""
        none = Rules()
        return [name for name in RULES if getattr(self, name) != getattr(none, name)]

    def beside(self, others: Rules) -> Rules:
        """These rules and others as one: what may be shown is what both allow.

        Boosts are multiplied; of two figures the stricter one is in force.

        Raises
        ------
        ConfigError
            When one drops what was bought before, and the other shows nothing else.
        """
        bought = {self.already_bought, others.already_bought} - {"keep"}
        if len(bought) > 1:
            raise ConfigError(
                "rules.already_bought: one rule drops what was bought before and another shows "
                "only that: leave one out"
            )
        both = (self, others)
        return Rules(
            exclude_articles=tuple(dict.fromkeys(self.exclude_articles + others.exclude_articles)),
            exclude={
                column: self.exclude.get(column, ()) + others.exclude.get(column, ())
                for column in self.exclude | others.exclude
            },
            only={
                column: tuple(
                    value
                    for value in self.only.get(column, others.only.get(column, ()))
                    if value in others.only.get(column, (value,))
                )
                for column in self.only | others.only
            },
            only_on_sale_days=_stricter(self.only_on_sale_days, others.only_on_sale_days),
            price_ceiling=_stricter(self.price_ceiling, others.price_ceiling),
            already_bought=bought.pop() if bought else "keep",
            boost={
                column: _multiplied(self.boost.get(column, {}), others.boost.get(column, {}))
                for column in self.boost | others.boost
            },
            at_most={
                column: min(rules.at_most[column] for rules in both if column in rules.at_most)
                for column in self.at_most | others.at_most
            },
        )


_Figure = TypeVar("_Figure", int, float)


def _stricter(one: _Figure | None, other: _Figure | None) -> _Figure | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _multiplied(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {value: one.get(value, 1.0) * other.get(value, 1.0) for value in {**one, **other}}


@dataclass(frozen=True)
class ArticleRules:
    """The rules, worked out for every article of a shop as of a date: small, and sent to workers.

    Attributes
    ----------
    rules
        The rules.
    articles
        ``article`` (int32) and, of the rules in force, a Boolean column named as each rule that may
        forbid an article; ``factor`` (float64) of the boosts; and for each column of ``at_most``
        one of its name with a code for each value (null: none).
    """

    rules: Rules
    articles: pl.DataFrame

    def alone(self, rule: RuleName) -> ArticleRules:
        """The same with one of the rules only."""
        only = Rules().model_copy(update={rule: getattr(self.rules, rule)})
        return ArticleRules(only, self.articles)

    def factor_of(self, article: int) -> float:
        """By which the score of an article is multiplied; 1 where no rule says otherwise."""
        if not self.rules.boost:
            return 1.0
        return float(self.articles.filter(pl.col("article") == article)["factor"].item())

    def without_boost(self) -> ArticleRules:
        """The same without the factors on the scores."""
        return ArticleRules(self.rules.model_copy(update={"boost": {}}), self.articles)

    def forbidden(self) -> dict[RuleName, int]:
        """How many articles of the catalogue each of the rules that may forbid one forbids."""
        return {rule: int(self.articles[rule].sum()) for rule in self._forbidding}

    def forbid(self, article: int) -> list[RuleName]:
        """Those of the rules that forbid one article, whoever the customer is."""
        (row,) = self.articles.filter(pl.col("article") == article).iter_rows(named=True)
        return [rule for rule in self._forbidding if row[rule]]

    @property
    def _forbidding(self) -> list[RuleName]:
        return [rule for rule in self.rules.in_force if rule in _FORBIDDING]

    def _allowed(self) -> pl.DataFrame:
        """Those that may be shown: ``article``, ``factor`` and the columns of ``at_most``."""
        return self.articles.filter(
            ~pl.any_horizontal(pl.lit(value=False), *self._forbidding)
        ).select(
            "article",
            (pl.col("factor") if self.rules.boost else pl.lit(1.0)).alias("factor"),
            *self.rules.at_most,
        )


def article_rules(
    rules: Rules, articles: pl.DataFrame, sales: pl.DataFrame, as_of: date
) -> ArticleRules:
    """Work rules out for every article.

    Parameters
    ----------
    rules
        The rules.
    articles
        ``article``, ``article_id`` and every column that a rule names, as in
        ``schema.PREPARED_ARTICLES``.
    sales
        What was known before ``as_of``: ``article``, ``last_sale`` (date) and ``price`` (the latest
        mean price), one row an article at most; what is missing is not known. A column that no rule
        needs may be missing.
    as_of
        The first day to recommend for.

    Raises
    ------
    ConfigError
        When a rule names an article or a value that the shop does not have, or needs a column or
        prices that it does not have.
    """
    known = articles["article_id"]
    _check_values("exclude_articles", "article_id", rules.exclude_articles, known)
    for rule, by_column in (
        ("exclude", rules.exclude),
        ("only", rules.only),
        ("boost", rules.boost),
    ):
        for column, values in by_column.items():
            _check_values(f"{rule}.{column}", column, list(values), articles[column])
    for column in rules.at_most:
        if articles[column].is_null().all():
            raise ConfigError(
                f"rules.at_most.{column}: no article of the shop has a {column}: leave it out"
            )
    if rules.price_ceiling is not None and sales["price"].is_null().all():
        raise ConfigError(
            "rules.price_ceiling: the price of no article is known: leave it out, or map the "
            "transactions' price"
        )
    judged = articles.join(sales, on="article", how="left", maintain_order="left").with_columns(
        pl.col("article").cast(pl.Int32)
    )
    return ArticleRules(
        rules,
        judged.select(
            "article",
            **_forbidding(rules, as_of),
            factor=_factor(rules.boost),
            **{column: pl.col(column).rank("dense").cast(pl.Int32) for column in rules.at_most},
        ),
    )


def _forbidding(rules: Rules, as_of: date) -> dict[str, pl.Expr]:
    found: dict[str, pl.Expr] = {}
    if rules.exclude_articles:
        found["exclude_articles"] = pl.col("article_id").is_in(list(rules.exclude_articles))
    if rules.exclude:
        found["exclude"] = pl.any_horizontal(
            pl.col(column).is_in(list(values)).fill_null(value=False)
            for column, values in rules.exclude.items()
        )
    if rules.only:
        found["only"] = ~pl.all_horizontal(
            pl.col(column).is_in(list(values)).fill_null(value=False)
            for column, values in rules.only.items()
        )
    if rules.only_on_sale_days is not None:
        since = as_of - timedelta(days=rules.only_on_sale_days)
        found["only_on_sale_days"] = ~(pl.col("last_sale") >= since).fill_null(value=False)
    if rules.price_ceiling is not None:
        found["price_ceiling"] = ~(pl.col("price") <= rules.price_ceiling).fill_null(value=False)
    return found


def _factor(boost: Mapping[str, Mapping[str, float]]) -> pl.Expr:
    factor = pl.lit(1.0)
    for column, factors in boost.items():
        factor *= pl.col(column).replace_strict(dict(factors), default=1.0, return_dtype=pl.Float64)
    return factor


def _check_values(setting: str, column: str, values: Sequence[str], of_articles: pl.Series) -> None:
    known = set(of_articles.drop_nulls())
    missing = [value for value in values if value not in known]
    if not missing:
        return
    near = get_close_matches(missing[0], sorted(known), n=1)
    hint = f": did you mean {near[0]!r}?" if near else ""
    more = f", nor {len(missing) - 1:,} more of those named" if missing[1:] else ""
    raise ConfigError(
        f"rules.{setting}: no article of the shop has the {column} {missing[0]!r}{more}{hint}"
    )


def apply_rules(
    candidates: pl.DataFrame,
    rules: ArticleRules,
    k: int,
    bought: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The best ``k`` candidates of each customer that the rules allow.

    Parameters
    ----------
    candidates
        ``customer``, ``article`` and ``score`` (0 or more, as a boost multiplies it); a pair at
        most once; as many of a customer as there are, since rules leave only some of them. The
        higher the score the better; ties are broken by the article's code.
    rules
        The rules, worked out for the articles.
    k
        Articles a customer.
    bought
        ``customer`` and ``article`` of what these customers bought before the date; needed where
        ``already_bought`` is not "keep".

    Returns
    -------
    Columns of ``RECOMMENDATIONS`` with the boosted score, sorted by (customer, rank). A customer
    has fewer than ``k``, or none, where the rules leave no more.

    Raises
    ------
    ValueError
        When a score is negative or no number, or ``bought`` is needed and not given.
    """
    if (
        not (candidates["score"].is_finite() & (candidates["score"] >= 0))
        .fill_null(value=False)
        .all()
    ):
        raise ValueError("scores that rules are applied to are finite, and 0 or more")
    allowed = _by_purchases(candidates, rules.rules, bought).join(rules._allowed(), on="article")
    ordered = allowed.with_columns(
        # Single precision, before the order: what ties there is in the order of the codes.
        (pl.col("score").cast(pl.Float64) * pl.col("factor")).cast(pl.Float32).alias("score")
    ).sort("customer", "score", "article", descending=[False, True, False])
    return _ranked(_first(ordered, rules.rules.at_most, k))


def rules_against(
    candidates: pl.DataFrame,
    rules: ArticleRules,
    k: int,
    article: int,
    bought: pl.DataFrame | None = None,
) -> list[RuleName]:
    """The rules that keep an article out of one customer's list.

    Parameters
    ----------
    candidates
        As for :func:`apply_rules`, of one customer.
    rules, k, bought
        As for :func:`apply_rules`.
    article
        Code of the article, a candidate or not.

    Returns
    -------
    Those that forbid it, to anybody or to who has bought it, or has not. Where there is none, and
    the article would be in the list without rules: "at_most" where it would be there but for that,
    else "boost", for others were lifted above it. Empty where rules have no part in it.
    """
    found = rules.forbid(article)
    pair = candidates.select("customer").head(1).with_columns(article=pl.lit(article))
    if _by_purchases(pair, rules.rules, bought).height < pair.height:
        found.append("already_bought")
    if found:
        return found

    def shows(tried: ArticleRules) -> bool:
        return article in apply_rules(candidates, tried, k, bought)["article"]

    if shows(rules):
        return []
    unlimited = ArticleRules(rules.rules.model_copy(update={"at_most": {}}), rules.articles)
    if shows(unlimited):
        return ["at_most"]
    return ["boost"] if shows(unlimited.without_boost()) else []


def fill_up(
    kept: pl.DataFrame,
    fallback: pl.DataFrame,
    customers: pl.Series,
    rules: ArticleRules,
    k: int,
    bought: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Fill lists that the rules have left too short from one list for all, under the same rules.

    Parameters
    ----------
    kept
        What :func:`apply_rules` gave.
    fallback
        ``article`` and ``score`` (0 or more), as of the shop's best sellers; an article at most
        once. Its length times the number of short lists is held in memory.
    customers
        Codes of the customers who are to have a list, also those of whom nothing was kept.
    rules, k, bought
        As for :func:`apply_rules`.

    Returns
    -------
    Columns of ``RECOMMENDATIONS``, sorted by (customer, rank): of these customers what was kept, in
    its order, and after it what was filled in, with the score 0, as no ranker has scored it. Still
    fewer than ``k`` where the fallback has no more.
    """
    # The codes are cast once, so that callers may give whatever integers they have.
    everybody = customers.unique().cast(pl.Int32).alias("customer").to_frame()
    kept = kept.join(everybody, on="customer", how="semi")
    counts = kept.group_by("customer").agg(pl.len().alias("kept"))
    short = (
        everybody.join(counts, on="customer", how="left")
        .filter(pl.col("kept").fill_null(0) < k)
        .select("customer")
    )
    allowed = rules._allowed()
    listed = (
        fallback.with_columns(pl.col("article").cast(pl.Int32))
        .join(allowed, on="article")
        .with_columns(pl.col("score") * pl.col("factor"))
        .sort("score", "article", descending=[True, False])
        .with_row_index("place")
        .select("article", "place", *rules.rules.at_most)
    )
    filling = (
        _by_purchases(short.join(listed, how="cross"), rules.rules, bought)
        .join(kept, on=["customer", "article"], how="anti")
        .with_columns(filled=pl.lit(value=True), score=pl.lit(0.0, pl.Float32))
    )
    there = (
        kept.join(short, on="customer", how="semi")
        .join(allowed, on="article", how="left")
        .with_columns(filled=pl.lit(value=False), place=pl.col("rank").cast(pl.UInt32))
    )
    ordered = pl.concat([there.select(filling.columns), filling]).sort(
        "customer", "filled", "place"
    )
    whole = kept.join(short, on="customer", how="anti")
    filled = _ranked(_first(ordered, rules.rules.at_most, k))
    return pl.concat([whole.select(list(RECOMMENDATIONS)), filled]).sort("customer", "rank")


def _by_purchases(
    candidates: pl.DataFrame, rules: Rules, bought: pl.DataFrame | None
) -> pl.DataFrame:
    codes = candidates.with_columns(pl.col("customer", "article").cast(pl.Int32))
    if rules.already_bought == "keep":
        return codes
    if bought is None:
        raise ValueError(f"already_bought: {rules.already_bought} needs what was bought")
    pairs = bought.select(pl.col("customer", "article").cast(pl.Int32))
    how: Literal["anti", "semi"] = "anti" if rules.already_bought == "drop" else "semi"
    return codes.join(pairs, on=["customer", "article"], how=how)


def _first(ordered: pl.DataFrame, at_most: Mapping[str, int], k: int) -> pl.DataFrame:
    """The first ``k`` rows of each customer, going down the order and leaving out what is full.

    All customers go down their lists together, a place at a time, until they have ``k``: that is a
    little more than ``k`` steps, each over arrays of customers.
    """
    # Lists lie one after the other.
    sizes = ordered["customer"].rle().struct.field("len").to_numpy().astype(np.int64)
    if not len(sizes):
        return ordered
    starts = np.cumsum(sizes) - sizes
    # Codes start at 1: 0 has no value, and -1 is a place that is not taken yet.
    codes = {name: ordered[name].fill_null(0).to_numpy() for name in at_most}
    taken = {name: np.full((len(sizes), k), -1, dtype=np.int32) for name in at_most}
    counts = np.zeros(len(sizes), dtype=np.int64)
    kept = np.zeros(ordered.height, dtype=np.bool_)
    going = np.arange(len(sizes))
    for place in range(int(sizes.max())):
        going = going[(sizes[going] > place) & (counts[going] < k)]
        rows = starts[going] + place
        fits = np.ones(len(going), dtype=np.bool_)
        for name, n in at_most.items():
            code = codes[name][rows]
            alike = (taken[name][going] == code[:, None]).sum(axis=1)
            fits &= (code == 0) | (alike < n)
        taking, rows = going[fits], rows[fits]
        for name in at_most:
            taken[name][taking, counts[taking]] = codes[name][rows]
        counts[taking] += 1
        kept[rows] = True
    return ordered.filter(pl.Series(kept))


def _ranked(ordered: pl.DataFrame) -> pl.DataFrame:
    rank = pl.int_range(1, pl.len() + 1).over("customer")
    return ordered.with_columns(rank=rank).select(
        pl.col(name).cast(dtype) for name, dtype in RECOMMENDATIONS.items()
    )


# Of the frames that :func:`rule_changes` gives.
_CHANGES: dict[str, pl.DataType] = {
    "rule": pl.Enum([*RULES, TOGETHER]),
    "article": pl.Int32(),
    "customers": pl.UInt32(),
}

# What :func:`rule_changes` gives where no rule is in force.
NO_CHANGES = pl.DataFrame(schema=_CHANGES)


def rule_changes(
    candidates: pl.DataFrame,
    rules: ArticleRules,
    k: int,
    bought: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """What each rule in force changes by itself in the lists without any, and all together.

    Parameters
    ----------
    candidates, rules, k, bought
        As for :func:`apply_rules`.

    Returns
    -------
    ``rule`` (Enum of ``RULES`` and "all"), ``article`` (int32) and ``customers`` (uint32): of how
    many customers the rule takes the article out of their first ``k``; and one row a rule without
    an article: how many customers have another list or order. Frames of disjoint customers go
    together into :func:`summarise_changes`.
    """
    before = apply_rules(candidates, ArticleRules(Rules(), rules.articles), k)
    pair = ["customer", "article"]
    frames = [NO_CHANGES]
    each = [(rule, rules.alone(rule)) for rule in rules.rules.in_force]
    for name, only in [*each, (TOGETHER, rules)]:
        after = apply_rules(candidates, only, k, bought)
        gone = before.join(after, on=pair, how="anti")
        # What is new in a list stands where something else stood, or after something gone.
        moved = before.join(after, on=[*pair, "rank"], how="anti")
        found = pl.concat(
            [
                gone.group_by("article").agg(pl.len().alias("customers")).sort("article"),
                pl.DataFrame(
                    {"article": [None], "customers": [moved["customer"].n_unique()]},
                    schema_overrides={"article": pl.Int32, "customers": pl.UInt32},
                ),
            ],
            how="vertical_relaxed",
        )
        frames.append(
            found.select(
                pl.lit(name).cast(_CHANGES["rule"]).alias("rule"),
                "article",
                pl.col("customers").cast(pl.UInt32),
            )
        )
    return pl.concat(frames)


def summarise_changes(changes: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Add up what :func:`rule_changes` gave for disjoint customers.

    Returns
    -------
    One row a rule, in the order in which they are applied, "all" last: ``rule``, ``articles``
    (distinct ones that it takes out of a list), ``recommendations`` (how many places in lists these
    had) and ``customers`` (whose list or order is another); uint32.
    """
    rows = pl.concat([NO_CHANGES, *changes])
    of_articles = pl.col("article").is_not_null()
    return (
        rows.group_by("rule")
        .agg(
            articles=pl.col("article").drop_nulls().n_unique().cast(pl.UInt32),
            recommendations=pl.col("customers").filter(of_articles).sum().cast(pl.UInt32),
            customers=pl.col("customers").filter(~of_articles).sum().cast(pl.UInt32),
        )
        .sort("rule")
    )
