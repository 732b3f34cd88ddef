"""Which characters the bytes of file names mean, when the archive does not say.

Zip files from Windows carry names in the code page of the machine that made them (CP932 in Japan, GBK in China, CP866
in Russia, CP437 or CP850 in the West); those from macOS and Linux carry UTF-8, often without its flag. The choice is
made once for all names of an archive, by decoding them with each candidate and weighing how usual the resulting
characters are in that language. Nothing here knows about archives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

_SAMPLE_BYTES = 32_768
_WESTERN = frozenset("éâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜñÑáíóúßüÇÁÂÀãÃÊËÈÍÎÏÓÔÒõÕÚÛÙýÝøØœŒŠšŽžðÐþÞ")


def guess_encoding(names: Iterable[bytes]) -> str:
    """The Python codec that makes most sense of all `names` together; "cp437" (decodes anything) when none does."""
    sample = _sample(names)
    if not sample or _decodes(sample, "utf-8"):
        return "utf-8"
    scores = {codec: _score(sample, codec, weigh) for codec, weigh in _CANDIDATES.items()}
    best = max(scores, key=lambda codec: scores[codec])
    return best if scores[best] > 0.3 else "cp437"


def _sample(names: Iterable[bytes]) -> list[bytes]:
    """Distinct folder and file names with bytes above 127, up to `_SAMPLE_BYTES`."""
    parts: dict[bytes, None] = {}
    total = 0
    for name in names:
        # A backslash or slash byte can be the second half of a CP932 or GBK character; only "/" is never one.
        for part in name.split(b"/"):
            if not part.isascii() and part not in parts:
                parts[part] = None
                total += len(part)
        if total > _SAMPLE_BYTES:
            break
    return list(parts)


def _decodes(parts: Sequence[bytes], codec: str) -> bool:
    try:
        for part in parts:
            part.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _score(parts: Sequence[bytes], codec: str, weigh: Callable[[str, str], float]) -> float:
    """Mean weight of the non-ASCII characters, 0–1; 0 when the bytes do not decode."""
    if not _decodes(parts, codec):
        return 0.0
    total = count = 0.0
    for part in parts:
        before = ""
        for char in part.decode(codec):
            if not char.isascii():
                total += weigh(char, before)
                count += 1
            before = char
    return total / count if count else 0.0


def _japanese(char: str, before: str) -> float:
    if "\u3041" <= char <= "\u30fe":  # hiragana, katakana, the long-vowel mark
        return 1.0
    if "\u4e00" <= char <= "\u9fff":
        lead = char.encode("cp932")[0]
        return 0.95 if lead <= 0x98 else 0.4  # JIS level 1 (everyday) or level 2 (rare)
    if "\uff61" <= char <= "\uff9f":  # half-width katakana: what other code pages look like when read as CP932
        return 0.25 if "\uff61" <= before <= "\uff9f" or before == "" else 0.1
    return 0.6 if "\uff01" <= char <= "\uff5e" or "\u3000" <= char <= "\u303f" else 0.1


def _chinese(char: str, _before: str) -> float:
    if "\u4e00" <= char <= "\u9fff":
        lead, trail = char.encode("gbk")
        if trail < 0xA1 or lead < 0xB0:  # GBK's extension, hardly used in names
            return 0.05
        return 0.93 if lead <= 0xD7 else 0.35  # GB 2312 level 1 or level 2
    return 0.5 if "\uff01" <= char <= "\uff5e" or "\u3000" <= char <= "\u303f" else 0.05


def _cyrillic(char: str, before: str) -> float:
    if not ("\u0410" <= char <= "\u044f" or char in "Ёё"):
        return 0.0
    # Names are written Like This or like this: a capital after a small letter means the wrong code page.
    return 0.2 if char.isupper() and before.isalpha() and before.islower() else 0.9


def _western(char: str, before: str) -> float:
    if char not in _WESTERN:
        return 0.0
    if char.isupper() and before.isalpha() and before.islower():
        return 0.1
    # Accented letters stand among plain ones; two in a row are a sign of another code page.
    return 0.92 if before.isascii() else 0.45


_CANDIDATES: dict[str, Callable[[str, str], float]] = {
    "cp932": _japanese,
    "gbk": _chinese,
    "cp866": _cyrillic,
    "cp1251": _cyrillic,
    "cp437": _western,
    "cp850": _western,
    "cp1252": _western,
}
