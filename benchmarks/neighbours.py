"""Neighbours to look at: articles of twenty types, each beside the ten that are nearest to it.

    python benchmarks/neighbours.py --run RUN [--images FOLDER] [--out build/neighbours.html]

RUN is a folder of ``modiste embed``. For each of the twenty types with the most articles the page
shows one that a photograph is there of, if there are any. Printed are, over articles drawn at
random, the shares of the ten nearest that have the same type and that are another colour of the
same product (of articles that have another colour); the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from machine import describe_machine
from modiste.lookup import ArticleLookup
from modiste.report.examples import Tile
from modiste.report.pages import Gallery, page_environment, source
from modiste.report.pictures import PictureFolder

TYPES = 20
NEAREST = 10

PAGE = """{% from "picture.html" import picture with context %}
<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Neighbours</title>
<style>{{ style|safe }}
.tiles { grid-template-columns: repeat(11, minmax(6rem, 1fr)); } .tile:first-child { outline: 2px
solid var(--accent); }</style><main><h1>Nearest articles by {{ model }}</h1>
{% for row in rows %}<h2>{{ row[0].article.product_type_name }}</h2><ol class="tiles">
{% for tile in row %}<li class="tile">{{ picture(tile) }}
<span>{{ tile.article.score or "" }}</span></li>{% endfor %}</ol>{% endfor %}</main></html>"""


def main() -> None:
    """Write the page and print the shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/neighbours.html"))
    parser.add_argument("--articles", type=int, default=2000, help="drawn for the shares")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lookup, pictures = ArticleLookup.open(options.run), PictureFolder(options.images)

    rows = []
    for article in shown(lookup.articles, pictures, options.seed):
        found = lookup.similar(article["article_id"], k=NEAREST)
        found = found.with_columns(pl.col("score").round(3).cast(pl.String))
        row = [{**article, "score": ""}, *found.to_dicts()]
        rows.append([Tile(each, pictures.picture(each)) for each in row])
    page = page_environment().from_string(PAGE)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        page.render(
            rows=rows,
            gallery=Gallery(),
            model=lookup.origin["model"],
            style=source("report.css", "similar.css"),
        ),
        encoding="utf-8",
    )

    drawn = lookup.articles.sample(options.articles, seed=options.seed)
    same_type, same_product = [], []
    colours = drawn.join(
        lookup.articles.group_by("product_code").agg(colours=pl.len()), on="product_code"
    )
    for article in colours.to_dicts():
        found = lookup.similar(article["article_id"], k=NEAREST)
        types = found["product_type_name"].to_list()
        same_type.append(types.count(article["product_type_name"]) / NEAREST)
        if article["colours"] > 1:
            others = min(article["colours"] - 1, NEAREST)
            same_product.append(found["same_product"].sum() / others)
    shares = {
        "same_type": round(float(np.mean(same_type)), 4),
        "other_colours_found": round(float(np.mean(same_product)), 4),
    }
    print(f"the page: {options.out}")
    print(json.dumps({**describe_machine(), "origin": lookup.origin, **shares}))


def shown(articles: pl.DataFrame, pictures: PictureFolder, seed: int) -> list[dict[str, Any]]:
    """One article of each of the types that have the most, with a photograph where there is one."""
    types = articles["product_type_name"].drop_nulls().value_counts(sort=True).head(TYPES)
    chosen = []
    for name in types["product_type_name"]:
        of_type = articles.filter(product_type_name=name).sample(
            fraction=1, shuffle=True, seed=seed
        )
        with_photo = (each for each in of_type.to_dicts() if pictures.picture(each).photo)
        chosen.append(next(with_photo, of_type.row(0, named=True)))
    return chosen


if __name__ == "__main__":
    main()
