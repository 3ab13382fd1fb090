"""Run recipes and, in the same process on the same rows, the scikit-learn baseline a practitioner would try first.

    python benchmarks/recipes.py                  all of them, some 25 minutes on two cores
    python benchmarks/recipes.py adult mnist      some
    python benchmarks/recipes.py --write          also write them into benchmarks/RECIPES.md

Both are fitted on the same training rows (validation rows are not used by the baselines) and measured on the same test
rows. Times are wall-clock seconds of fitting, data preparation included; they say little on a busy machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

import modelyard
from modelyard.core.device import environment
from modelyard.data.prepare import locate, prepare

RESULTS = Path(__file__).parent / "RECIPES.md"


@dataclass(frozen=True)
class Rows:
    """Inputs and answers of one split, as the user's file has them."""

    inputs: pa.Table
    target: np.ndarray

    def texts(self) -> list[str]:
        return ["" if text is None else text for text in self.inputs.column(0).to_pylist()]

    def pixels(self) -> np.ndarray:
        chunks = self.inputs.column(0).chunks
        return np.concatenate([chunk.to_numpy_ndarray().reshape(len(chunk), -1) for chunk in chunks])

    def frame(self) -> Any:
        """A pandas table; columns that a CSV file wrote as text but are numbers become numbers."""
        frame = self.inputs.to_pandas()
        for name in frame.columns:
            numbers = pd.to_numeric(frame[name], errors="coerce")
            if numbers.notna().sum() == frame[name].notna().sum():
                frame[name] = numbers
        return frame


def rows_of(run: modelyard.Run) -> dict[str, Rows]:
    """Return the raw rows of each split of a run."""
    prepared = prepare(run.spec)
    sources, _ = locate(run.spec.data)
    tables: dict[str, pa.Table] = {}
    for source in sources.values():
        for rows in source.read():
            part = pa.Table.from_batches([rows.table])
            tables[rows.file] = pa.concat_tables([tables[rows.file], part]) if rows.file in tables else part
    (target,) = run.spec.data.targets
    splits = {}
    for split, store in prepared.splits.items():
        files = np.asarray(store.columns["row.file"])
        positions = np.asarray(store.columns["row.position"])
        parts = []
        for number, file in enumerate(prepared.record.files):
            chosen = positions[files == number]
            if len(chosen):
                parts.append(tables[file].take(chosen))
        table = pa.concat_tables(parts)
        answers = table.column(target).to_numpy(zero_copy_only=False)
        splits[split] = Rows(table.select(list(run.spec.data.inputs)), answers)
    return splits


def table_model(model: Any, scale: bool) -> Any:
    """A scikit-learn model on mixed columns."""
    texts = make_column_selector(dtype_exclude="number")
    numbers = make_column_selector(dtype_include="number")
    if scale:
        steps = [("c", OneHotEncoder(handle_unknown="ignore"), texts), ("n", StandardScaler(), numbers)]
    else:
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
        steps = [("c", encoder, texts), ("n", "passthrough", numbers)]
    return make_pipeline(ColumnTransformer(steps), model)


def tfidf(model: Any, **settings: Any) -> Any:
    return make_pipeline(TfidfVectorizer(sublinear_tf=True, **settings), model)


def characters(low: int, high: int) -> dict[str, Any]:
    return {"analyzer": "char", "ngram_range": (low, high), "min_df": 2}


Baseline = tuple[str, Callable[[], Any], str]
"""Its name, how it is made, and which view of the rows it takes."""

FOREST: Baseline = (
    "random forest, 100 trees, on pixels",
    lambda: RandomForestClassifier(100, n_jobs=2, random_state=0),
    "pixels",
)
SVM: Baseline = ("tf-idf of words 1–2 + linear SVM", lambda: tfidf(LinearSVC(), ngram_range=(1, 2), min_df=2), "texts")
WORDS: Baseline = (
    "tf-idf of words 1–2 + logistic regression, C=10",
    lambda: tfidf(LogisticRegression(C=10, max_iter=300), ngram_range=(1, 2)),
    "texts",
)
BOOSTING: Baseline = (
    "histogram gradient boosting",
    lambda: table_model(HistGradientBoostingClassifier(random_state=0), scale=False),
    "frame",
)
LOGISTIC: Baseline = (
    "logistic regression, one-hot",
    lambda: table_model(LogisticRegression(max_iter=1000), scale=True),
    "frame",
)

