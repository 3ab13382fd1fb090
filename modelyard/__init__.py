"""modelyard: from a person's own data and one short spec to a model they can trust in production.

    import modelyard as my

    spec = my.Spec.load("reviews.yaml", ["train.epochs=3"])
    run = my.train(spec)
    model = my.load(run.bundle)
    model.predict([{"review": "Crisp, honest, worth the price."}])

Everything public is named here; it is imported when it is first used, so that `import modelyard` stays quick.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.bundle.describe import describe as describe
    from modelyard.bundle.predictor import Predictions as Predictions
    from modelyard.bundle.predictor import Predictor as Predictor
    from modelyard.bundle.predictor import load as load
    from modelyard.bundle.verify import verify as verify
    from modelyard.core.errors import BundleError as BundleError
    from modelyard.core.errors import DataError as DataError
    from modelyard.core.errors import GateError as GateError
    from modelyard.core.errors import MissingExtraError as MissingExtraError
    from modelyard.core.errors import ModelyardError as ModelyardError
    from modelyard.core.errors import SpecError as SpecError
    from modelyard.core.errors import Stopped as Stopped
    from modelyard.core.errors import StorageError as StorageError
    from modelyard.core.errors import UnreachableError as UnreachableError
    from modelyard.core.errors import UsageError as UsageError
    from modelyard.data.catalog import catalog as catalog
    from modelyard.evaluate.evaluate import evaluate as evaluate
    from modelyard.spec.schema import schema as schema
    from modelyard.spec.spec import Spec as Spec
    from modelyard.train.check import check as check
    from modelyard.train.compare import compare as compare
    from modelyard.train.draft import draft as draft
    from modelyard.train.profiling.profile import profile as profile
    from modelyard.train.recipes import open_spec as open_spec
    from modelyard.train.recipes import recipe_text as recipe_text
    from modelyard.train.recipes import recipes as recipes
    from modelyard.train.run import Run as Run
    from modelyard.train.run import train as train
    from modelyard.train.runs import runs as runs

__version__ = "0.1.0"

_HOMES = {
    "BundleError": "modelyard.core.errors",
    "DataError": "modelyard.core.errors",
    "GateError": "modelyard.core.errors",
    "MissingExtraError": "modelyard.core.errors",
    "ModelyardError": "modelyard.core.errors",
    "Predictions": "modelyard.bundle.predictor",
    "Predictor": "modelyard.bundle.predictor",
    "Run": "modelyard.train.run",
    "Spec": "modelyard.spec.spec",
    "SpecError": "modelyard.core.errors",
    "Stopped": "modelyard.core.errors",
    "StorageError": "modelyard.core.errors",
    "UnreachableError": "modelyard.core.errors",
    "UsageError": "modelyard.core.errors",
    "catalog": "modelyard.data.catalog.catalog:",
    "check": "modelyard.train.check",
    "compare": "modelyard.train.compare",
    "describe": "modelyard.bundle.describe",
    "draft": "modelyard.train.draft",
    "evaluate": "modelyard.evaluate.evaluate",
    "load": "modelyard.bundle.predictor",
    "open_spec": "modelyard.train.recipes",
    "profile": "modelyard.train.profiling.profile",
    "recipe_text": "modelyard.train.recipes",
    "recipes": "modelyard.train.recipes",
    "runs": "modelyard.train.runs",
    "schema": "modelyard.spec.schema",
    "train": "modelyard.train.run",
    "verify": "modelyard.bundle.verify",
}
"""Public name → the module that defines it; a trailing colon means the module itself."""

__all__ = ["__version__", *_HOMES]


class _Package(types.ModuleType):
    """`modelyard.train` is the function, though `modelyard/train/` is also a room.

    Importing a room makes Python store it as an attribute of this package; where a public name is the same word, the
    public name stays. `from modelyard.train.run import …` finds the room all the same.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, types.ModuleType) and not _HOMES[name].endswith(":")):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'modelyard' has no attribute {name!r}; public names: {', '.join(sorted(_HOMES))}")
    module = importlib.import_module(home.removesuffix(":"))
    value = module if home.endswith(":") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
