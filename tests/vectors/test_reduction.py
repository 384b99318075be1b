"""Reductions of article vectors: against scikit-learn, and at the edges of what may come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.decomposition import PCA

from modiste.errors import ConfigError, DataError
from modiste.vectors import principal_components
from modiste.vectors.article_vectors import ArticleVectors, unit_rows
from modiste.vectors.landmark_umap import LandmarkUmap
from modiste.vectors.principal_components import Kind, PrincipalComponents
from modiste.vectors.reduction import (
    METHODS,
    Method,
    ReductionSettings,
    load_reduction,
    make_reduction,
    reduce_articles,
    save_reduction,
)

DIMENSIONS = 24
EMPTY = [3, 57]  # articles without a text

every_method = pytest.mark.parametrize("method", METHODS)
every_kind = pytest.mark.parametrize("kind", ["plain", "centred", "whitened"])


def cloud(rows: int = 120, seed: int = 1) -> NDArray[np.float32]:
    """Unit vectors in a few groups off the origin, with directions of different widths."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(6, DIMENSIONS)) + 0.5
    spread = random.normal(size=(rows, DIMENSIONS)) * np.geomspace(1, 0.01, DIMENSIONS)
    return unit_rows(centres[random.integers(0, 6, rows)] + 0.5 * spread)


def with_empty(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    vectors = vectors.copy()
    vectors[EMPTY] = 0
    return vectors


def settings(method: Method, **others: object) -> ReductionSettings:
    small = {"landmarks": 80, "n_epochs": 20, "n_neighbors": 8}
    return ReductionSettings.model_validate({"method": method, **small, **others})


def cosines(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    unit = unit_rows(vectors).astype(np.float64)
    return np.asarray(unit @ unit.T)


@pytest.mark.parametrize("whiten", [False, True])
def test_centred_components_are_scikit_learns(whiten: bool) -> None:
    vectors = cloud()
    oracle = PCA(n_components=0.9, svd_solver="full", whiten=whiten).fit(vectors)
    ours = PrincipalComponents("whitened" if whiten else "centred", variance=0.9).fit(vectors)
    assert ours.components == oracle.n_components_
    assert ours.kept == pytest.approx(oracle.explained_variance_ratio_.sum(), abs=1e-6)
    np.testing.assert_allclose(
        ours.variances[: ours.components], oracle.explained_variance_, rtol=1e-4
    )
    np.testing.assert_allclose(
        ours.transform(vectors), unit_rows(oracle.transform(vectors)), atol=1e-4
    )


def test_plain_components_are_those_of_the_singular_values() -> None:
    vectors = cloud()
    singular = np.linalg.svd(vectors.astype(np.float64), compute_uv=False)
    ours = PrincipalComponents("plain", variance=0.95).fit(vectors)
    shares = np.cumsum(singular**2) / np.sum(singular**2)
    assert ours.components == int(np.argmax(shares >= 0.95)) + 1
    np.testing.assert_allclose(ours.variances, singular**2 / len(vectors), rtol=1e-5)


def test_all_plain_components_keep_every_cosine() -> None:
    vectors = cloud()
    reduced = PrincipalComponents("plain", n_components=DIMENSIONS).fit(vectors).transform(vectors)
    np.testing.assert_allclose(cosines(reduced), cosines(vectors), atol=1e-5)


@pytest.mark.parametrize("variance", [0.5, 0.9, 0.98, 1.0])
@every_kind
def test_as_few_components_as_keep_the_variance(kind: Kind, variance: float) -> None:
    ours = PrincipalComponents(kind, variance=variance).fit(cloud())
    total = ours.variances.sum()
    assert ours.variances[: ours.components].sum() / total >= variance - 1e-9
    assert ours.variances[: ours.components - 1].sum() / total < variance


@every_kind
def test_the_largest_loading_of_a_direction_is_positive(kind: Kind) -> None:
    basis = PrincipalComponents(kind).fit(cloud()).basis
    assert (basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])] > 0).all()


