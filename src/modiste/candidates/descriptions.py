"""What each source of candidates is, in words that a merchandiser reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SourceDescription:
    """A source in words.

    Attributes
    ----------
    name
        Two or three words, for where there is little room.
    proposes
        What it proposes: the end of "proposed by:" and of "place among".
    score
        What its score says of an article.
    """

    name: str
    proposes: str
    score: str


DESCRIPTIONS: Mapping[str, SourceDescription] = {
    "popularity": SourceDescription(
        "best sellers",
        "best sellers of the whole shop",
        "how well the article sells in the whole shop, if proposed as a best seller",
    ),
    "popularity_by_age": SourceDescription(
        "best sellers by age",
        "best sellers with customers of this age",
        "how well the article sells with customers of this age",
    ),
    "popularity_by_section": SourceDescription(
        "best sellers by section",
        "best sellers where the customer buys",
        "how well the article sells where the customer buys",
    ),
    "repurchase": SourceDescription(
        "bought before",
        "the customer's own articles, latest first",
        "how often and how lately the customer bought the article",
    ),
    "most_frequent": SourceDescription(
        "bought most often",
        "the customer's own articles, most frequent first",
        "how often the customer bought the article",
    ),
    "other_colours": SourceDescription(
        "other colours",
        "other colours of the customer's own articles",
        "how often and how lately the customer bought the product in another colour",
    ),
    "co_visitation": SourceDescription(
        "bought together",
        "what is bought together with the customer's own",
        "how often the article is bought together with an article of the customer's",
    ),
    "graph_filter": SourceDescription(
        "similar purchases",
        "what customers with similar purchases buy",
        "how often customers with similar purchases buy the article",
    ),
    "content": SourceDescription(
        "similar description",
        "what is described like the customer's own",
        "how alike the article's description is to the customer's own articles",
    ),
    "sasrec": SourceDescription(
        "next purchase (SASRec)",
        "what is bought after such purchases (SASRec)",
        "how well the article follows on the customer's purchases (SASRec)",
    ),
    "gnn": SourceDescription(
        "similar customers (GNN)",
        "what customers like this one buy (graph network)",
        "how well the article suits customers like this one (graph network)",
    ),
    "combined": SourceDescription(
        "both networks",
        "what both networks together propose",
        "how well the article suits the customer, by both networks together",
    ),
}


def describe(source: str) -> SourceDescription:
    """A source's description; of one that has none, its name."""
    name = source.replace("_", " ")
    return DESCRIPTIONS.get(source, SourceDescription(name, name, f"the score by {name}"))
