"""What articles look like without and with a photograph."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.report.pictures import LARGEST_BYTES, PictureFolder, colour_of


def _article(**known: str | None) -> dict[str, str | None]:
    unknown = dict.fromkeys(
        (
            "product_code",
            "prod_name",
            "product_type_name",
            "product_group_name",
            "colour_group_name",
            "perceived_colour_master_name",
        )
    )
    return {"article_id": "0108775015", **unknown, **known}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "010").mkdir()
    return tmp_path


def test_a_photograph_of_the_article_comes_before_one_of_the_product(folder: Path) -> None:
    pictures = PictureFolder(folder)
    assert pictures.picture(_article()).photo is None
    (folder / "010" / "0108775.jpg").write_bytes(b"product")
    by_prefix = pictures.picture(_article()).photo
    assert by_prefix == pictures.picture(_article(product_code="0108775")).photo
    assert by_prefix == "data:image/jpeg;base64,cHJvZHVjdA=="
    (folder / "010" / "0108775015.jpg").write_bytes(b"article")
    assert pictures.picture(_article()).photo == "data:image/jpeg;base64,YXJ0aWNsZQ=="


def test_a_large_photograph_is_left_out_and_counted(folder: Path) -> None:
    (folder / "010" / "0108775015.jpg").write_bytes(b"x" * (LARGEST_BYTES + 1))
    pictures = PictureFolder(folder)
    assert pictures.picture(_article()).photo is None
    assert pictures.picture(_article()).photo is None
    assert len(pictures.too_large) == 1


def test_an_id_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    pictures = PictureFolder(tmp_path / "images")
    assert pictures.picture(_article(article_id="../secret")).photo is None


@pytest.mark.parametrize(
    ("dark", "light"),
    [
        ("Black", "White"),
        ("Dark Blue", "Light Blue"),
        ("Dark Grey", "Light Grey"),
        ("Dark Beige", "Off White"),
    ],
)
def test_colours_have_their_lightness(dark: str, light: str) -> None:
    assert _lightness(colour_of(dark)) + 100 < _lightness(colour_of(light))


def test_colours_fall_back_to_the_main_colour_and_to_a_neutral_one() -> None:
    assert colour_of("Unknown", "Red") == colour_of("Red")
    assert colour_of("Greenish Khaki") == colour_of("Khaki")
    assert colour_of("Yellowish Brown") == colour_of("Brown")
    assert colour_of("Greyish Beige") == colour_of("beige")
    assert colour_of(None, "undefined") == colour_of()


def test_a_thing_is_drawn_by_its_type_or_shown_by_its_letter() -> None:
    pictures = PictureFolder(None)
    dress = pictures.picture(_article(product_type_name="Dress"))
    by_group = pictures.picture(
        _article(product_type_name="Unheard-of", product_group_name="Garment Full body dress")
    )
    assert dress.outline is not None
    assert by_group.outline == dress.outline
    vegetable = pictures.picture(_article(product_type_name="leek"))
    assert vegetable.outline is None
    assert vegetable.letter == "L"
    assert pictures.picture(_article()).letter == "?"


def _lightness(colour: str) -> int:
    return sum(int(colour[start : start + 2], 16) for start in (1, 3, 5))