@every_kind
def test_blocks_of_a_mapped_file_change_nothing(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = with_empty(cloud())
    np.save(tmp_path / "vectors.npy", vectors)
    whole = PrincipalComponents(kind).fit(vectors)
    blocks = principal_components.checked_blocks
    monkeypatch.setattr(principal_components, "checked_blocks", lambda each: blocks(each, rows=7))
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    parts = PrincipalComponents(kind).fit(mapped)
    assert parts.components == whole.components
    np.testing.assert_allclose(parts.transform(mapped), whole.transform(vectors), atol=1e-4)


@every_kind
def test_rows_of_zeros_take_no_part_in_fitting(kind: Kind) -> None:
    vectors = with_empty(cloud())
    without = np.delete(vectors, EMPTY, axis=0)
    with_them = PrincipalComponents(kind).fit(vectors)
    np.testing.assert_allclose(
        with_them.transform(without),
        PrincipalComponents(kind).fit(without).transform(without),
        atol=1e-4,
    )


@every_method
def test_rows_have_length_one_or_are_zero_where_they_were(method: Method) -> None:
    vectors = with_empty(cloud())
    reduction = make_reduction(settings(method)).fit(vectors)
    reduced = reduction.transform(vectors)
    assert reduced.dtype == np.float32
    assert reduced.shape == (len(vectors), reduction.components)
    lengths = np.linalg.norm(reduced, axis=1)
    assert (lengths[EMPTY] == 0).all()
    np.testing.assert_allclose(np.delete(lengths, EMPTY), 1, atol=1e-5)


@every_method
def test_fitted_twice_gives_the_same_bytes(method: Method) -> None:
    vectors = cloud()
    first, second = (
        make_reduction(settings(method)).fit(vectors).transform(vectors) for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()


@every_method
def test_loaded_places_new_vectors_as_before(method: Method, tmp_path: Path) -> None:
    chosen = settings(method)
    reduction = make_reduction(chosen).fit(with_empty(cloud()))
    save_reduction(reduction, chosen, tmp_path)
    loaded = load_reduction(tmp_path)
    new = with_empty(cloud(seed=2))
    assert loaded.components == reduction.components
    assert loaded.transform(new).tobytes() == reduction.transform(new).tobytes()
    assert not [each for each in tmp_path.rglob("*") if each.suffix not in {"", ".npy", ".json"}]


@every_method
def test_one_query_lies_where_it_lies_among_others(method: Method) -> None:
    reduction = make_reduction(settings(method)).fit(cloud())
    new = cloud(seed=2)
    np.testing.assert_allclose(
        reduction.transform(new[5:6])[0], reduction.transform(new)[5], atol=1e-4
    )


@every_method
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9])
def test_fewer_articles_than_components(method: Method, rows: int) -> None:
    vectors = cloud(rows)
    reduction = make_reduction(settings(method, n_components=12)).fit(vectors)
    reduced = reduction.transform(vectors)
    assert reduced.shape == (rows, DIMENSIONS if method == "none" else 12)
    assert np.isfinite(reduced).all()


def test_directions_in_which_nothing_varies_have_no_weight() -> None:
    vectors = cloud(rows=4)
    for kind, rank in (("plain", 4), ("centred", 3), ("whitened", 3)):
        ours = PrincipalComponents(kind, n_components=12).fit(vectors)  # type: ignore[arg-type]
        assert (ours.basis[:, :rank] != 0).any(axis=0).all()
        assert (ours.basis[:, rank:] == 0).all()


@every_method
def test_articles_that_are_all_equal(method: Method) -> None:
    vectors = np.repeat(cloud(rows=1), 50, axis=0)
    reduction = make_reduction(settings(method)).fit(vectors)
    reduced = reduction.transform(vectors)
    assert np.isfinite(reduced).all()
    np.testing.assert_array_equal(reduced, np.repeat(reduced[:1], 50, axis=0))
    if method in ("pca_centred", "pca_whitened"):
        assert not reduced.any()  # each is the average article
        assert reduction.components == 1


@every_method
def test_a_value_that_is_no_number_is_named(method: Method) -> None:
    vectors = cloud()
    vectors[41, 2] = np.nan
    fitted = make_reduction(settings(method)).fit(cloud())
    with pytest.raises(DataError, match=r"row 41 .* not a finite number"):
        fitted.transform(vectors)
    if method != "none":
        with pytest.raises(DataError, match=r"row 41 .* not a finite number"):
            make_reduction(settings(method)).fit(vectors)


