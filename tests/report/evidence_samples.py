"""Small hand-made specs and evidence, one of each kind of task, as the files of a bundle hold them."""

from __future__ import annotations

import base64
import copy
import io
from typing import Any

from PIL import Image

KINDS = ("binary", "many_labels", "images", "texts", "regression", "two_targets", "multilabel")


def png(width: int = 28, height: int = 28, noise: int = 0) -> str:
    """A picture as base64; with noise, one that does not compress."""
    image = Image.new("L", (width, height), 90)
    if noise:
        values, state = [], noise
        for _ in range(width * height):
            state = (1103515245 * state + 12345) % 2**31
            values.append(state >> 16 & 255)
        image.putdata(values)
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def metric(name: str, value: float | None, low: float | None, high: float | None, baseline: float | None,
           higher: bool = True, rows: int = 40) -> dict[str, Any]:  # fmt: skip
    return {"name": name, "value": value, "low": low, "high": high, "baseline": baseline,
            "higher_is_better": higher, "rows": rows}  # fmt: skip


def mistake(
    target: Any, answer: Any, shown: dict[str, Any], position: int = 3, confidence: float | None = 0.75
) -> dict[str, Any]:
    return {"file": "data/rows.csv", "position": position, "target": target, "answer": answer, "loss": 1.25,
            "confidence": confidence, "shown": shown}  # fmt: skip


def shown(kind: str, text: str, picture: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "text": text, "png": picture}


def classification(
    labels: list[str], counts: list[list[int]], mistakes: list[dict[str, Any]], split: str
) -> dict[str, Any]:
    rows = sum(map(sum, counts))
    right = sum(counts[i][i] for i in range(len(labels)))
    per_label = []
    for i, name in enumerate(labels):
        of, answered = sum(counts[i]), sum(row[i] for row in counts)
        per_label.append({"name": name, "rows": of, "precision": counts[i][i] / answered if answered else None,
                          "recall": counts[i][i] / of if of else None,
                          "f1": 2 * counts[i][i] / (of + answered) if of + answered else None})  # fmt: skip
    accuracy = right / rows
    return {"split": split, "rows": rows, "rows_without_target": 0, "confidence": 0.95,
            "metrics": [metric("accuracy", accuracy, accuracy - 0.1, min(1.0, accuracy + 0.1), 0.5, rows=rows),
                        metric("log_loss", 0.4, 0.3, 0.5, 0.69, higher=False, rows=rows)],
            "per_label": per_label, "confusion": {"labels": labels, "counts": counts}, "mistakes": mistakes,
            "notes": [], "seconds": 0.2}  # fmt: skip


def epochs(count: int = 4, metric_name: str = "accuracy", validation: bool = True) -> list[dict[str, Any]]:
    return [
        {"epoch": n, "step": 10 * n, "learning_rate": 0.001 / n, "train": {"loss": 1 / n, metric_name: 1 - 0.5 / n},
         "validation": {"loss": 1.1 / n, metric_name: 1 - 0.55 / n} if validation else {},
         "seconds": 0.5, "rows_per_second": 800.0, "best": n == count}
        for n in range(1, count + 1)
    ]  # fmt: skip


def training(history: list[dict[str, Any]]) -> dict[str, Any]:
    return {"epochs": history, "kept_epoch": len(history), "stopped_early": None, "steps": 10 * len(history),
            "seconds": 2.5, "rows_per_second": 800.0, "parameters": 12289, "family": "mlp",
            "family_reason": "number columns", "precision": "float32", "device": "cpu", "threads": 2,
            "optimizer": "adamw", "learning_rate": 0.001, "weight_decay": 0.01, "rate_search": None,
            "choices": {"train.learning_rate": "usual for adamw", "model.family": "number columns"}}  # fmt: skip


def spec(inputs: dict[str, str], targets: dict[str, str], task: str) -> dict[str, Any]:
    return {"name": "sample", "about": "What it is for.", "seed": 7,
            "data": {"source": "rows.csv", "inputs": {name: {"type": kind} for name, kind in inputs.items()},
                     "targets": {name: {"type": kind} for name, kind in targets.items()}},
            "model": {"family": "mlp", "size": "small"}, "task": {"type": task},
            "train": {"epochs": 4, "batch_size": 32, "learning_rate": 0.001},
            "evaluate": {"confidence": 0.95, "require": {}}}  # fmt: skip


