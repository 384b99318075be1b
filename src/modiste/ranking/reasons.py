"""Explanations in words that a merchandiser reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from modiste.candidates.descriptions import describe
from modiste.ranking.explanation import (
    Absence,
    Evidence,
    Explanation,
    Missed,
    Proposal,
    RelatedPurchase,
    Relation,
    RelationKind,
)
from modiste.ranking.rules import RuleName

# Groups of features.
GROUPS: Mapping[str, str] = {
    "source": "what the sources say of the article",
    "affinity": "the customer's way with the article",
    "customer": "the customer",
    "article": "the article",
    "similarity": "likeness to what was bought before",
    "visit": "the customer's last visit",
}

# Networks, as what sees articles.
_SEES: Mapping[str, str] = {
    "sasrec": "SASRec",
    "gnn": "the graph network",
    "combined": "both networks",
}

# Of customers, by how long ago they last bought: see ``modiste.candidates.settings``.
SEGMENTS: Mapping[str, str] = {
    "cold": "customers who have not bought anything yet",
    "lately": "customers who bought in the last 30 days",
    "earlier": "customers who last bought more than 30 days ago",
}

RULES: Mapping[RuleName, str] = {
    "exclude_articles": "the shop never shows this article (rules.exclude_articles)",
    "exclude": "the shop does not show articles of this kind (rules.exclude)",
    "only": "only articles of another kind are shown (rules.only)",
    "only_on_sale_days": "it has not been sold lately enough (rules.only_on_sale_days)",
    "price_ceiling": "it is too dear, or its price is not known (rules.price_ceiling)",
    "already_bought": "of what the rules say of articles bought before (rules.already_bought)",
    "boost": "other articles were lifted above it (rules.boost)",
    "at_most": "enough articles of its kind stand above it (rules.at_most)",
}

# A place among the best sellers is told as the least of these that holds it.
_BEST_SELLERS = (3, 5, 10, 20, 50, 100)

# A place among so many best sellers is worth a mention beside another reason.
_WORTH_A_MENTION = 20

_OWN = ("repurchase", "most_frequent")
_TOGETHER = ("co_visitation", "graph_filter")
_NETWORKS = ("sasrec", "gnn", "combined")


def reason(evidence: Evidence) -> str:
    """Why an article is shown, in one line.

    The proposal that counts most in the blend, or is best ranked where the blend has none of them,
    in facts that anybody can look up: purchases, days, best sellers. One more fact where there is
    one of the other kind: a purchase beside what sells, what sells beside a purchase.
    """
    if not evidence.proposals:
        return _selling(evidence)
    main = evidence.proposals[0]
    personal = _personal(evidence, main)
    if personal is not None:
        rank = evidence.sales_rank
        sells = rank is not None and rank <= _WORTH_A_MENTION
        return f"{personal}; {_selling(evidence)}" if sells else personal
    facts = [_general(evidence, main)]
    facts += [own] if (own := _closest(evidence)) else []
    return "; ".join(facts)


def purchase_in_words(purchase: RelatedPurchase) -> list[str]:
    """The ways in which a purchase is related to an article, the closest first."""
    return [_relation_in_words(relation) for relation in purchase.relations]


def why_not(explanation: Explanation) -> str | None:
    """Why an article is not shown, in a sentence or two; None where it is."""
    if explanation.shown_at is not None:
        return None
    said = [_absent(explanation.absence)] if explanation.absence is not None else []
    if explanation.rules:
        against = ", and ".join(RULES[rule] for rule in explanation.rules)
        said.append(f"A rule of the shop keeps it away: {against}.")
    elif explanation.place is not None:
        said.append(
            f"It is a candidate, but {explanation.place - 1:,} of the "
            f"{explanation.candidates:,} candidates have a higher score, and {explanation.k} are "
            "shown."
        )
    return " ".join(said)


def ago(days: int) -> str:
    """How many days ago, in words."""
    return "1 day ago" if days == 1 else f"{days:,} days ago"


def source_in_words(source: str) -> str:
    """What a source proposes."""
    return describe(source).proposes


def group_in_words(group: str) -> str:
    """What the features of a group are about."""
    return GROUPS.get(group, group.replace("_", " "))


def _personal(evidence: Evidence, main: Proposal) -> str | None:
    """What a proposal goes back to in the customer's own purchases; None: to none of them."""
    if main.source in _OWN:
        return _first(evidence.purchases, ("same article",))
    if main.source == "other_colours":
        return _first(evidence.purchases, ("same product",))
    if main.source in _TOGETHER:
        found = _first(evidence.purchases, ("bought together",))
        return found or "bought by customers with like purchases"
    if main.source == "content":
        return _first(evidence.purchases, ("alike",), "content")
    if main.source in _NETWORKS:
        close = _closest(evidence)
        alike = close or _first(evidence.purchases, ("alike",), *_NETWORKS)
        return alike or "goes with the latest purchases"
    return None


