"""Tokenising and learning vocabularies, beside the `tokenizers` library used directly, in one process.

    python benchmarks/tokenizing.py               a few minutes on two cores
    python benchmarks/tokenizing.py --repeats 3   quicker

The library gets the very tokenizer that was fitted here (its `tokenizer.json`) and texts that are Python strings
already; what it returns is not even turned into arrays. Ours gets the Arrow column as it is read and returns the
stored column, cut at the longest row. Both use all cores, by turns; a ratio is the library's median time over ours, so
above 1 ours is faster. Times alone say little on a busy machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, models, trainers

from modelyard.core.device import cores
from modelyard.core.errors import ModelyardError
from modelyard.data.catalog import catalog
from modelyard.data.modalities.text import Text, TextSettings
from modelyard.data.sources.open import open_sources

KINDS = ("word", "character", "bpe")


def catalogued(name: str, column: str) -> pa.Array:
    entry = catalog.entry(name)
    (source,) = open_sources(str(catalog.get(name) / next(iter(entry.files.values())))).values()
    chunks = [rows.table.column(column) for rows in source.read()]
    return pa.concat_arrays(chunks).drop_null()


def generated(rows: int, words: int) -> pa.Array:
    """Texts of words whose frequencies fall as Zipf's law says."""
    random = np.random.default_rng(0)
    known = np.array([f"word{at:x}" for at in range(50_000)])
    chosen = known[np.minimum(random.zipf(1.2, (rows, words)) - 1, len(known) - 1)]
    return pa.array([" ".join(row) for row in chosen])


def sets() -> dict[str, pa.Array]:
    found = {"short generated texts": generated(200_000, 6), "long generated texts": generated(4_000, 300)}
    for name in ("reuters_r8", "chinese_reviews"):
        try:
            found[name] = catalogued(name, "text")
        except ModelyardError as error:
            print(f"without {name}: {error}")
    return found


def by_turns(repeats: int, *jobs: Callable[[], object]) -> list[float]:
    """Median seconds of each job, after one turn that does not count."""
    times: list[list[float]] = [[] for _ in jobs]
    for turn in range(repeats + 1):
        for job, taken in zip(jobs, times, strict=True):
            start = time.perf_counter()
            job()
            if turn:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def fitted(texts: pa.Array, kind: str) -> Text:
    modality = Text("text", TextSettings(tokens=kind))
    modality.partial_fit(texts)
    modality.finish_fit()
    return modality


def learned_directly(tokenizer: Tokenizer, texts: list[str], kind: str) -> None:
    """Learn a vocabulary with the same normalisation and the same cuts."""
    other = Tokenizer(models.BPE() if kind == "bpe" else models.WordLevel({}, unk_token="[UNK]"))
    other.normalizer, other.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    size = {"word": 20_000, "character": 6_000, "bpe": 8_000}[kind]
    shared = {"vocab_size": size, "min_frequency": 2, "special_tokens": ["[PAD]", "[UNK]"], "show_progress": False}
    trainer = trainers.BpeTrainer(**shared) if kind == "bpe" else trainers.WordLevelTrainer(**shared)
    other.train_from_iterator(texts, trainer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(f"{cores()} cores, medians of {repeats} repeats\n")
    print("| texts | tokens | encode: texts/s | × library | learn: texts/s | × library |")
    print("|---|---|---:|---:|---:|---:|")
    for name, texts in sets().items():
        strings = texts.to_pylist()
        for kind in KINDS:
            modality = fitted(texts, kind)
            tokenizer = Tokenizer.from_str(modality.state().files["tokenizer.json"].decode())
            ours, theirs = by_turns(
                repeats,
                lambda: modality.encode(texts),  # noqa: B023
                lambda: tokenizer.encode_batch_fast(strings, add_special_tokens=False),  # noqa: B023
            )
            learn, directly = by_turns(
                max(1, repeats // 2),
                lambda: fitted(texts, kind),  # noqa: B023
                lambda: learned_directly(tokenizer, strings, kind),  # noqa: B023
            )
            encoding = f"{len(texts) / ours:,.0f} | {theirs / ours:.2f}"
            learning = f"{len(texts) / learn:,.0f} | {directly / learn:.2f}"
            print(f"| {name} | {kind} | {encoding} | {learning} |", flush=True)


if __name__ == "__main__":
    main()
