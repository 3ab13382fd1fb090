"""Reading evaluations: which one judges, what kind of answers they are about, what is confused with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from modelyard.report.formatting import count, finite

__all__ = ["Confused", "Evidence", "form_of", "frequent_confusions", "headline", "in_order", "rows_of", "split_class"]

Evidence = Mapping[str, Any]
"""Records as plain dicts, by name: what a bundle's `evidence/` folder holds."""


class Confused(NamedTuple):
    """A true label that was answered with another."""

    true: str
    answered: str
    rows: int
    of: int
    """Rows of the true label."""


def in_order(evidence: Evidence) -> list[Mapping[str, Any]]:
    """Return the evaluations, the one that judges the model first: the test split's, else the last."""
    evaluations = list(evidence.get("metrics") or [])
    if not evaluations:
        return []
    judge = next((one for one in evaluations if one.get("split") == "test"), evaluations[-1])
    return [judge, *(one for one in evaluations if one is not judge)]


def headline(evaluation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the metric that counts most: the first one, or the first that could be measured."""
    metrics: Sequence[Mapping[str, Any]] = evaluation.get("metrics") or []
    measured = (metric for metric in metrics if finite(metric.get("value")) is not None)
    return next(measured, metrics[0] if metrics else None)


def form_of(evaluation: Mapping[str, Any]) -> Literal["classification", "multilabel", "regression"]:
    """Say what the answers are: one label, several labels, or numbers."""
    if evaluation.get("confusion"):
        return "classification"
    per_label = evaluation.get("per_label") or []
    return "multilabel" if per_label and "recall" in per_label[0] else "regression"


def rows_of(evaluation: Mapping[str, Any], many: Any = None) -> str:
    """Return `56 test rows`; of rows that are no split, `56 rows of FILE`."""
    split = str(evaluation.get("split", ""))
    many = evaluation.get("rows") if many is None else many
    if split in ("train", "validation", "test"):
        name = {"train": "training"}.get(split, split)
        return count(many, f"{name} row")
    return f"{count(many, 'row')} of {split}"


def split_class(evaluation: Mapping[str, Any], judges: bool) -> str:
    """Return the classes an evaluation is drawn with: the colour of its split, full or hollow."""
    split = evaluation.get("split")
    return f"{'judged' if judges else 'second'} split-{split if split in ('train', 'validation', 'test') else 'other'}"


def frequent_confusions(evaluation: Mapping[str, Any], most: int) -> list[Confused]:
    """Return the most frequent mistakes of an evaluation, the most frequent first; equal ones in the labels' order."""
    confusion = evaluation.get("confusion") or {"labels": [], "counts": []}
    labels, counts = confusion["labels"], confusion["counts"]
    found = [
        Confused(labels[i], labels[j], many, sum(row))
        for i, row in enumerate(counts)
        for j, many in enumerate(row)
        if i != j and many
    ]
    return sorted(found, key=lambda one: -one.rows)[:most]
