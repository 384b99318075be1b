"""Sentence models: texts in, unit vectors out, as fast as the machine allows.

Sentence-BERT (Reimers and Gurevych, EMNLP 2019). Any sentence-transformers model runs here: the
whole of it (transformer, pooling, dense layers, normalisation) is one graph.

On a CPU the graph is run by OpenVINO, in batches of texts of exactly the same number of tokens, so
that nothing is computed for padding. Where the CPU multiplies 8-bit integers (AVX-512 VNNI), the
products with weights are done on them: weights and activations are scaled in groups along the
inner dimension. A scale for a whole tensor fails on these models, whose activations have a few very
large channels. The values' projections are the most sensitive to it by far (they make two thirds of
the error with 8 % of the work), and stay in 32 bits unless the fastest path is asked for.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from modiste.errors import ModisteError
from modiste.vectors.article_vectors import unit_rows
from modiste.vectors.weights import find_weights, revision_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Tokens = NDArray[np.int64]
Vectors = NDArray[np.float32]
Precision = Literal["fp32", "bf16", "fp16", "int8", "int8_fast"]

# From token ids, shape (texts, tokens), to vectors that are not of length 1 yet.
Run = Callable[[Tokens], Vectors]

# The lowest cosine to the 32-bit vectors, on the texts it is checked with, that each may have.
LOWEST_COSINE: dict[Precision, float] = {
    "fp32": 0.99999,
    "bf16": 0.997,
    "fp16": 0.999,
    "int8": 0.998,
    "int8_fast": 0.99,
}

# Weights and activations share a scale in groups of this many along the inner dimension.
_GROUP = 128

# Names of the values' projections in the models of Hugging Face's transformers.
_VALUES = (".v/", ".value/", ".v_proj/", ".v_lin/")


class EncoderError(ModisteError):
    """A sentence model cannot be run as it is asked to."""


class EncoderSettings(BaseModel):
    """Settings of the sentence model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        default="all-mpnet-base-v2",
        description="Any sentence-transformers model: its name on the hub, or its folder.",
    )
    folder: Path | None = Field(
        default=None, description="Folder of the model's files, where they are looked for first."
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(
        default=64, description="Texts in one batch, at most."
    )
    precision: Precision | Literal["auto"] = Field(
        default="auto",
        description=(
            "Numbers that the model computes with. fp32: exact; int8: 8-bit products where they do "
            "not harm; int8_fast: everywhere; bf16, fp16: 16 bits. auto: fp16 on a GPU, int8 on a "
            "CPU with AVX-512 VNNI, fp32 elsewhere."
        ),
    )


def best_precision() -> Precision:
    """The fastest precision that is close to 32 bits on this machine."""
    import torch

    return "fp16" if torch.cuda.is_available() else best_cpu_precision()


def best_cpu_precision() -> Precision:
    """The fastest precision that is close to 32 bits on this machine's processor."""
    import torch

    if torch.cpu.get_capabilities().get("avx512_vnni", False):
        return "int8"
    return "fp32"


def open_encoder(settings: EncoderSettings) -> Encoder:
    """The encoder that the settings ask for; its weights are found, but not loaded yet.

    Raises
    ------
    WeightsError
        When the model's files are not to be found.
    """
    folder = find_weights(settings.model, settings.folder)
    precision = best_precision() if settings.precision == "auto" else settings.precision
    return Encoder(Path(settings.model).name, folder, precision, settings.batch_size)


@dataclass
class Encoder:
    """A sentence model, ready to run; it is loaded when it is first needed.

    Attributes
    ----------
    name
        Of the model, for people.
    folder
        Of the model's files.
    precision
        What it computes with.
    batch_size
        Texts in one batch, at most.
    """

    name: str
    folder: Path
    precision: Precision
    batch_size: int = 64

    @cached_property
    def revision(self) -> str:
        """What identifies the model's files."""
        return revision_of(self.folder)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The texts' vectors: float32, shape (len(texts), dimensions), of length 1."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for rows, part in self.encode_batches(self.tokenize(texts)):
            vectors[rows] = part
        return vectors

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Each text's tokens; what is longer than the model reads is cut off."""
        model = self._model
        prompt = prompt_of(model)
        encoded = model.tokenizer(
            [prompt + text.strip() for text in texts],
            truncation=True,
            max_length=model.max_seq_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        return [np.asarray(tokens, dtype=np.int64) for tokens in encoded]

    def encode_batches(self, tokens: Sequence[Tokens]) -> Iterator[tuple[list[int], Vectors]]:
        """Rows and their vectors, batch by batch; every batch's texts have the same length."""
        for rows in equal_length_batches([len(each) for each in tokens], self.batch_size):
            yield rows, unit_rows(self._run(np.stack([tokens[row] for row in rows])))

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return int(self._model.get_embedding_dimension() or 0)

    @property
    def longest(self) -> int:
        """Number of tokens that the model reads of a text."""
        return int(self._model.max_seq_length or 0)

    def check(self, texts: Sequence[str]) -> float:
        """Compare with sentence-transformers' own vectors in 32 bits.

        Returns
        -------
        The lowest cosine over the texts.

        Raises
        ------
        EncoderError
            When it is lower than the precision may have.
        """
        exact = unit_rows(self._model.encode(list(texts), show_progress_bar=False))
        lowest = float((exact * self.encode(texts)).sum(axis=1).min())
        if not lowest >= LOWEST_COSINE[self.precision]:
            raise EncoderError(
                f"{self.folder} computed with {self.precision} gives vectors with a cosine of "
                f"{lowest:.5f} to the exact ones (at least {LOWEST_COSINE[self.precision]}): "
                "choose another precision (--set vectors.encoder.precision=fp32)"
            )
        return lowest

    @cached_property
    def _model(self) -> SentenceTransformer:
        return load_model(self.folder)

    @cached_property
    def _run(self) -> Run:
        if self._model.device.type != "cpu":
            return self._on_accelerator()
        return run_of_graph(cpu_graph(self._model, self.precision), self.precision)

    def _on_accelerator(self) -> Run:
        import torch

        types = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
        if self.precision not in types:
            raise EncoderError(
                f"precision {self.precision} is for CPUs: choose fp16, bf16 or fp32 on a GPU"
            )
        model, device = self._model, self._model.device
        reduced = types[self.precision]

        def run(ids: Tokens) -> Vectors:
            batch = torch.from_numpy(ids).to(device)
            features = {"input_ids": batch, "attention_mask": torch.ones_like(batch)}
            with (
                torch.inference_mode(),
                torch.autocast(device.type, reduced, enabled=reduced != torch.float32),
            ):
                found = model(features)["sentence_embedding"]
            return np.asarray(found.float().cpu().numpy(), dtype=np.float32)

        return run


def load_model(folder: Path, device: str | None = None) -> SentenceTransformer:
    """A sentence-transformers model, ready to run on a device; None: that of its own choice.

    Raises
    ------
    EncoderError
        When the files are no such model.
    """
    with _quiet():
        from sentence_transformers import SentenceTransformer

        try:
            # What is read is what find_weights has checked.
            model = SentenceTransformer(
                str(folder), device=device, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise EncoderError(f"{folder} cannot be loaded as a sentence model: {error}") from error
        return model.eval()


def prompt_of(model: SentenceTransformer) -> str:
    """What a model wants in front of the texts."""
    return model.prompts.get(model.default_prompt_name or "document") or ""


def equal_length_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Rows of equal length together, short ones first, in batches of at most ``batch_size``."""
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    batches: list[list[int]] = []
    for row in order.tolist():
        if batches and len(batches[-1]) < batch_size and lengths[batches[-1][0]] == lengths[row]:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def import_openvino() -> Any:
    """The library, which reports each import and conversion to its makers otherwise."""
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    import openvino

    return openvino


def cpu_graph(model: SentenceTransformer, precision: Precision) -> Any:
    """The model as an OpenVINO graph of token ids and their mask, each (texts, tokens).

    Raises
    ------
    EncoderError
        When it cannot be computed with that precision on a CPU.
    """
    import torch

    if precision == "fp16":
        raise EncoderError(f"precision {precision} is for GPUs: choose fp32, int8 or bf16 on a CPU")
    openvino = import_openvino()

    class Whole(torch.nn.Module):
        """The model as a function of two tensors, which is what can be exported."""

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            return model(features)["sentence_embedding"]

    example = torch.ones((2, 16), dtype=torch.long)
    whole = Whole()
    whole.model = model
    with _quiet(), torch.inference_mode():
        graph = openvino.convert_model(
            whole.eval(), example_input={"input_ids": example, "attention_mask": example}
        )
    if precision in ("int8", "int8_fast"):
        exact = () if precision == "int8_fast" else _VALUES
        if not _compress_weights(graph, exact):
            raise EncoderError(
                f"{model} has no weights that can be computed with 8 bits: choose precision fp32"
            )
    return graph


def run_of_graph(graph: Any, precision: Precision) -> Run:
    """A graph of :func:`cpu_graph` of that precision, made ready for this machine's processor."""
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if precision == "bf16":
        options["INFERENCE_PRECISION_HINT"] = "bf16"
    # Otherwise it decides by what the CPU has, and "exact" would not be.
    in_groups = precision in ("int8", "int8_fast")
    options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = _GROUP if in_groups else 0
    compiled = import_openvino().Core().compile_model(graph, "CPU", options)
    output = compiled.output(0)
    return lambda ids: np.asarray(compiled([ids, np.ones_like(ids)])[output], dtype=np.float32)


def _compress_weights(graph: Any, exact: Sequence[str]) -> int:
    """Put 8-bit integers with a scale a group in place of the weights that products are made with.

    Parameters
    ----------
    graph
        An OpenVINO model; changed in place.
    exact
        Products whose name holds one of these are left as they are.

    Returns
    -------
    The number of products changed.
    """
    from openvino import opset13 as op

    changed = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul" or any(n in node.get_friendly_name() for n in exact):
            continue
        source = node.input(1).get_source_output().get_node()
        while source.get_type_name() == "Convert":  # from 16-bit storage
            source = source.input(0).get_source_output().get_node()
        if source.get_type_name() != "Constant" or not node.get_attributes().get("transpose_b"):
            continue
        weights = np.asarray(source.get_data(), dtype=np.float32)
        if weights.ndim != 2 or weights.shape[1] % _GROUP:
            continue
        outer, inner = weights.shape
        grouped = weights.reshape(outer, inner // _GROUP, _GROUP)
        scale = np.abs(grouped).max(axis=2, keepdims=True) / 127
        scale[scale == 0] = 1
        integers = np.round(grouped / scale).astype(np.int8)
        restored = op.multiply(
            op.convert(op.constant(integers), "f32"), op.constant(scale.astype(np.float32))
        )
        shape = op.constant(np.array([outer, inner], dtype=np.int64))
        node.input(1).replace_source_output(op.reshape(restored, shape, False).output(0))
        changed += 1
    graph.validate_nodes_and_infer_types()
    return changed


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the libraries say about their own insides off the terminal."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    _show_bars(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        _show_bars(bar)


def _show_bars(shown: bool) -> None:
    from transformers.utils import logging as transformers_logging

    switch: Callable[[], None] = (
        transformers_logging.enable_progress_bar
        if shown
        else transformers_logging.disable_progress_bar
    )
    switch()
