"""From articles to their vectors: each distinct text once, and only those that are new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.engine.progress import progress, say
from modiste.vectors.article_vectors import ArticleVectors
from modiste.vectors.encoder import Encoder
from modiste.vectors.store import VectorStore, key_of
from modiste.vectors.text import TextSettings, article_texts
from modiste.vectors.weights import cache_folder

# Texts of different lengths on which a reduced precision is compared with 32 bits.
_CHECKED = 12


# Texts that are embedded between two writes to the disk: what a kill can cost.
CHUNK = 1024


def embed_articles(
    articles: pl.DataFrame,
    text: TextSettings,
    encoder: Encoder,
    cache: Path | None = None,
    *,
    chunk: int = CHUNK,
) -> ArticleVectors:
    """The vectors of all articles' texts.

    Killed and started again, it goes on from the last chunk and ends with the same bytes.

    Parameters
    ----------
    articles
        Columns of ``schema.PREPARED_ARTICLES``.
    text
        The template of an article's text.
    encoder
        The sentence model.
    cache
        Where vectors are kept for the next time; None: modiste's folder in the user's cache.
    chunk
        Texts that are embedded between two writes to the disk.

    Returns
    -------
    Vectors of length 1; all zero for an article without a text.

    Raises
    ------
    EncoderError
        When the model cannot be run with that precision.
    ModisteError
        When the disk is full; what was embedded before is kept.
    """
    kept = (cache or cache_folder()) / "text-vectors"
    store = VectorStore(kept / f"{encoder.name}-{encoder.revision[:16]}-{encoder.precision}")
    texts = article_texts(articles, text)
    # Sorted: what is embedded together must not depend on the order of the articles.
    distinct = texts.filter(texts != "").unique().sort().to_list()
    found = store.load(map(_key, distinct))
    missing = [each for each in distinct if _key(each) not in found]
    say(
        f"{len(texts):,} articles with {len(distinct):,} distinct texts, {len(missing):,} of them "
        f"to be embedded with {encoder.name} ({encoder.precision})",
    )
    if missing:
        _embed_into(store, encoder, missing, chunk)
        found.update(store.load(map(_key, missing)))
    origin = {
        "model": encoder.name,
        "revision": encoder.revision,
        "precision": encoder.precision,
        **text.model_dump(mode="json"),
    }
    return ArticleVectors(_rows(texts, found), origin)


def _embed_into(store: VectorStore, encoder: Encoder, texts: Sequence[str], chunk: int) -> None:
    tokens = encoder.tokenize(texts)
    lengths = np.array([len(each) for each in tokens])
    cut = int((lengths >= encoder.longest).sum())
    if cut:
        say(
            f"{cut:,} texts are as long as the model reads ({encoder.longest} tokens), or longer "
            "and cut off there",
        )
    # Short ones first; texts of one length lie together, so that batches are full.
    order = np.argsort(lengths, kind="stable").tolist()
    spread = np.linspace(0, len(order) - 1, min(_CHECKED, len(order))).astype(int)
    lowest = encoder.check([texts[order[place]] for place in spread])
    say(f"lowest cosine to 32 bits on {len(spread)} texts: {lowest:.5f}")
    with progress("tokens embedded", int(lengths.sum())) as advance:
        for start in range(0, len(order), chunk):
            rows = order[start : start + chunk]
            vectors = np.zeros((len(rows), encoder.dimensions), dtype=np.float32)
            for places, part in encoder.encode_batches([tokens[row] for row in rows]):
                vectors[places] = part
                advance(int(lengths[[rows[place] for place in places]].sum()))
            store.add([_key(texts[row]) for row in rows], vectors)


def _rows(texts: pl.Series, found: dict[bytes, NDArray[np.float32]]) -> NDArray[np.float32]:
    dimensions = len(next(iter(found.values()))) if found else 0
    vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
    for row, text in enumerate(texts.to_list()):
        if text:
            vectors[row] = found[_key(text)]
    return vectors


def _key(text: str) -> bytes:
    return key_of(text.encode())
