"""The code page of a name is told from the bytes of all names together."""

from __future__ import annotations

import pytest

from app.archives.names import guess_encoding

JAPANESE = ["犬", "猫", "画像データ", "りんご", "みかん", "表示", "ソフトウェア", "東京の夜景", "十分な写真"]
CHINESE = ["猫", "狗", "苹果", "香蕉", "训练数据", "图片", "人物照片", "汽车"]
RUSSIAN = ["кошки", "Собаки", "птицы", "изображения", "Автомобили"]
GERMAN = ["Hündin", "Kätzchen", "Straße", "größer", "Übung"]
FRENCH = ["chien à poil", "éléphant", "forêt", "garçon", "Noël"]
SPANISH = ["niño", "montaña", "camión", "pájaro"]


@pytest.mark.parametrize(
    ("words", "codec"),
    [
        (JAPANESE, "cp932"),
        (CHINESE, "gbk"),
        (RUSSIAN, "cp866"),
        (RUSSIAN, "cp1251"),
        (GERMAN, "cp437"),
        (GERMAN, "cp1252"),
        (FRENCH, "cp437"),
        (FRENCH, "cp1252"),
        (SPANISH, "cp437"),
    ],
)
def test_names_of_one_language_are_read_as_they_were_written(words: list[str], codec: str) -> None:
    raw = [f"data/{word}/IMG_{number}.jpg".encode(codec) for number, word in enumerate(words)]
    guessed = guess_encoding(raw)
    assert [name.decode(guessed) for name in raw] == [name.decode(codec) for name in raw]


@pytest.mark.parametrize("word", [*JAPANESE, "カタカナ", "ひらがな", "写真 (1)", "ｶﾀｶﾅと漢字"])
def test_a_single_japanese_name_is_enough(word: str) -> None:
    assert guess_encoding([word.encode("cp932")]) == "cp932"


@pytest.mark.parametrize("words", [JAPANESE, CHINESE, RUSSIAN, ["犬"], ["é"], ["고양이", "강아지"]])
def test_utf_8_without_its_flag_is_recognised(words: list[str]) -> None:
    assert guess_encoding([word.encode() for word in words]) == "utf-8"


def test_a_second_byte_that_looks_like_a_backslash_stays_part_of_its_character() -> None:
    raw = "表/能.png".encode("cp932")
    assert b"\\" in raw
    assert raw.decode(guess_encoding([raw])) == "表/能.png"


def test_plain_names_need_no_guess() -> None:
    assert guess_encoding([b"cats/1.png"]) == "utf-8"
    assert guess_encoding([]) == "utf-8"


def test_bytes_that_no_language_explains_are_read_as_the_zip_standard_says() -> None:
    assert guess_encoding([b"\xb3\xb4\xbf\xc4\xc5\xcd\xba\xbb\x98"]) == "cp437"
