"""Other people's run viewers, told of every epoch and result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelyard.core.optional import require
from modelyard.spec.settings import Settings

__all__ = ["MLflow", "TensorBoard"]


def _scalars(event: dict[str, Any]) -> dict[str, float]:
    values = {"learning_rate": event["learning_rate"], "rows_per_second": event["rows_per_second"]}
    for split in ("train", "validation"):
        values.update({f"{split}/{name}": value for name, value in event[split].items()})
    return values


class TensorBoard:
    """Writes curves for TensorBoard: `tensorboard --logdir runs`.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    class Settings(Settings):
        folder: str | None = None
        """Where to write; `tensorboard` in the run's folder when unsaid."""

    def __init__(self, settings: Any, run: Path) -> None:
        writer = require("torch.utils.tensorboard", "tensorboard")
        self._writer = writer.SummaryWriter(settings.folder or str(run / "tensorboard"))

    def __call__(self, event: dict[str, Any]) -> None:
        """Write an epoch's values; close at the end."""
        if event["event"] == "epoch":
            for name, value in _scalars(event).items():
                self._writer.add_scalar(name, value, event["epoch"])
            self._writer.flush()
        elif event["event"] in ("finished", "failed", "stopped"):
            self._writer.close()


class MLflow:
    """Logs a run to MLflow, at the place that MLFLOW_TRACKING_URI names.

    Raises:
        MissingExtraError: mlflow is not installed.
    """

    class Settings(Settings):
        experiment: str = "modelyard"
        """Experiment under which the run is listed."""

    def __init__(self, settings: Any, run: Path) -> None:
        self._mlflow = require("mlflow", "mlflow")
        self._mlflow.set_experiment(settings.experiment)
        self._mlflow.start_run(run_name=run.name)

    def __call__(self, event: dict[str, Any]) -> None:
        """Log settings, epochs and results."""
        if event["event"] == "training":
            names = ("family", "parameters", "precision", "device", "epochs")
            self._mlflow.log_params({name: event[name] for name in names})
        elif event["event"] == "epoch":
            self._mlflow.log_metrics(_scalars(event), step=event["epoch"])
        elif event["event"] == "finished":
            self._mlflow.log_metrics({f"final/{name}": value for name, value in event["metrics"].items()})
            self._mlflow.end_run()
        elif event["event"] in ("failed", "stopped"):
            self._mlflow.end_run("FAILED" if event["event"] == "failed" else "KILLED")