BASELINES: dict[str, list[Baseline]] = {
    "demo": [FOREST],
    "mnist": [FOREST],
    "fashion_mnist": [FOREST],
    "textbook_mlp": [FOREST],
    "textbook_cnn": [FOREST],
    "reuters_r8": [SVM],
    "reuters_r8_neural": [SVM],
    "textbook_lstm": [SVM],
    "textbook_transformer": [SVM],
    "textbook_sentiment": [WORDS],
    "chinese_reviews": [
        *(
            (f"tf-idf of characters 1–{high} + logistic regression, C={c:g}",
             lambda high=high, c=c: tfidf(LogisticRegression(C=c, max_iter=300), **characters(1, high)), "texts")
            for high in (2, 3, 4) for c in (1.0, 10.0)
        )
    ],
    "adult": [BOOSTING, LOGISTIC],
    "textbook_logistic_regression": [BOOSTING, LOGISTIC],
    "breast_cancer": [LOGISTIC],
    "diabetes": [("linear regression", LinearRegression, "frame")],
    "textbook_linear_regression": [("linear regression", LinearRegression, "frame")],
}  # fmt: skip


def headline(run: modelyard.Run) -> str:
    if run.spec.task.name == "regression":
        return "r2"
    return "roc_auc" if run.spec.name == "breast_cancer" else "accuracy"


def score(metric: str, model: Any, inputs: Any, target: np.ndarray) -> float:
    if metric == "r2":
        return float(r2_score(target.astype(float), model.predict(inputs)))
    if metric == "roc_auc":
        return float(roc_auc_score(target == model.classes_[1], model.predict_proba(inputs)[:, 1]))
    return float(accuracy_score(target, model.predict(inputs)))


def measure(name: str, folder: Path, overrides: list[str]) -> list[tuple[str, ...]]:
    """Run one recipe and its baselines; return table rows."""
    started = time.perf_counter()
    run = modelyard.train(modelyard.open_spec(name, overrides), folder)
    seconds = time.perf_counter() - started
    metric = headline(run)
    found = next(m for m in run.evaluations[-1].metrics if m.name == metric)
    interval = f"{found.low:.4f} … {found.high:.4f}"
    rows = [(name, f"modelyard, {run.spec.model.name}", metric, f"**{found.value:.4f}**", interval, f"{seconds:.0f}")]
    print(*rows[-1], sep=" | ", flush=True)
    splits = rows_of(run)
    last = list(splits)[-1]
    for title, make, view in BASELINES.get(name, []):
        started = time.perf_counter()
        train, test = (getattr(splits[split], view)() for split in ("train", last))
        target = splits["train"].target
        model = make().fit(train, target.astype(float) if metric == "r2" else target)
        seconds = time.perf_counter() - started
        value = score(metric, model, test, splits[last].target)
        rows.append((name, f"scikit-learn, {title}", metric, f"{value:.4f}", "", f"{seconds:.0f}"))
        print(*rows[-1], sep=" | ", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--set", nargs="*", default=[], metavar="PLACE=VALUE", help="overrides for every recipe")
    options = parser.parse_args()
    names = options.names or [recipe.name for recipe in modelyard.recipes()]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rows = measure(name, Path(folder), options.set)
            if options.write:
                RESULTS.write_text(report([row for row in written() if row[0] != name] + rows), "utf-8")


def written() -> list[tuple[str, ...]]:
    """Return the rows of the table as it was written before, so that single recipes can be measured again."""
    if not RESULTS.exists():
        return []
    lines = [line for line in RESULTS.read_text("utf-8").splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[1:]]


def report(rows: list[tuple[str, ...]]) -> str:
    facts = environment()
    lines = [
        "# Recipes beside scikit-learn",
        "",
        "Written by `python benchmarks/recipes.py --write`: each recipe and the baselines a practitioner would try",
        "first, fitted on the same training rows and measured on the same test rows in one process. Intervals",
        "are 95% bootstrap intervals over the test rows. Seconds are wall-clock, preparation of the data included.",
        f"{facts['processor']}, {facts['cores']} cores, torch {facts['torch']}, modelyard {modelyard.__version__}.",
        "",
        "| recipe | model | metric | test | 95% interval | seconds |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in sorted(rows, key=lambda row: row[0])),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
