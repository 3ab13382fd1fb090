"""Texts: tokens of every kind, n-grams as scikit-learn weighs them, and what was cut."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from sklearn.feature_extraction.text import TfidfVectorizer
from tokenizers import Tokenizer

from modelyard.core.errors import BundleError, DataError, SpecError
from modelyard.data.kinds import Bag, Tokens
from modelyard.data.modalities.base import Ragged, State
from modelyard.data.modalities.ngram_words import analyze
from modelyard.data.modalities.text import Text, TextSettings


def text(**said: Any) -> Text:
    return Text("t", TextSettings(**{"min_count": 1, **said}))


def fitted(texts: list[str | None], **said: Any) -> Text:
    modality = text(**said)
    modality.partial_fit(modality.read(pa.array(texts, pa.string())).values)
    modality.finish_fit()
    return modality


def rows(column: Any) -> list[list[Any]]:
    assert isinstance(column, Ragged)
    return [column.values[a:b].tolist() for a, b in zip(column.offsets, column.offsets[1:], strict=False)]


def tokens(modality: Text, *texts: str) -> list[list[str]]:
    return [[modality.terms[at] for at in row] for row in rows(modality.encode(pa.array(texts))["ids"])]


def bags(modality: Text, *texts: str | None) -> list[dict[str, float]]:
    found = modality.encode(pa.array(texts, pa.string()))
    pairs = zip(rows(found["ids"]), rows(found["weights"]), strict=True)
    return [{modality.terms[at]: weight for at, weight in zip(*pair, strict=True)} for pair in pairs]


# -- reading -------------------------------------------------------------------------------------------------


def test_a_text_is_read_as_it_is() -> None:
    reading = text().read(pa.array([" A b\n", "", " NaN ", "-", "?", None, "none of these"]))
    assert reading.values.to_pylist() == [" A b\n", None, None, "-", "?", None, "none of these"]
    assert not reading.problems
    assert text().read(pa.array([1, None, 2])).values.to_pylist() == ["1", None, "2"]


def test_bytes_that_are_no_text_are_a_problem() -> None:
    reading = text().read(pa.array([b"ok", b"\xff\xfe" * 100]))
    assert reading.values.to_pylist() == ["ok", None]
    assert "UTF-8" in reading.problems[1]
    assert len(reading.problems[1]) < 120


# -- tokens --------------------------------------------------------------------------------------------------

CORPUS = ["Don't stop, it's 42!", "我们去北京 ＡＢＣ", "カメラ สวัสดี हिन्दी", "stop stop x_y"]


def test_words_numbers_signs_and_characters_of_unspaced_scripts() -> None:
    modality = fitted(CORPUS, tokens="word")
    assert tokens(modality, *CORPUS) == [
        ["don't", "stop", ",", "it's", "42", "!"],
        ["我", "们", "去", "北", "京", "abc"],
        ["カ", "メ", "ラ", "ส", "วั", "ส", "ดี", "हिन्दी"],
        ["stop", "stop", "x", "_", "y"],
    ]
    assert modality.terms[:3] == ("[PAD]", "[UNK]", "stop")


def test_case_is_kept_on_request() -> None:
    assert tokens(fitted(["Go go ."], tokens="word", lowercase=False), "Go go GO") == [["Go", "go", "[UNK]"]]


def test_characters() -> None:
    assert tokens(fitted(["A  b\n我"], tokens="character"), "ab 我x") == [["a", "b", " ", "我", "[UNK]"]]


def test_pieces_come_from_merges_and_rebuild_the_text() -> None:
    corpus = ["low lower lowest", "new newer newest", "我们喜欢我们的城市"] * 20
    modality = fitted(corpus, tokens="bpe", vocabulary_size=60)
    found = tokens(modality, "low newest  lower", "我们")
    assert "".join(found[0]) == "low▁newest▁lower"
    assert len(found[0]) <= 5
    assert found[1] == ["我们"]


def test_training_pieces_twice_gives_the_same() -> None:
    # The library counts in hash tables of random order; with many equally frequent pairs, that must not show.
    corpus = [f"{a}{b} {b}{c}{a}" for a in "abcdefgh" for b in "ijklmn" for c in "opqrst"]
    files = {fitted(corpus, tokens="bpe", vocabulary_size=90).state().files["tokenizer.json"] for _ in range(5)}
    assert len(files) == 1


def test_a_text_that_spells_a_special_token_is_a_text_like_any_other() -> None:
    for kind in ("word", "character", "bpe"):
        modality = fitted(["[PAD] [UNK] pad unk"], tokens=kind, lowercase=False)
        ids = modality.encode(pa.array(["[PAD] [UNK]"]))["ids"]
        assert isinstance(ids, Ragged)
        assert (ids.values > 1).all()


def test_the_vocabulary_is_the_most_frequent_tokens() -> None:
    modality = fitted(["a a a b b c"], tokens="word", vocabulary_size=4)
    assert modality.terms == ("[PAD]", "[UNK]", "a", "b")
    assert modality.describe() == Tokens("t", ("t",), 4, 6, 0)
    assert modality.summary()["unknown_share"] == pytest.approx(1 / 6)
    assert modality.summary()["different_tokens"] == 3
    assert fitted(["a a b"], tokens="word", min_count=2).terms == ("[PAD]", "[UNK]", "a")


def test_long_rows_are_cut_and_counted_and_empty_ones_are_one_unknown_token() -> None:
    modality = fitted(["a b c d e"], tokens="word", max_length=3)
    found = modality.encode(pa.array(["e d c b a", "a", None, "  ", "a b c d"]))["ids"]
    assert isinstance(found, Ragged)
    assert found.values.dtype == np.int32
    assert [len(row) for row in rows(found)] == [3, 1, 1, 1, 3]
    assert rows(found)[2] == rows(found)[3] == [1]
    summary = modality.summary()
    assert (summary["cut_rows"], summary["cut_tokens"], summary["empty_rows"]) == (2, 3, 2)


def test_the_longest_row_follows_from_training() -> None:
    short, long = ["a b"] * 99, ["a b c d"]
    assert fitted([*short, *long], tokens="word").summary()["max_length"] == 2
    assert fitted([*short, *long * 2], tokens="word").summary()["max_length"] == 4
    assert fitted(["a " * 5000], tokens="word").summary()["max_length"] == 512
    assert fitted(["abcdefgh"] * 3, tokens="bpe").summary()["max_length"] == 1


def test_collate_pads_to_the_longest_row_of_the_batch() -> None:
    modality = fitted(["a b c"], tokens="word")
    batch = modality.collate(modality.encode(pa.array(["c", "a b", None])), None)
    a, b, c = (modality.terms.index(term) for term in "abc")
    assert batch["t.ids"].tolist() == [[c, 0], [a, b], [1, 0]]
    assert batch["t.length"].tolist() == [1, 2, 1]
    assert batch["t.ids"].dtype == batch["t.length"].dtype
    assert str(batch["t.ids"].dtype) == "torch.int64"


def test_other_programs_can_read_the_tokenizer() -> None:
    modality = fitted(CORPUS, tokens="word")
    other = Tokenizer.from_str(modality.state().files["tokenizer.json"].decode())
    assert other.encode("Don't stop 北京").ids == rows(modality.encode(pa.array(["Don't stop 北京"]))["ids"])[0]


# -- long and unheard-of texts ---------------------------------------------------------------------------------------


def test_a_fit_says_how_much_of_training_is_cut() -> None:
    for kind in ("word", "character", "bpe"):
        texts = ["a", "a b c d", "a b c d e f", ""] if kind == "word" else ["a", "abcd", "abcdef", ""]
        modality = fitted(texts, tokens=kind, max_length=3, min_count=1 if kind != "bpe" else 99)  # no merges
        summary = modality.summary()
        assert (summary["rows_cut"], summary["tokens_cut"], summary["longest"]) == (2, 1 + 3, 6)
    assert fitted(["a " * 600, "a"], tokens="word", max_length=550).summary()["tokens_cut"] == 50
    assert fitted(["a " * 600, "a"], tokens="word").summary()["max_length"] == 512


def test_remarks_name_the_texts_that_are_cut_and_by_how_much() -> None:
    modality = fitted(["a b c d"], tokens="word", max_length=2)
    assert modality.remarks(pa.array(["a b", None, "a b c", "z z", "z a", "a b c d " * 100])) == {
        2: "cut to 2 tokens: it has 3",
        3: "no known token",
        5: "cut to 2 tokens: it has 400",
    }
    modality = fitted(["a b c d"], tokens="ngrams")
    before = modality.summary()
    assert modality.remarks(pa.array(["a", None, "z", "z a"])) == {2: "no known n-gram"}
    assert modality.summary() == before


# -- n-grams --------------------------------------------------------------------------------------------------------

REVIEWS = [
    "A good film, a very good film.",
    "Bad film!",
    "Not good; not bad either",
    "电影 很 好看",
    "不好看 的 电影 film",
    "good good good bad",
    "?!",
]


@pytest.mark.parametrize("sublinear", [True, False])
@pytest.mark.parametrize("idf", [True, False])
@pytest.mark.parametrize("norm", ["l2", "none"])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 2), (2, 3)])
def test_word_ngrams_weigh_as_in_scikit_learn(sublinear: bool, idf: bool, norm: str, sizes: tuple[int, int]) -> None:
    modality = fitted(REVIEWS, tokens="ngrams", word_ngrams=sizes, sublinear=sublinear, idf=idf, norm=norm)
    reference = TfidfVectorizer(
        tokenizer=analyze,
        token_pattern=None,
        lowercase=False,
        ngram_range=sizes,
        sublinear_tf=sublinear,
        use_idf=idf,
        norm=None if norm == "none" else norm,
    )
    compare(modality, reference)


def compare(modality: Text, reference: TfidfVectorizer, extra: str = "unheard of good film 电影") -> None:
    reference.fit(REVIEWS)
    matrix = reference.transform([*REVIEWS, extra])
    names = reference.get_feature_names_out()
    assert set(modality.terms) == set(names)
    for row, found in enumerate(bags(modality, *REVIEWS, extra)):
        expected = {names[at]: matrix[row, at] for at in matrix[row].indices}
        assert found.keys() == expected.keys()
        assert found == pytest.approx(expected, abs=1e-6)


def test_characters_across_words_weigh_as_in_scikit_learn() -> None:
    said = {"tokens": "ngrams", "word_ngrams": None, "character_ngrams": [2, 4], "within_words": False}
    compare(fitted(REVIEWS, **said), TfidfVectorizer(analyzer="char", ngram_range=(2, 4), sublinear_tf=True))


def test_characters_within_words_weigh_as_in_scikit_learn() -> None:
    corpus = ["good film", "bad films", "not good"]
    said = {"tokens": "ngrams", "word_ngrams": None, "character_ngrams": [2, 5]}
    modality = fitted(corpus, **said)
    reference = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True).fit(corpus)
    assert set(modality.terms) == set(reference.get_feature_names_out())
    np.testing.assert_allclose(
        sorted(bags(modality, "good")[0].values()), sorted(reference.transform(["good"]).data), atol=1e-6
    )


def test_words_and_characters_together() -> None:
    modality = fitted(
        ["ab ab", "b"], tokens="ngrams", word_ngrams=[1, 1], character_ngrams=[1, 1], norm="none", idf=False
    )
    assert modality.terms == ("ab", "b", "b", "a")
    found = modality.encode(pa.array(["ab b b"]))
    assert rows(found["ids"]) == [[0, 1, 2, 3]]
    np.testing.assert_allclose(rows(found["weights"])[0], [1, 1 + np.log(2), 1 + np.log(3), 1], rtol=1e-6)


def test_an_ngram_counts_in_how_many_texts_it_stands() -> None:
    modality = fitted(["x x x", "y", "y"], tokens="ngrams", word_ngrams=[1, 1], min_count=2)
    assert modality.terms == ("y",)
    assert fitted(["a b", "a c", "b a"], tokens="ngrams", word_ngrams=[1, 1], vocabulary_size=3).terms[0] == "a"


def test_ngrams_do_not_reach_from_one_text_into_the_next() -> None:
    assert set(fitted(["a b", "c d"], tokens="ngrams").terms) == {"a", "b", "c", "d", "a b", "c d"}


def test_an_unknown_word_breaks_an_ngram() -> None:
    modality = fitted(["a b c"], tokens="ngrams", word_ngrams=[2, 3])
    assert bags(modality, "a x b c")[0].keys() == {"b c"}


def test_a_text_without_known_ngrams_is_an_empty_bag() -> None:
    modality = fitted(["a b"], tokens="ngrams")
    assert bags(modality, "z", None, "a") == [{}, {}, {"a": 1.0}]
    assert modality.summary()["empty_rows"] == 2
    assert modality.describe() == Bag("t", ("t",), 3)


def test_a_row_is_weighed_the_same_alone_and_among_others() -> None:
    modality = fitted(REVIEWS, tokens="ngrams")
    assert [bags(modality, review)[0] for review in REVIEWS] == bags(modality, *REVIEWS)


def test_collate_of_bags() -> None:
    modality = fitted(["a b", "b"], tokens="ngrams", word_ngrams=[1, 1], norm="none", idf=False)
    batch = modality.collate(modality.encode(pa.array(["b a b", "z", "a"])), None)
    b, a = 0, 1
    assert batch["t.ids"].tolist() == [b, a, a]
    assert batch["t.offsets"].tolist() == [0, 2, 2]
    np.testing.assert_allclose(batch["t.weights"].numpy(), [1 + np.log(2), 1, 1], rtol=1e-6)
    assert str(batch["t.weights"].dtype) == "torch.float32"


def test_null_characters_and_many_texts_keep_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.data.modalities.ngram_keys._AT_ONCE", 5)
    modality = fitted(["a\0b", "", "c" * 20, "a b"], tokens="ngrams", character_ngrams=[1, 1])
    assert "a b" in modality.terms
    assert [set(bag) for bag in bags(modality, "c" * 20, "\0", "a\0b", "a")] == [
        {"c" * 20, "c"},
        set(),
        {"a", "b", "a b"},
        {"a"},
    ]


def test_no_ngram_often_enough_is_refused() -> None:
    with pytest.raises(DataError, match="'t' has no n-gram that occurs in at least 2 of the 2 training texts"):
        fitted(["a", "b"], tokens="ngrams", min_count=2)
    with pytest.raises(DataError, match="no token that occurs at least 2 times"):
        fitted(["a b"], tokens="word", min_count=2)
    with pytest.raises(DataError, match="no text in the 2 training rows"):
        fitted([None, ""])


def test_a_vocabulary_of_too_many_different_words_is_said_to_be_approximate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.data.modalities.ngrams._WORD_BITS", 2)
    modality = fitted(["a b c d e", "a b"], tokens="ngrams", word_ngrams=[1, 1])
    assert set(modality.terms) == {"a", "b", "c"}
    assert modality.summary()["approximate"] is True


# -- what the model takes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepts", "expected"),
    [
        (("tokens",), "word"),
        (("bag",), "ngrams"),
        (("numbers", "bag", "tokens"), "ngrams"),
        (("tokens", "bag"), "word"),
    ],
)
def test_automatic_tokens_follow_the_model(accepts: tuple[str, ...], expected: str) -> None:
    assert Text.adapt(TextSettings(), accepts).tokens == expected


def test_what_is_said_is_kept_or_refused() -> None:
    assert Text.adapt(TextSettings(tokens="bpe"), ("bag", "tokens")).tokens == "bpe"
    with pytest.raises(SpecError, match="'ngrams' makes a 'bag' input, and the model takes tokens"):
        Text.adapt(TextSettings(tokens="ngrams"), ("tokens",))
    with pytest.raises(SpecError, match="the model takes image"):
        Text.adapt(TextSettings(), ("image",))


@pytest.mark.parametrize(
    "said",
    [
        {"word_ngrams": [0, 1]},
        {"word_ngrams": [2, 1]},
        {"word_ngrams": [1, 4]},
        {"character_ngrams": [1, 6]},
        {"word_ngrams": None},
        {"tokens": "words"},
        {"max_length": 0},
    ],
)
def test_impossible_settings_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TextSettings(**said)


# -- states a stranger could have written --------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(type="BPE"),
        lambda m: m["vocab"].update(more=99),
        lambda m: m["vocab"].update(a="2"),
        lambda m: m["vocab"].update({"[PAD]": 2, "a": 0}),
        lambda m: m.update(vocab=[]),
        lambda m: m.update(vocab={"[PAD]": 0, "[UNK]": 1}),
        lambda m: m.update(vocab={"[PAD]": 0, "[UNK]": 1, "\ud800": 2}),
        lambda m: m.update(merges=[["a", "b"]]),
    ],
)
def test_a_tokenizer_of_another_shape_is_refused(change: Any) -> None:
    state = fitted(["a a b"], tokens="word").state()
    content = json.loads(state.files["tokenizer.json"])
    change(content["model"])
    with pytest.raises(BundleError, match="'t'"):
        text(tokens="word").restore(State(state.json, {"tokenizer.json": json.dumps(content).encode()}))


@pytest.mark.parametrize("merges", [[["a"]], ["a b"], [["a", "zz"]], [[1, 2]], "ab", [["b", "a"]]])
def test_merges_that_lead_nowhere_are_refused(merges: Any) -> None:
    state = fitted(["ab ab"], tokens="bpe").state()
    content = json.loads(state.files["tokenizer.json"])
    content["model"]["merges"] = merges
    with pytest.raises(BundleError):
        text(tokens="bpe").restore(State(state.json, {"tokenizer.json": json.dumps(content).encode()}))


def test_no_pattern_out_of_a_stored_tokenizer_ever_runs() -> None:
    state = fitted(["a a b"], tokens="word").state()
    content = json.loads(state.files["tokenizer.json"])
    content["pre_tokenizer"]["pattern"] = {"Regex": "(a+)+$"}
    content["normalizer"] = {"type": "Replace", "pattern": {"Regex": "(a|aa)+b"}, "content": "x"}
    modality = text(tokens="word")
    modality.restore(State(state.json, {"tokenizer.json": json.dumps(content).encode()}))
    assert tokens(modality, "a b " + "a" * 5000) == [["a", "b", "[UNK]"]]


@pytest.mark.parametrize(
    "change",
    [
        {"words": ["a", "a"]},
        {"words": ["a", "a b c"]},
        {"words": ["a", "a  b"]},
        {"words": ["a", "\0"]},
        {"words": ["a", ""]},
        {"words": ["a", "\ud800"]},
        {"words": ["a"]},
        {"words": [], "word_rows": []},
        {"word_rows": [1, 2]},
        {"word_rows": [3, 1]},
        {"word_rows": [1, 0]},
        {"characters": ["a"], "character_rows": [1]},
        {"more": 1},
    ],
)
def test_ngrams_that_do_not_hold_together_are_refused(change: dict[str, Any]) -> None:
    state = fitted(["a b", "a c"], tokens="ngrams", vocabulary_size=3).state()
    content = {**json.loads(state.files["ngrams.json"]), "words": ["a", "b"], "word_rows": [2, 1], **change}
    with pytest.raises(BundleError):
        text(tokens="ngrams", vocabulary_size=3).restore(
            State(state.json, {"ngrams.json": json.dumps(content).encode()})
        )


def test_a_state_must_fit_the_settings() -> None:
    state = fitted(["a b a"], tokens="word", max_length=2).state()
    for said in ({"tokens": "character"}, {"tokens": "ngrams"}, {"tokens": "word", "max_length": 3}):
        with pytest.raises(BundleError):
            text(**said).restore(state)
    with pytest.raises(BundleError, match="a vocabulary of 4"):
        text(tokens="word", max_length=2, vocabulary_size=3).restore(state)


def test_show_and_use_before_the_fit() -> None:
    modality = text()
    assert modality.show(None).text == "missing"
    assert modality.show("x" * 1000).text == "x" * 300 + "…"
    with pytest.raises(RuntimeError, match="neither fitted nor restored"):
        modality.encode(pa.array(["a"]))


def test_the_two_ways_of_cutting_words_agree_on_common_text() -> None:
    modality = fitted(CORPUS, tokens="word")
    signs = {",", "!", "_"}
    for corpus, found in zip(CORPUS[:2], tokens(modality, *CORPUS[:2]), strict=True):
        assert analyze(corpus) == [token for token in found if token not in signs]
