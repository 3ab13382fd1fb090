"""Cutting whole arrays gives exactly the pieces and ids of the tokenizer, and what it cannot give it leaves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import models

from modelyard.data.modalities import ngram_words, pipeline
from modelyard.data.modalities.cutting import Cut, parts_of
from modelyard.data.modalities.pipeline import Encoder, TokenKind, count_tokens

KINDS: tuple[TokenKind, ...] = ("word", "character", "bpe")
# Letters that normalisation changes, blanks of all kinds, digits of several scripts, marks, parts of a syllable.
SOME = "aBcé ÉßΣİıﬁ½Ⅳ²…\t\n\u00a0\u3000\u2009'’．，。、我们ア㍿ガｶﾞ0１٣๑๔໑〇々ก็हिन्दी"
SOME += "한글\u1112\u1161\u11ab👍🏽\u200d▁_-$\0\u0301"
texts = st.lists(st.one_of(st.text(st.sampled_from(SOME), max_size=12), st.text(max_size=8)), min_size=1, max_size=12)


def pieces(cut: Cut) -> list[list[str] | None]:
    """The pieces of each text; None for one that is left."""
    found = cut.pieces().to_pylist()
    ends = np.cumsum(cut.counts)
    left = set(cut.left.tolist())
    return [
        None if at in left else found[end - n : end] for at, (end, n) in enumerate(zip(ends, cut.counts, strict=True))
    ]


@settings(max_examples=150, deadline=None)
@given(texts, st.sampled_from(KINDS), st.booleans())
def test_pieces_are_those_of_the_tokenizer(rows: list[str], kind: TokenKind, lowercase: bool) -> None:
    tokenizer = pipeline.pipeline(models.WordLevel({"": 0}, unk_token=""), kind, lowercase)
    for text, found in zip(rows, pieces(pipeline._cutter(kind, lowercase).cut(pa.array(rows))), strict=True):
        cut = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
        expected = [piece.replace("▁", " ") for piece, _ in cut] if kind == "bpe" else [piece for piece, _ in cut]
        assert found is None or found == expected, text


@settings(max_examples=100, deadline=None)
@given(texts, st.booleans())
@example(["B’"], False)
def test_words_of_ngrams_are_those_of_the_pattern(rows: list[str], lowercase: bool) -> None:
    words, counts = ngram_words.words_of(pa.array(rows), lowercase)
    assert words.to_pylist() == [word for text in rows for word in ngram_words.analyze(text, lowercase)]
    assert counts.tolist() == [len(ngram_words.analyze(text, lowercase)) for text in rows]


def test_common_scripts_are_not_left() -> None:
    rows = [
        "It's 42 degrees…",
        "我们去北京。",
        "Ångström, Öl & Straße",
        "Привет, мир!",
        "한국어 문장",
        "カメラ 👍",
        "ＡＢＣ１２",
    ]
    for kind in KINDS:
        assert not len(pipeline._cutter(kind, True).cut(pa.array(rows)).left)


@pytest.mark.parametrize("text", ["e\u0301", "हिन्दी", "\u1112\u1161\u11ab", "10〇"])
def test_what_depends_on_its_neighbours_is_left(text: str) -> None:
    cut = pipeline._cutter("word", True).cut(pa.array(["a", text, "b b"]))
    assert cut.left.tolist() == [1]
    assert cut.counts.tolist() == [1, 0, 2]
    assert cut.pieces().to_pylist() == ["a", "b", "b"]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_tokenizer_in_any_parts(kind: TokenKind, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["low", "lower", "Lowest", "new", "我们", "नमस्ते", "e\u0301té", "10", "'s", "…", "unheard"]
    rows = [" ".join(words[(at * 7 + step) % 11] for step in range(at % 9)) for at in range(200)]
    alphabet = sorted(set("".join(rows).lower()) | {"▁"})
    known = ["", "[UNK]", *(words[:9] if kind == "word" else alphabet[:-3])]
    model = models.WordLevel({token: at for at, token in enumerate(known)}, unk_token="[UNK]")
    if kind == "bpe":
        vocabulary = {token: at for at, token in enumerate(["", "[UNK]", *alphabet, "lo", "low", "▁low", "10"])}
        merges = [("l", "o"), ("lo", "w"), ("▁", "low"), ("1", "0")]
        model = models.BPE(vocab=vocabulary, merges=merges, unk_token="[UNK]", fuse_unk=False)
    tokenizer = pipeline.pipeline(model, kind, True)
    expected = [row.ids for row in tokenizer.encode_batch(rows)]
    for size in (1 << 20, 200):
        monkeypatch.setattr(pipeline, "_BYTES", size)
        found = Encoder(tokenizer, kind, True, 1).encode(pa.array(["x", *rows])[1:])
        assert np.split(found.values, found.offsets[1:-1])[3].tolist() == expected[3]
        assert found.values.tolist() == [at for row in expected for at in row]
        assert np.diff(found.offsets).tolist() == [len(row) for row in expected]


def test_mostly_different_pieces_go_through_the_library_with_the_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{chr(0x4E00 + at)}{chr(0x5E00 + at)} w{at}" for at in range(100)]
    alphabet = sorted(set("".join(rows)) | {"▁"})
    vocabulary = {token: at for at, token in enumerate(["", "[UNK]", *alphabet])}
    tokenizer = pipeline.pipeline(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"), "bpe", True)
    found = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(pipeline, "_MOSTLY_DIFFERENT", share)
        found.append(Encoder(tokenizer, "bpe", True, 1).encode(pa.array(rows)))
    assert found[0].values.tolist() == found[1].values.tolist()
    assert found[0].offsets.tolist() == found[1].offsets.tolist()


def test_tokens_are_counted_with_those_of_texts_that_are_left() -> None:
    counts: dict[str, int] = {}
    lengths: list[int] = []
    for tokens, times, rows in count_tokens(pa.array(["a b a", "", "हिन्दी a", "b"]), "word", True):
        counts |= {token: counts.get(token, 0) + count for token, count in zip(tokens, times, strict=True)}
        lengths += rows.tolist()
    assert counts == {"a": 3, "b": 2, "हिन्दी": 1}
    assert sorted(lengths) == [0, 1, 2, 3]


def test_parts_hold_every_text_once() -> None:
    rows = pa.array(["aa", "", "b" * 50, "cc", "", "d"])[1:]
    assert [text for part in parts_of(rows, 10) for text in part.to_pylist()] == rows.to_pylist()
    assert len(parts_of(rows, 10)) > 1
    assert parts_of(rows[:0], 10) == []
