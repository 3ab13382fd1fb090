"""Small hand-made specs and evidence, one of each kind of task, as the files of a bundle hold them."""

from __future__ import annotations

import base64
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
