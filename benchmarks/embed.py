"""Texts a second of the text encoder beside sentence-transformers' own loop, and how close it is.

``python benchmarks/embed.py --articles articles.parquet`` draws some of the articles' texts and
embeds them with sentence-transformers' own loop (batch 64, 32 bits) and in each precision offered;
then cosine and neighbours are compared. ``--whole`` goes on to embed the whole catalogue in the
default precision, and once more, when nothing is left to be done. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from machine import describe_machine
from modiste.vectors.article_vectors import unit_rows
from modiste.vectors.embed import embed_articles
from modiste.vectors.encoder import Encoder, EncoderSettings, Precision, open_encoder
from modiste.vectors.text import TextSettings, article_texts

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8", "int8_fast")
NEIGHBOURS = 10


def neighbours(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Each row's nearest other rows by cosine: shape (n, NEIGHBOURS)."""
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -2)
    return np.argpartition(-cosine, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]


def kept(exact: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """The share of exact neighbours that the others have, too."""
    shared = [len(set(a) & set(b)) for a, b in zip(exact.tolist(), other.tolist(), strict=True)]
    return float(np.mean(shared)) / NEIGHBOURS


def timed_loop(encoder: Encoder, texts: list[str]) -> tuple[float, NDArray[np.float32]]:
    """Seconds and vectors of sentence-transformers' own loop on this CPU."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder.folder), device="cpu")
    model.encode(texts[:64], batch_size=64)
    start = time.perf_counter()
    vectors = model.encode(texts, batch_size=64, show_progress_bar=False)
    return time.perf_counter() - start, unit_rows(np.asarray(vectors))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=Path, required=True, help="Parquet file of articles.")
    parser.add_argument("--model", default="all-mpnet-base-v2")
    parser.add_argument("--folder", type=Path, help="Folder of the model's files.")
    parser.add_argument("--texts", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="Embed the whole catalogue, too.")
    parser.add_argument("--whole-precision", default="auto")
    parser.add_argument("--out", type=Path, help="Folder for the whole catalogue's vectors.")
    options = parser.parse_args()

    articles = pl.read_parquet(options.articles).sort("article_id")
    distinct = article_texts(articles, TextSettings()).unique().sort()
    texts = distinct.sample(min(options.texts, len(distinct)), seed=options.seed).to_list()
    settings = EncoderSettings(model=options.model, folder=options.folder)
    default = open_encoder(settings)
    tokens = sum(len(each) for each in default.tokenize(texts))
    print(f"{len(texts)} texts, {tokens / len(texts):.1f} tokens each; default {default.precision}")

    loop_seconds, exact = timed_loop(default, texts)
    near = neighbours(exact)
    rates = {"sentence-transformers": {"texts_per_second": len(texts) / loop_seconds}}
    print(f"| {'':<22} | texts/s | x loop | min cosine | mean cosine | top 10 kept |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| sentence-transformers  | {len(texts) / loop_seconds:7.1f} |   1.00 | | | |")
    for precision in PRECISIONS:
        encoder = Encoder(default.name, default.folder, precision)
        encoder.encode(texts[:64])
        start = time.perf_counter()
        vectors = encoder.encode(texts)
        seconds = time.perf_counter() - start
        cosine = (vectors * exact).sum(axis=1)
        share = kept(near, neighbours(vectors))
        rates[precision] = {
            "texts_per_second": len(texts) / seconds,
            "gain": loop_seconds / seconds,
            "lowest_cosine": float(cosine.min()),
            "mean_cosine": float(cosine.mean()),
            "neighbours_kept": share,
        }
        print(
            f"| {precision:<22} | {len(texts) / seconds:7.1f} | {loop_seconds / seconds:6.2f} | "
            f"{cosine.min():.5f} | {cosine.mean():.5f} | {share:.3f} |",
            flush=True,
        )
    result = {
        **describe_machine(),
        "model": options.model,
        "default": default.precision,
        "texts": len(texts),
        "tokens": tokens,
        "rates": {name: {k: round(v, 5) for k, v in of.items()} for name, of in rates.items()},
    }
    if options.whole:
        encoder = open_encoder(settings.model_copy(update={"precision": options.whole_precision}))
        with tempfile.TemporaryDirectory() as cache:
            for run in ("whole_seconds", "again_seconds"):
                start = time.perf_counter()
                whole = embed_articles(articles, TextSettings(), encoder, Path(cache))
                result[run] = round(time.perf_counter() - start, 1)
                print(f"{run} ({encoder.precision}): {result[run]}", flush=True)
        result["whole_precision"] = encoder.precision
        if options.out is not None:
            options.out.mkdir(parents=True)
            whole.save(options.out)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