@pytest.mark.parametrize("method", ["pca", "pca_centred", "pca_whitened", "umap"])
def test_more_components_than_dimensions(method: Method) -> None:
    with pytest.raises(ConfigError, match=r"n_components is 25, .* only 24 dimensions"):
        make_reduction(settings(method, n_components=25)).fit(cloud())


@pytest.mark.parametrize("method", ["pca", "pca_centred", "pca_whitened", "umap"])
@pytest.mark.parametrize("rows", [0, 10])
def test_no_article_with_a_text(method: Method, rows: int) -> None:
    with pytest.raises(DataError, match=f"none of the {rows} articles has a vector"):
        make_reduction(settings(method)).fit(np.zeros((rows, DIMENSIONS), dtype=np.float32))


@every_method
def test_vectors_of_another_model(method: Method) -> None:
    fitted = make_reduction(settings(method)).fit(cloud())
    with pytest.raises(DataError, match=r"24 dimensions and cannot place .* \(5, 23\)"):
        fitted.transform(cloud(5)[:, :23])


@every_method
def test_nothing_to_place(method: Method) -> None:
    fitted = make_reduction(settings(method)).fit(cloud())
    assert fitted.transform(cloud()[:0]).shape == (0, fitted.components)


@every_method
def test_a_damaged_folder(method: Method, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no reduction in"):
        load_reduction(tmp_path)
    chosen = settings(method)
    save_reduction(make_reduction(chosen).fit(cloud()), chosen, tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "reduction.json":
            path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(DataError, match="fit the reduction again"):
        load_reduction(tmp_path)


def test_umap_lays_out_in_as_many_components_as_keep_the_variance() -> None:
    vectors = cloud()
    chosen = settings("umap", variance=0.9)
    needed = PrincipalComponents("plain", variance=0.9).fit(vectors).components
    assert make_reduction(chosen).fit(vectors).components == needed


def test_umap_keeps_the_groups_of_what_it_laid_out_and_of_what_it_placed() -> None:
    random = np.random.default_rng(5)
    centres = random.normal(size=(4, DIMENSIONS))
    group = random.integers(0, 4, 200)
    vectors = unit_rows(centres[group] + 0.1 * random.normal(size=(200, DIMENSIONS)))
    for count in (2, None):
        chosen = settings("umap", n_components=count, n_epochs=100, landmarks=60)
        reduced = make_reduction(chosen).fit(vectors).transform(vectors)
        near = cosines(reduced) - 2 * np.eye(len(vectors))
        assert (group[near.argmax(axis=1)] == group).mean() > 0.97


def test_a_vector_equal_to_a_landmark_lies_where_it_does() -> None:
    umap = LandmarkUmap(n_components=2, n_epochs=20).fit(cloud())
    np.testing.assert_array_equal(umap.places(cloud()), umap.landmark_places)


def test_a_map_has_no_place_for_an_article_without_a_text() -> None:
    vectors = with_empty(cloud())
    places = LandmarkUmap(n_components=2, landmarks=50, n_epochs=20).fit(vectors).places(vectors)
    assert places.shape == (len(vectors), 2)
    assert np.isnan(places[EMPTY]).all()
    assert np.isfinite(np.delete(places, EMPTY, axis=0)).all()


def test_another_seed_gives_another_layout() -> None:
    first, second = (
        make_reduction(settings("umap", seed=seed)).fit(cloud()).transform(cloud())
        for seed in (1, 2)
    )
    assert not np.allclose(first, second)


def test_reduced_articles_say_what_reduced_them() -> None:
    articles = ArticleVectors(with_empty(cloud()), {"model": "a model"})
    reduction, reduced = reduce_articles(articles, settings("pca"))
    assert reduced.origin["model"] == "a model"
    assert reduced.origin["reduction"]["method"] == "pca"
    assert reduced.vectors.shape == (len(articles.vectors), reduction.components)
    np.testing.assert_array_equal(reduced.known, articles.known)


@pytest.mark.parametrize("wrong", [{"variance": 0}, {"variance": 1.1}, {"n_components": 0}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ReductionSettings.model_validate(wrong)
