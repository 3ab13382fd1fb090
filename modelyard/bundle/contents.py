"""A trained model and everything needed to use it, in memory; and its way into a bundle's files and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from modelyard.bundle.format import Manifest, check_files, read_manifest
from modelyard.core.errors import BundleError, DataError, SpecError
from modelyard.core.files import read_json, to_json
from modelyard.core.registry import table
from modelyard.data.fitted import Fitted
from modelyard.models.base import Family
from modelyard.spec.spec import Spec
from modelyard.tasks.base import Task
from modelyard.tasks.model import build_model

__all__ = ["Contents", "make_task", "read_contents", "to_files"]


@dataclass(frozen=True)
class Contents:
    """A resolved spec, its fitted columns, its task and its model."""

    spec: Spec
    fitted: Fitted
    task: Task
    model: Family


def make_task(spec: Spec, fitted: Fitted) -> Task:
    """Return the task a resolved spec names, over its fitted targets."""
    assert spec.task is not None, "the spec is resolved"
    task = table("task").find(spec.task.name)(spec.task.settings, fitted.targets)
    assert isinstance(task, Task)
    task.inputs = fitted.inputs
    return task


def to_files(contents: Contents, evidence: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the bundle's files, the report excepted: spec, weights, fitted state, and the records of `evidence`."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in contents.model.state_dict().items()}
    files = {
        "spec.yaml": contents.spec.to_yaml().encode(),
        "weights.safetensors": safetensors.torch.save(weights),
        "outputs/task.json": (to_json(contents.task.state(), indent=1) + "\n").encode(),
        **contents.fitted.files(),
    }
    for name, record in evidence.items():
        files[f"evidence/{name}.json"] = (to_json(record, indent=1) + "\n").encode()
    return files


def read_contents(path: Path, check: bool = True) -> tuple[Contents, Manifest]:
    """Read a bundle back into a model that computes what the written one computed, bit for bit on the same machine.

    Args:
        path: The bundle's folder.
        check: Whether to recompute all digests first.

    Raises:
        BundleError: The bundle is incomplete, altered, or does not fit together.
    """
    manifest = read_manifest(path)
    if check:
        found = check_files(path, manifest)
        if not found.whole:
            listed = "\n".join(f"  {problem}" for problem in found.problems[:10])
            raise BundleError(f"the bundle {path} is not what was written:\n{listed}\nFetch or train it again.")
    try:
        spec = Spec.from_yaml((path / "spec.yaml").read_text("utf-8"), source=str(path / "spec.yaml"))
        if spec.model is None or spec.task is None or not spec.data.inputs or spec.data.targets is None:
            raise BundleError(f"{path}/spec.yaml is not a resolved spec")
        fitted = Fitted.load(path, spec.data.inputs, spec.data.targets)
        task = make_task(spec, fitted)
        task.restore(read_json(path / "outputs/task.json"))
        model = build_model(task, spec.model, fitted.describe(), spec.seed)
        model.load_state_dict(_weights(path / "weights.safetensors", model.state_dict()))
    except (SpecError, DataError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"the bundle {path} cannot be read: {error}") from error
    model.eval()
    return Contents(spec, fitted, task, model), manifest


def _weights(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        weights = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    absent = sorted(set(expected) - set(weights))
    surplus = sorted(set(weights) - set(expected))
    if absent or surplus:
        raise BundleError(
            f"{path} does not fit its spec: lacks {absent[:5] or 'nothing'}, adds {surplus[:5] or 'nothing'}"
        )
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape or weights[name].dtype != tensor.dtype:
            raise BundleError(
                f"{path}: {name} is {tuple(weights[name].shape)} {weights[name].dtype}, "
                f"the spec makes it {tuple(tensor.shape)} {tensor.dtype}"
            )
    return weights