def data(inputs: dict[str, str], targets: dict[str, str], labels: dict[str, Any]) -> dict[str, Any]:
    columns = [{"column": name, "modality": kind, "reason": f"looks like {kind}", "stated": False}
               for name, kind in {**targets, **inputs}.items()]  # fmt: skip
    return {"source": "rows.csv", "files": ["data/rows.csv"], "fingerprint": "ab" * 32,
            "rows": {"train": 320, "validation": 40, "test": 40},
            "split": {"method": "stratified", "validation": 0.1, "test": 0.1, "by": "label", "key": None},
            "columns": [*columns, {"column": "id", "modality": None, "reason": "all values differ", "stated": False}],
            "summaries": {name: {"values": 320, "missing": 2, "mean": 1.5, "deviation": 0.5, "minimum": 0.0,
                                 "median": 1.4, "maximum": 3.0, "constant": False} for name in inputs},
            "dropped": {"no label (the target is missing)": 3},
            "dropped_rows": [{"file": "data/rows.csv", "position": 8, "reason": "no label (the target is missing)"}],
            "labels": labels, "origin": {"name": "sample", "title": "A sample", "licence": "MIT", "reference": ""},
            "store": "/somewhere", "reused": False, "seconds": 1.0}  # fmt: skip


ENVIRONMENT = {"processor": "A processor", "cores": 2, "memory_bytes": 8 * 10**9, "system": "Linux 6",
               "python": "3.11.7", "torch": "2.13.0", "bfloat16": True, "accelerators": []}  # fmt: skip


