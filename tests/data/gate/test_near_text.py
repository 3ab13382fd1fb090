"""Texts that are nearly the same: counted exactly, named with their partner, whatever the chunks."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.randomness import stream
from modelyard.core.states import read_state, write_state
from modelyard.data.gate.banding import near_signatures
from modelyard.data.gate.check import RowIndex
from modelyard.data.gate.examined import DROPPED, Examined
from modelyard.data.gate.minhash import LETTERS, WORDS, signatures
from modelyard.data.gate.near_text import NearDuplicateTexts
from modelyard.data.gate.text_bytes import LONGEST
from modelyard.data.gate.text_keys import text_keys
from modelyard.data.sources.base import Rows

TRAIN, VALIDATION, TEST = 0, 1, 2


def word(rng):
    return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(3, 9)))


def sentences(count, words=12, seed=0):
    rng = stream(seed, "sentences")
    return [" ".join(word(rng) for _ in range(words)) for _ in range(count)]


class Lines:
    """A source of one file with a header."""

    def label(self):
        return "t.csv"

    def files(self):
        return ["t.csv"]

    def place(self, file, positions):
        return [f"{file}, line {position + 2}" for position in positions]


def check_of(limit=None):
    subject = SimpleNamespace(inputs=[SimpleNamespace(column="t", name="text")], targets=[], parts={None: Lines()})
    return NearDuplicateTexts(subject) if limit is None else NearDuplicateTexts(subject, limit)


def chunks(texts, codes, size, kind=None):
    whole = pa.array(texts, kind or pa.string())
    for start in range(0, len(whole), size):
        values = whole.slice(start, size)
        count = len(values)
        rows = Rows(pa.record_batch([values], names=["t"]), "t.csv", start)
        at = np.arange(start, start + count)
        yield Examined(rows, start, codes[start : start + count], at, np.zeros(count, np.uint64), {"t": values})


def index_of(codes):
    count = len(codes)
    hashes = np.zeros(count, np.uint64)
    return RowIndex(hashes, hashes, hashes, codes, np.zeros(count, np.int32), np.arange(count), ["t.csv"])


def found_in(texts, codes=None, size=1000, limit=None, kind=None):
    codes = np.zeros(len(texts), np.int8) if codes is None else np.array(codes, np.int8)
    check = check_of(limit)
    for chunk in chunks(texts, codes, size, kind):
        check.observe(chunk)
    return check.finish(index_of(codes))


EDITS = {
    "case": lambda text: text.upper(),
    "punctuation": lambda text: text.replace(" ", ", ") + "!",
    "one letter": lambda text: text[:20] + "q" + text[21:],
    "a word more": lambda text: text + " abc",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_every_planted_copy_is_counted_and_named_with_its_original(edit):
    texts = sentences(200)
    originals = [3, 50, 51, 120, 199]
    texts += [edit(texts[at]) for at in originals]
    (found,) = found_in(texts)
    assert found.finding.rows == 5
    assert found.finding.columns == ["t"]
    assert found.numbers.tolist() == [200, 201, 202, 203, 204]
    assert [pair[:2] for pair in found.finding.details["pairs"]] == [[200 + i, at] for i, at in enumerate(originals)]
    assert all(pair[2] >= 0.8 for pair in found.finding.details["pairs"])
    assert found.words[200].startswith("nearly the same as t.csv, line 5 (")
    assert found.finding.details["groups"] == 5
    assert found.drop.tolist() == [200, 201, 202, 203, 204]


def test_unrelated_texts_are_no_finding():
    assert found_in(sentences(500) + sentences(200, words=60, seed=1)) == []


def test_exact_copies_are_left_to_other_checks():
    texts = sentences(50)
    assert found_in(texts + texts) == []


def test_many_are_a_warning_and_few_a_note():
    texts = sentences(300)
    (few,) = found_in([*texts, texts[0].upper()])
    (many,) = found_in(texts + [text.upper() for text in texts[:30]])
    assert (few.finding.severity, many.finding.severity) == ("note", "warn")
    assert many.finding.rows == 30


def test_held_out_rows_near_training_are_a_warning_and_only_training_rows_are_dropped():
    texts = sentences(100)
    texts += [texts[7] + " abc", texts[8].upper(), texts[9] + "!"]
    codes = [TRAIN] * 100 + [TEST, VALIDATION, TRAIN]
    across, within = found_in(texts, codes)
    assert across.finding.severity == "warn"
    assert across.finding.rows == 2
    assert across.numbers.tolist() == [100, 101]
    assert across.drop.tolist() == [7, 8]
    assert [pair[:2] for pair in across.finding.details["pairs"]] == [[100, 7], [101, 8]]
    assert (across.finding.details["test"], across.finding.details["validation"]) == (1, 1)
    assert "2 of 2 held-out rows" in across.finding.title
    assert "MinHash" in across.finding.why
    assert (within.finding.rows, within.numbers.tolist(), within.drop.tolist()) == (1, [102], [102])


def test_a_held_out_row_before_its_training_copy_is_found_and_kept():
    texts = sentences(40)
    (found,) = found_in([*texts, texts[5].upper()], [TEST] * 40 + [TRAIN])
    assert found.numbers.tolist() == [5]
    assert found.drop.tolist() == [40]


def test_test_rows_near_validation_rows_are_their_own_finding():
    texts = sentences(40)
    (found,) = found_in([*texts, texts[5].upper()], [TRAIN] * 5 + [VALIDATION] * 35 + [TEST])
    assert "validation row" in found.finding.title
    assert (found.numbers.tolist(), found.drop.tolist()) == ([40], [5])


def test_every_row_of_a_text_that_stands_several_times_counts():
    texts = sentences(30)
    near = texts[4].upper()
    across, within = found_in([*texts, texts[4], near, near, near], [TRAIN] * 31 + [TEST, TEST, TRAIN])
    assert across.numbers.tolist() == [31, 32]
    assert across.drop.tolist() == [4, 30]  # row 33 is exactly what the test rows are
    assert within.numbers.tolist() == [33]


def test_rows_that_are_left_out_take_no_part():
    texts = sentences(30)
    assert found_in([*texts, texts[4].upper()], [TRAIN] * 30 + [DROPPED]) == []


def test_missing_empty_and_short_texts_are_not_compared():
    assert found_in([None, "", "yes", "Yes", "YES!", None, "ok", "Ok", "abcdefghij", "ABCDEFGHIJ"]) == []
    (found,) = found_in(["abcdefghijk", "ABCDEFGHIJK"])
    assert found.finding.rows == 1


def test_scripts_without_spaces_are_compared_by_characters():
    rng = stream(0, "characters")
    texts = ["".join(chr(0x4E00 + int(at)) for at in rng.integers(0, 3000, 60)) for _ in range(100)]
    changed = texts[31][:20] + "龍" + texts[31][21:]
    (found,) = found_in([*texts, changed, texts[3] + "。"])
    assert [pair[:2] for pair in found.finding.details["pairs"]] == [[100, 31], [101, 3]]


def test_no_near_pair_falls_between_short_and_long_texts():
    for words in range(20, 45):
        texts = sentences(20, words, seed=words)
        longer = texts[6] + " abc def"
        (found,) = found_in([*texts, longer])
        assert found.numbers.tolist() == [20], words


def test_long_texts_with_a_changed_word_are_found():
    texts = sentences(50, words=400)
    changed = texts[9].split()
    changed[100] = "changed"
    (found,) = found_in([*texts, " ".join(changed)])
    assert found.numbers.tolist() == [50]


def test_of_a_very_long_text_its_beginning_is_compared():
    (text,) = sentences(1, words=60_000)
    assert len(text) > LONGEST
    (found,) = found_in([text, text[: LONGEST + 10] + " and something else" * 1000])
    assert found.finding.details["pairs"] == [[1, 0, 1.0]]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunks_make_no_difference(size):
    texts = sentences(120) + sentences(20, words=40)
    texts += [text.upper() for text in texts[::9]] + [None, "x"]
    codes = [at % 3 for at in range(len(texts))]
    whole = found_in(texts, codes)
    cut = found_in(texts, codes, size)
    assert [found.finding for found in whole] == [found.finding for found in cut]
    assert [found.numbers.tolist() for found in whole] == [found.numbers.tolist() for found in cut]
    assert [found.drop.tolist() for found in whole] == [found.drop.tolist() for found in cut]
    large = found_in(texts, codes, size, kind=pa.large_string())
    assert [found.finding for found in whole] == [found.finding for found in large]


@pytest.mark.parametrize("limit", [None, 40])
def test_an_interrupted_examination_goes_on_where_it_stopped(tmp_path: Path, limit):
    texts = sentences(150)
    texts += [text.upper() for text in texts[::3]]
    codes = np.zeros(200, np.int8)
    one, other = check_of(limit), check_of(limit)
    for at, chunk in enumerate(chunks(texts, codes, 20)):
        one.observe(chunk)
        if at == 6:
            write_state(tmp_path / "state", one.state())
            other.restore(read_state(tmp_path / "state"))
        elif at > 6:
            other.observe(chunk)
    first, second = one.finish(index_of(codes)), other.finish(index_of(codes))
    assert [found.finding for found in first] == [found.finding for found in second]
    assert first


@pytest.mark.parametrize("size", [13, 5000])
def test_of_more_texts_than_fit_a_sample_is_compared_that_keeps_pairs_together(size):
    texts = sentences(2000, words=8)
    texts += [text.upper() for text in texts]
    (found,) = found_in(texts, size=size, limit=1000)
    one_in = found.finding.details["compared_one_in"]
    assert one_in == 8  # of 4000 different texts at most 1000 are kept
    assert f"one in {one_in}" in found.finding.title
    # An unrelated choice of rows would keep both of a pair once in 64 times, which is 31.
    assert 170 <= found.finding.rows <= 330
    assert all(late == early + 2000 for late, early, _ in found.finding.details["pairs"])


def everything(found):
    return [(one.finding, one.numbers.tolist(), one.drop.tolist(), one.words) for one in found]


def test_a_sample_depends_on_neither_chunks_nor_order_of_signing():
    rng = stream(1, "mixture")
    texts = sentences(300, words=8) + sentences(60, words=28, seed=1) + sentences(60, words=40, seed=2)
    texts += ["".join(chr(0x4E00 + int(at)) for at in rng.integers(0, 3000, 40)) for _ in range(100)]
    texts += ["no", "不好吃", "...", "", "abcdefghijk" * 3]
    texts += [text.upper() for text in texts[::2]] + [text + "!" for text in texts[::3]] + texts[::5]
    texts = [texts[int(at)] for at in rng.permutation(len(texts))]
    codes = rng.integers(0, 3, len(texts)).astype(np.int8)
    whole = found_in(texts, codes, size=len(texts), limit=150)
    assert whole[0].finding.details["compared_one_in"] >= 4
    for size in (1, 17, 256):
        assert everything(found_in(texts, codes, size, limit=150)) == everything(whole)
    check = check_of(150)
    for chunk in chunks(texts, codes, 64):
        check.observe(chunk)
        check.state()  # signs all that waits
    assert everything(check.finish(index_of(codes))) == everything(whole)


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
@pytest.mark.parametrize("words", [8, 26, 60])
def test_a_sample_keeps_near_pairs_together(edit, words):
    texts = sentences(400, words)
    keys = text_keys(pa.array(texts + [edit(text) for text in texts]))
    together = (keys[:400] == keys[400:]).mean()
    # A changed word was the chosen one, or is: twice the share of one word in eight, or less.
    assert together >= (0.7 if words == 8 else 0.85)
    assert len(np.unique(keys[:400])) > 390  # and unrelated texts apart


def test_common_words_do_not_decide_what_is_sampled():
    texts = [f"the movie was {text} and it is for you" for text in sentences(300, words=4)]
    _, sizes = np.unique(text_keys(pa.array(texts)), return_counts=True)
    assert sizes.max() < 30


def test_a_key_is_of_the_text_alone():
    texts = [
        "",
        "one two three four five",
        "...",
        "龍門客棧龍門客棧龍門",
        "antidisestablishmentarianism",
        "一",
        "six",
        "",
    ]
    texts += sentences(3, words=30)
    alone = [text_keys(pa.array([text]))[0] for text in texts]
    assert text_keys(pa.array(texts)).tolist() == alone
    assert text_keys(pa.array(["x", *texts], pa.large_string()).slice(1)).tolist() == alone
    too_short = [text for text, key in zip(texts, alone, strict=True) if key == np.iinfo(np.uint64).max]
    assert too_short == ["", "...", "一", "six", ""]
    assert text_keys(pa.array(["One, TWO - three; (four) five!"]))[0] == alone[1]


def test_texts_that_are_left_out_of_the_sample_do_not_push_others_out():
    texts = sentences(90) + [f"{at % 1000:03d}" for at in range(5000)]  # too short to be compared
    (found,) = found_in([*texts, texts[0].upper()], limit=100)
    assert "compared_one_in" not in found.finding.details
    assert found.finding.details["compared_rows"] == 91


def test_a_signature_estimates_the_similarity_of_the_sets():
    rng = stream(3, "edits")
    errors = []
    for text in sentences(60, words=10, seed=5):
        other = list(text)
        for at in rng.integers(0, len(text), int(rng.integers(1, 5))):
            other[at] = "x"
        pair = signatures(pa.array([text, "".join(other)])).values
        sets = [
            {joined[at : at + 4] for at in range(len(joined) - 3)}
            for joined in (text.replace(" ", ""), "".join(other).replace(" ", ""))
        ]
        jaccard = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        errors.append(float((pair[0] == pair[1]).mean()) - jaccard)
    assert abs(np.mean(errors)) < 0.03
    assert np.std(errors) < 0.08


def test_texts_of_middling_length_have_signatures_of_both_kinds():
    lengths = [5, 23, 24, 31, 32, 40]
    found = signatures(pa.array([sentences(1, words, seed=words)[0] for words in lengths]))
    kinds = [found.kinds[found.rows == row].tolist() for row in range(len(lengths))]
    assert [sorted(kind) for kind in kinds] == [
        [LETTERS], [LETTERS], [LETTERS, WORDS], [LETTERS, WORDS], [WORDS], [WORDS],
    ]  # fmt: skip


def test_no_texts_have_no_signatures():
    found = signatures(pa.array([], pa.string()))
    assert found.values.shape == (0, 64)
    assert len(near_signatures(found.values, found.kinds, 0.8).first) == 0
