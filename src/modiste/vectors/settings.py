"""All settings of the articles' vectors."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from modiste.vectors.encoder import EncoderSettings
from modiste.vectors.index_settings import IndexSettings
from modiste.vectors.pictures import PictureVectorSettings
from modiste.vectors.reduction import ReductionSettings
from modiste.vectors.text import TextSettings


class VectorSettings(BaseModel):
    """Settings of the articles' vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=False,
        description="Whether a run makes vectors of the articles' texts and uses them.",
    )
    text: TextSettings = Field(
        default=TextSettings(), description="How an article is put into words."
    )
    encoder: EncoderSettings = Field(
        default=EncoderSettings(), description="The sentence model that makes vectors of the words."
    )
    pictures: PictureVectorSettings = Field(
        default=PictureVectorSettings(), description="The articles' pictures, beside their texts."
    )
    cache: Path | None = Field(
        default=None,
        description=(
            "Folder in which vectors are kept, so that each text and each picture is embedded "
            "once. Left out: modiste's folder in the user's cache."
        ),
    )
    reduction: ReductionSettings = Field(
        default=ReductionSettings(), description="How the vectors are made shorter."
    )
    index: IndexSettings = Field(
        default=IndexSettings(), description="The Faiss index in which they are looked up."
    )
    map: bool = Field(
        default=True, description="Whether a map of the catalogue is drawn, by UMAP to the plane."
    )
