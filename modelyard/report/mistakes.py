"""Section: the worst mistakes, which can be searched and picked out by label."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.cards import Budget, cards_of
from modelyard.report.evaluations import Evidence, form_of, in_order, rows_of
from modelyard.report.formatting import finite, number
from modelyard.report.scales import Scale, linear

__all__ = ["view"]


def view(spec: Mapping[str, Any], evidence: Evidence) -> dict[str, Any] | None:
    """Return what the template shows; None when nothing was measured."""
    evaluations = in_order(evidence)
    if not evaluations:
        return None
    budget = Budget()
    scale = _scale(spec, evidence)
    parts = [_part(evaluation, budget, scale) for evaluation in evaluations]
    return {
        "several": len([part for part in parts if part["cards"]]) > 1,
        "parts": parts,
        "true_labels": _choices(parts, "true_labels"),
        "answers": _choices(parts, "answers"),
        "left_out": number(budget.left_out) if budget.left_out else "",
    }


def _part(evaluation: Mapping[str, Any], budget: Budget, scale: Scale | None) -> dict[str, Any]:
    mistakes: Sequence[Mapping[str, Any]] = evaluation.get("mistakes") or []
    numbers = form_of(evaluation) == "regression"
    return {
        "name": str(evaluation.get("split", "")),
        "rows": rows_of(evaluation),
        "numbers": numbers,
        "cards": cards_of(mistakes, budget, scale),
    }


def _scale(spec: Mapping[str, Any], evidence: Evidence) -> Scale | None:
    """One scale for all numbers: true and answered ones, and the target's range in training."""
    targets = list((spec.get("data") or {}).get("targets") or {})
    values = [
        value
        for evaluation in evidence.get("metrics") or []
        for mistake in evaluation.get("mistakes") or []
        for value in (finite(mistake.get("target")), finite(mistake.get("answer")))
        if value is not None
    ]
    if not values or len(targets) != 1:
        return None
    summary = ((evidence.get("data") or {}).get("summaries") or {}).get(targets[0]) or {}
    ends = [end for key in ("minimum", "maximum") if (end := finite(summary.get(key))) is not None]
    return linear([*values, *ends], room=0)


def _choices(parts: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return sorted({name for part in parts for card in part["cards"] for name in json.loads(card[key])})