def _general(evidence: Evidence, main: Proposal) -> str:
    if main.source == "popularity_by_section" and evidence.section is not None:
        return f"sells well in {evidence.section}, where the customer buys"
    if main.source == "popularity_by_age" and evidence.age_known:
        return "sells well with customers of this age"
    if main.source in ("popularity", "popularity_by_section", "popularity_by_age"):
        return _selling(evidence)
    return f"proposed by: {source_in_words(main.source)}"


def _selling(evidence: Evidence) -> str:
    rank = evidence.sales_rank
    best = next((n for n in _BEST_SELLERS if rank is not None and rank <= n), None)
    if best is None:
        return "sells well at present"
    return f"among the {best} best sellers of the last day"


def _closest(evidence: Evidence) -> str | None:
    return _first(evidence.purchases, ("same article", "same product", "bought together"))


def _first(
    purchases: Sequence[RelatedPurchase], kinds: Sequence[RelationKind], *spaces: str
) -> str | None:
    """The first purchase of the first of some kinds that there is, in words."""
    every = chain.from_iterable(
        ((each, each.relation(kind, *spaces)) for each in purchases) for kind in kinds
    )
    return next((_led(each, found) for each, found in every if found is not None), None)


def _led(purchase: RelatedPurchase, relation: Relation) -> str:
    when = ago(purchase.days_ago)
    name = purchase.article.words
    if relation.kind == "same article":
        often = f"on {purchase.times} days, last " if purchase.times > 1 else ""
        return f"bought it {often}{when}"
    if relation.kind == "same product":
        return f"bought the same product in another colour {when}"
    if relation.kind == "bought together":
        return f"often bought together with {name}, bought {when}"
    if relation.space == "content":
        return f"described like {name}, bought {when}"
    return f"goes with {name}, bought {when}"


def _relation_in_words(relation: Relation) -> str:
    if relation.kind == "same article":
        return "the same article"
    if relation.kind == "same product":
        return "the same product in another colour"
    if relation.kind == "bought together":
        return "often bought together"
    cosine = f"cosine {relation.strength:.2f}"
    if relation.space == "content":
        return f"described alike ({cosine})"
    return f"goes with it, by {_SEES.get(relation.space or '', relation.space)} ({cosine})"


def _absent(absence: Absence) -> str:
    if absence.kind == "not on sale":
        return (
            f"It is no candidate: nobody bought it in the last {absence.days} days, so it is taken "
            "to be off sale."
        )
    if absence.kind == "cut by the limit":
        named = [each for each in absence.missed if each.rank and each.rank <= each.quota]
        return (
            f"It is no candidate: {_places(named)}, but a customer has {absence.limit:,} "
            "candidates at most, and others had better places."
        )
    near = [each for each in absence.missed if each.rank][:2]
    if not near:
        return "It is no candidate: no source proposed it."
    return f"It is no candidate: no source proposed it; the nearest: {_places(near)}."


def _places(sources: Sequence[Missed]) -> str:
    return "; ".join(
        f"{source_in_words(each.source)}: place {each.rank:,}, of which {each.quota:,} count"
        for each in sources
    )
