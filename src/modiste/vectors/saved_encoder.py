"""A sentence model in files of its own: opened in a moment, without what it was trained with.

PyTorch, transformers and sentence-transformers take seconds to import and half a gigabyte a
process. To make a vector of a few words a service needs the tokenizer and the graph alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from modiste.vectors.article_vectors import unit_rows
from modiste.vectors.encoder import (
    Encoder,
    EncoderError,
    Precision,
    Run,
    Vectors,
    best_cpu_precision,
    cpu_graph,
    import_openvino,
    load_model,
    prompt_of,
    run_of_graph,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TOKENIZER, _GRAPH, _STATE = "tokenizer.json", "model.xml", "saved_encoder.json"


class _State(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    precision: Precision


class SavedEncoder:
    """Makes the vectors that the model makes that was saved; it is loaded when first needed.

    Parameters
    ----------
    folder
        As :func:`save_encoder` wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The vectors of one text or more: float32, shape (len(texts), dimensions), of length 1.

        Raises
        ------
        EncoderError
            When a file is missing or damaged.
        """
        prompt = self._state.prompt
        tokens = [self._tokenizer.encode(prompt + text.strip()).ids for text in texts]
        # One after the other: those of different lengths would be computed for padding, too.
        return unit_rows(np.concatenate([self._run(np.array([each])) for each in tokens]))

    @cached_property
    def _state(self) -> _State:
        try:
            return _State.model_validate_json((self._folder / _STATE).read_text("utf-8"))
        except (OSError, ValidationError) as error:
            raise self._damaged(error) from error

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        try:
            return Tokenizer.from_str((self._folder / _TOKENIZER).read_text("utf-8"))
        except Exception as error:  # the library raises no other
            raise self._damaged(error) from error

    @cached_property
    def _run(self) -> Run:
        openvino = import_openvino()
        try:
            graph = openvino.Core().read_model(self._folder / _GRAPH)
        except RuntimeError as error:
            raise self._damaged(error) from error
        return run_of_graph(graph, self._state.precision)

    def _damaged(self, error: Exception) -> EncoderError:
        return EncoderError(
            f"{self._folder} holds no sentence model, or a damaged one ({error}): export it anew"
        )


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write what a :class:`SavedEncoder` opens into an existing, empty folder.

    Its precision is that of the encoder; the best one of this machine's processor where the encoder
    computes on a GPU.

    Raises
    ------
    EncoderError
        When the model's files are damaged, or its tokenizer is one without a file of its own.
    """
    precision = best_cpu_precision() if encoder.precision == "fp16" else encoder.precision
    model = load_model(encoder.folder, device="cpu")
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    if tokenizer is None:
        raise EncoderError(f"{encoder.folder} has no tokenizer of the library tokenizers")
    from tokenizers import Tokenizer

    own = Tokenizer.from_str(tokenizer.to_str())
    own.no_padding()
    if model.max_seq_length is not None:
        own.enable_truncation(model.max_seq_length)
    (folder / _TOKENIZER).write_text(own.to_str(), encoding="utf-8")
    graph = cpu_graph(model, precision)
    # The library numbers what has no name through all graphs of a process: the same model shall be
    # the same bytes.
    graph.set_friendly_name("model")
    for number, node in enumerate(graph.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{number}")
    import_openvino().save_model(graph, folder / _GRAPH, compress_to_fp16=False)
    state = _State(prompt=prompt_of(model), precision=precision)
    (folder / _STATE).write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