def sample(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A spec and its evidence."""
    targets = {"label": "category"}
    row = {"width": shown("number", "1.5"), "shape": shown("label", "round")}
    inputs = {"width": "number", "shape": "category"}
    task, name, mean = "classification", "accuracy", [0.5, 0.5]
    if kind == "binary":
        labels, counts = ["no", "yes"], [[18, 2], [5, 15]]
        mistakes = [mistake("yes", "no", row)]
    elif kind == "many_labels":
        labels = [f"label {n}" for n in range(12)]
        counts = [[5 if i == j else int(j == (i + 1) % 12) for j in range(12)] for i in range(12)]
        mistakes, mean = [mistake("label 1", "label 2", row)], [1 / 12] * 12
    elif kind == "images":
        labels, counts, inputs = ["cat", "dog"], [[19, 1], [0, 20]], {"image": "image"}
        mistakes = [mistake("cat", "dog", {"image": shown("image", "28×28 grey image", png())})]
    elif kind == "texts":
        labels, counts, inputs = ["bad", "good"], [[19, 1], [2, 18]], {"text": "text"}
        mistakes = [mistake("bad", "good", {"text": shown("text", "Not what was <b>promised</b>. " * 40)})]
    if kind in ("binary", "many_labels", "images", "texts"):
        evaluations = [classification(labels, counts, mistakes, split) for split in ("validation", "test")]
        per_split = dict.fromkeys(labels, 10)
        target_labels = {"label": {"train": per_split, "validation": per_split, "test": {**per_split, labels[0]: 0}}}
    elif kind in ("regression", "two_targets"):
        task, name, target_labels = "regression", "r2", {}
        targets = {"price": "number"} if kind == "regression" else {"price": "number", "rent": "number"}
        mean = [10.5] if kind == "regression" else [10.5, 2.0]
        answers = (20.0, 12.5) if kind == "regression" else ({"price": 20.0, "rent": 3.0}, {"price": 12.5, "rent": 2.5})
        targets_r2 = (("price", 0.5), ("rent", 0.1))
        per_target = [] if kind == "regression" else [
            {"name": target, "rows": 40, "r2": r2, "rmse": 1.5, "mae": 1.0} for target, r2 in targets_r2
        ]  # fmt: skip
        evaluations = [
            {"split": split, "rows": 40, "rows_without_target": 0, "confidence": 0.95,
             "metrics": [metric("r2", 0.5, -0.1, 0.7, -0.01), metric("rmse", 2.0, 1.5, 2.5, 3.0, higher=False)],
             "per_label": per_target, "confusion": None, "mistakes": [mistake(*answers, row, confidence=None)],
             "notes": [], "seconds": 0.1}
            for split in ("validation", "test")
        ]  # fmt: skip
    else:
        task, name, targets, mean = "multilabel", "micro_f1", {"tags": "labels"}, [0.6, 0.2]
        target_labels = {}
        evaluations = [
            {"split": split, "rows": 40, "rows_without_target": 2, "confidence": 0.95,
             "metrics": [metric("micro_f1", 0.8, 0.7, 0.9, 0.4)],
             "per_label": [{"name": tag, "rows": 10, "precision": 0.9, "recall": 0.7, "f1": 0.79}
                           for tag in ("red", "dark")],
             "confusion": None, "mistakes": [mistake(["red"], [], row, confidence=None)],
             "notes": ["1 of 2 labels has no row here"], "seconds": 0.1}
            for split in ("validation", "test")
        ]  # fmt: skip
    evidence = {
        "data": data(inputs, targets, target_labels),
        "training": training(epochs(metric_name=name)),
        "metrics": evaluations,
        "baseline": {"mean": mean, "median": mean},
        "environment": ENVIRONMENT,
    }
    return spec(inputs, targets, task), evidence


# -- everything that can be measured ----------------------------------------------------------------------------------


def calibration(label: str | None = "yes") -> dict[str, Any]:
    bins = [
        {"low": 0.0, "high": 0.5, "rows": 30, "probability": 0.25, "share": 0.125, "share_low": 0.05,
         "share_high": 0.25},
        {"low": 0.5, "high": 1.0, "rows": 10, "probability": 0.75, "share": 0.5, "share_low": 0.25, "share_high": 0.75},
    ]  # fmt: skip
    return {"label": label, "ece": 0.15625, "low": 0.0625, "high": 0.25, "largest": 0.25, "bins": bins,
            "temperature": 1.5, "ece_calibrated": 0.09375, "log_loss": 0.5, "log_loss_calibrated": 0.4}  # fmt: skip


def curve(label: str, rows: int = 20) -> dict[str, Any]:
    """Of 40 rows: the ten ranked highest are all of the label."""
    return {"label": label, "rows": rows, "threshold": [1.0, 0.9, 0.5, 0.1, 0.0],
            "true_positive_rate": [0.0, 0.5, 0.75, 1.0, 1.0], "false_positive_rate": [0.0, 0.0, 0.25, 0.5, 1.0],
            "precision": [1.0, 1.0, 0.75, 0.625, 0.5], "share": [0.0, 0.25, 0.5, 0.75, 1.0],
            "roc_auc": 0.8125, "average_precision": 0.875}  # fmt: skip


def threshold(label: str = "yes") -> dict[str, Any]:
    chosen = {"precision": 0.75, "recall": 0.9, "f1": 0.8, "accuracy": 0.6, "share": 0.5}
    default = {"precision": 0.9, "recall": 0.75, "f1": 0.8, "accuracy": 0.825, "share": 0.4}
    return {"label": label, "goal": "the best precision with a recall of at least 0.9", "value": 0.25, "default": 0.5,
            "chosen_on": "validation", "metrics": {"chosen": chosen, "default": default}}  # fmt: skip


def slice_(column: str, value: str, inside: float, rest: float, worse: bool, declared: bool = False,
           metric_name: str = "accuracy", **more: Any) -> dict[str, Any]:  # fmt: skip
    return {"column": column, "value": value, "rows": 10, "metric": metric_name, "metric_value": inside,
            "low": inside - 0.1, "high": inside + 0.1, "rest": rest, "p_value": 0.004 if worse else 0.6,
            "worse": worse, "declared": declared, "condition": [], **more}  # fmt: skip


def fairness(column: str = "shape", metric_name: str = "true_positive_rate") -> dict[str, Any]:
    groups = [{"group": name, "rows": 20, "metrics": {metric_name: {"value": value, "low": value - 0.1,
                                                                    "high": value + 0.1}}}
              for name, value in (("round", 0.75), ("square", 0.5))]  # fmt: skip
    return {"column": column, "groups": groups, "notes": ["2 groups have fewer than 10 rows and are taken together"],
            "differences": [{"metric": metric_name, "difference": 0.25, "low": 0.0625, "high": 0.4375,
                             "highest": "round", "lowest": "square", "ratio": 2 / 3}]}  # fmt: skip


def corrupted(name: str, severity: int, change: float, low: float, high: float, metric_name: str = "accuracy",
              columns: tuple[str, ...] = ("width",)) -> dict[str, Any]:  # fmt: skip
    return {"corruption": name, "severity": severity, "columns": list(columns), "rows": 40, "metric": metric_name,
            "clean": 0.825, "corrupted": 0.825 + change, "change": change, "low": low, "high": high,
            "changed_answers": 0.125}  # fmt: skip


def finding(severity: str, title: str, rows: int = 3, policy: str = "keep") -> dict[str, Any]:
    return {"check": "duplicates_across_splits", "severity": severity, "title": title, "why": "It flatters.",
            "rows": rows, "columns": ["width"], "policy": policy,
            "examples": [{"file": "data/rows.csv", "position": 7, "place": "rows.csv, line 9", "what": "as line 3"}],
            "setting": "data.checks.duplicates_across_splits=keep", "details": {"share": 0.075}}  # fmt: skip


def statistics(inputs: dict[str, str], targets: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Of each split: numbers, texts and the rest as categories."""
    quantiles = {"5": 0.25, "25": 1.0, "50": 1.5, "75": 2.0, "95": 2.75}
    values = {"mean": 1.5, "deviation": 0.5, "minimum": 0.0, "maximum": 3.0, "quantiles": quantiles,
              "quantiles_from": 40}  # fmt: skip

    def column(kind: str, rows: int) -> dict[str, Any]:
        common = {"rows": rows, "missing": 2}
        if kind == "number":
            return {"kind": "number", **common, **values, "zeros": 1}
        if kind == "text":
            return {"kind": "text", **common, "empty": 0, "characters": values}
        return {"kind": "category", **common, "distinct": 2, "most_frequent": {"round": rows - 12, "square": 10}}

    return {
        split: {name: column(kind, rows) for name, kind in {**targets, **inputs}.items()}
        for split, rows in (("train", 320), ("validation", 40), ("test", 40))
    }


def full_sample(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A spec and its evidence, with all that a run can measure."""
    spec, evidence = sample(kind)
    inputs = {name: choice["type"] for name, choice in spec["data"]["inputs"].items()}
    targets = {name: choice["type"] for name, choice in spec["data"]["targets"].items()}
    first = next(iter(inputs))
    evidence["data"] |= {
        "schema": dict.fromkeys([*inputs, *targets], "string"),
        "findings": [finding("note", "3 rows stand twice"), finding("refuse", "3 test rows also stand in training")],
        "statistics": statistics(inputs, targets),
        "drift": [
            {"split": "test", "column": first, "measure": "kolmogorov_smirnov", "value": 0.375, "threshold": 0.25,
             "drifted": True},
            {"split": "validation", "column": first, "measure": "missing_share", "value": 0.05, "threshold": 0.1,
             "drifted": False},
        ],
        "quarantine": "quarantine.jsonl", "licence": "MIT",
    }  # fmt: skip
    judge = evidence["metrics"][-1]
    name = judge["metrics"][0]["name"]
    labels = [entry["name"] for entry in judge["per_label"]]
    judge["slices"] = [
        slice_("shape", "square", 0.5, 0.9, worse=True, metric_name=name),
        slice_("width", "1 … 2", 0.8, 0.85, worse=False, declared=True, metric_name=name),
    ]
    judge["fairness"] = [fairness(first, "mae" if judge["confusion"] is None else "true_positive_rate")]
    judge["robustness"] = [
        corrupted("noise", 1, -0.01, -0.04, 0.02, name, (first,)),
        corrupted("noise", 3, -0.25, -0.35, -0.15, name, (first,)),
        corrupted(f"missing: {first}", 3, -0.125, -0.2, -0.05, name, (first,)),
    ]
    if kind not in ("regression", "two_targets"):
        positive = labels[-1]
        judge["curves"] = [curve(label) for label in (labels[:8] if len(labels) > 2 else [positive])]
        judge["calibration"] = calibration(positive if len(labels) == 2 else None)
        judge["suspects"], judge["suspect_rows"] = copy.deepcopy(judge["mistakes"]), 30
        if judge["confusion"] is not None and len(labels) == 2:
            judge["threshold"] = threshold(positive)
    folds = [{"fold": n, "trained": 213, "rows": 107, "metrics": {name: 0.75 + 0.05 * n}, "seconds": 1.5}
             for n in (1, 2, 3)]  # fmt: skip
    named = [{"file": "data/rows.csv", "position": 5, "target": labels[0], "answer": labels[-1], "probability": 0.96875}
             for _ in range(2)] if labels else []  # fmt: skip
    evidence["cross_validation"] = {
        "folds": folds, "epochs": 4, "seconds": 4.5, "suspects": named, "notes": ["equal rows share a fold"],
        "evaluation": {**copy.deepcopy(judge), "split": "training rows, 3 folds", "suspects": [],
                       "suspect_rows": len(named)},
        "spread": [{"metric": name, "mean": 0.85, "standard_deviation": 0.05, "lowest": 0.8, "highest": 0.9}],
    }  # fmt: skip
    evidence["learning_curve"] = {
        "metric": name, "higher_is_better": True, "split": "validation", "exponent": 0.5, "doubled": 0.875,
        "doubling": "twice the rows would take it to about 0.875", "notes": ["each point is one training"],
        "points": [{"share": share, "rows": int(320 * share), "metric": name, "value": value, "low": value - 0.05,
                    "high": value + 0.05, "seconds": 1.0}
                   for share, value in ((0.25, 0.625), (0.5, 0.75), (1.0, 0.8125))],
    }  # fmt: skip
    evidence["cost"] = {
        "seconds": {"data": 1.0, "training": 8.0, "evaluation": 1.0}, "flops_per_row_forward": 60.0,
        "flops_per_step": 3840.0, "flops_training": 4.8e6, "flops_how": "counted while 32 training rows ran",
        "energy_joules": 7200.0, "energy_how": "an estimate, not a measurement: 10 W per busy core",
        "peak_memory_bytes": 476_000_000, "peak_accelerator_bytes": None,
    }  # fmt: skip
    evidence["environment"] = {**ENVIRONMENT, "modelyard": "0.1.0", "created": "2026-01-01T00:00:00+00:00"}
    return spec, evidence
