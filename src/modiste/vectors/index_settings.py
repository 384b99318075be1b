"""Settings of a vector index; apart from the index itself so that reading them loads no Faiss."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

IndexKind = Literal["ivf_flat", "flat", "hnsw", "ivf_pq"]


class IndexSettings(BaseModel):
    """Settings of a vector index."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: IndexKind = Field(
        default="ivf_flat",
        description="ivf_flat: exact vectors in lists around centroids, of which the nearest are "
        "searched. flat: every vector is compared. hnsw: a graph of neighbours; fast, and large. "
        "ivf_pq: lists of vectors compressed to pq_m * pq_nbits bits; small, and inexact.",
    )
    n_lists: Annotated[int, Field(ge=1)] = Field(
        default=100,
        description="Lists of ivf_flat and ivf_pq; fewer where there would be less than 39 vectors "
        "a list, the least that Faiss advises for training.",
    )
    recall: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.95,
        description="Wanted recall@recall_k against exact search: nprobe (ivf) or efSearch (hnsw) "
        "is the smallest that reaches it.",
    )
    recall_k: Annotated[int, Field(ge=1)] = Field(
        default=200, description="Neighbours of a query over which recall is measured."
    )
    queries: Annotated[int, Field(ge=0)] = Field(
        default=1000,
        description="Vectors held out as queries to measure recall; at most a tenth of all.",
    )
    hnsw_m: Annotated[int, Field(ge=2, le=512)] = Field(
        default=32, description="Links of a vector in a graph (twice as many on its lowest level)."
    )
    hnsw_ef_construction: Annotated[int, Field(ge=1)] = Field(
        default=100, description="Candidates looked at for the links of a vector in a graph."
    )
    pq_m: Annotated[int, Field(ge=1)] = Field(
        default=96,
        description="Parts into which ivf_pq cuts a vector; where it does not divide the "
        "dimensions, the next lower number that does is used.",
    )
    pq_nbits: Annotated[int, Field(ge=1, le=12)] = Field(
        default=8, description="Bits for each part of a vector in ivf_pq."
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        default=0, description="Of the draw of queries and training vectors, and of the training."
    )
