"""Numbers: read from anything that states one, scaled by statistics of the training split, missing ones flagged."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import Field
from torch import Tensor

from modelyard.core.errors import DataError
from modelyard.data.kinds import Numbers
from modelyard.data.modalities import guessing
from modelyard.data.modalities.base import Column, Draw, Guess, Modality, Reading, Shown, State
from modelyard.data.modalities.numerals import (
    describe_unreadable,
    oddly_written,
    parse,
    plain_numbers,
    typed,
    without,
)
from modelyard.data.modalities.partial import packed, unpacked
from modelyard.data.modalities.reading import MISSING, as_text, flat, is_text, present_text
from modelyard.data.modalities.restoring import Checked, checked, require_state
from modelyard.data.modalities.scaling import LARGEST, Scale, Scaler, fit_scaler, piece_edges, piecewise, signed_log
from modelyard.data.modalities.streaming import Moments, Sample
from modelyard.spec.settings import Settings

__all__ = ["Number", "NumberSettings"]

_SAMPLE = 100_000


class NumberSettings(Settings):
    """How a column of numbers is read and scaled."""

    scale: Scale = "standard"
    """`standard`: mean 0, deviation 1 · `quantile`: to a normal distribution · `log`: sign-aware log(1 + x), then
    standard · `minmax`: training's range to 0 … 1 · `none`."""
    missing_value: Literal["mean", "median", "zero"] = "mean"
    """What is fed where a number is missing, in the column's own units."""
    missing_flag: Literal["auto"] | bool = "auto"
    """Whether a second value says that the number was missing; `auto`: when numbers were missing in training."""
    embedding: Literal["none", "piecewise"] = "none"
    """`piecewise` replaces the scaled number by its place between the training split's quantiles, one value a piece."""
    pieces: int = Field(default=16, ge=2, le=1000)
    """How many pieces `piecewise` makes at most."""
    decimal: Literal[".", ","] = "."
    """The decimal sign of written numbers; the other one may group their digits in threes."""
    strip: list[str] = Field(default_factory=list, max_length=16)
    """Signs that may stand around a written number and are left out, such as `["%"]` (12% is read as 12)."""
    missing: list[str] = Field(default_factory=lambda: list(MISSING))
    """What counts as missing, without regard to case; a number such as `"-999"` counts in typed columns too."""


_Many = Annotated[list[float], Field(max_length=1001)]
_Natural = Annotated[int, Field(ge=0, le=2**53)]


class _State(Checked):
    scale: str
    center: float
    spread: float
    knots: _Many
    scores: _Many
    fill: float
    flag: bool
    edges: _Many
    values: _Natural
    missing: _Natural
    mean: float
    deviation: float
    minimum: float
    median: float
    maximum: float


class Number(Modality):
    """A number per row. As a target it is learned on the same scale and answered in the column's own units."""

    Settings = NumberSettings
    name = "number"
    group = "numbers"
    settings: NumberSettings

    def __init__(self, column: str, settings: NumberSettings, role: str = "input") -> None:
        super().__init__(column, settings, role)
        self._missing = 0
        self._moments, self._scaled_moments = Moments(), Moments()
        self._sample = Sample(_SAMPLE, "number sample")
        self._learned: _State | None = None
        self._scaler = Scaler("none")

    @classmethod
    def infer(cls, values: pa.Array, column: str, folder: str = "") -> Guess | None:
        """Claim numeric types and columns of which at least 95% reads as numbers; truth values and codes weakly."""
        return guessing.number(values, column)

    def read(self, values: pa.Array, folder: str = "") -> Reading:
        """Return float64. Infinity, and what a 32-bit float cannot hold, is a problem; so is text that is no number."""
        values = flat(values)
        settings = self.settings
        if settings.decimal == "." and not settings.strip and not _sentinels(tuple(settings.missing)):
            found = self._read_quickly(values)
            if found is not None:
                return found
        return self._read_closely(values)

    def _read_quickly(self, values: pa.Array) -> Reading | None:
        """Read a column that is mostly plain numbers in one pass, and closely only what looks like none."""
        numbers = plain_numbers(values)
        if numbers is not None or not is_text(values.type):
            return None if numbers is None else Reading(numbers)
        odd = oddly_written(values)
        positions = np.flatnonzero(odd)
        if not 0 < len(positions) <= len(values) // 4:
            return None
        numbers = plain_numbers(without(values, odd))
        if numbers is None:
            return None
        found = self._read_closely(values.take(pa.array(positions)))
        if found.values.null_count < len(positions):
            numbers = pc.replace_with_mask(numbers, pa.array(odd), found.values)
        return Reading(numbers, {int(positions[at]): reason for at, reason in found.problems.items()})

    def _read_closely(self, values: pa.Array) -> Reading:
        settings = self.settings
        problems: dict[int, str] = {}
        numbers = typed(values)
        if numbers is None:
            texts, problems = as_text(values)
            texts = present_text(texts, settings.missing)
            numbers = parse(texts, settings.decimal, settings.strip)
            unread = np.flatnonzero(np.isnan(numbers) & texts.is_valid().to_numpy(zero_copy_only=False))
            for at, text in zip(unread, texts.take(pa.array(unread)).to_pylist(), strict=True):
                problems[int(at)] = describe_unreadable(text, settings.decimal)
        for sentinel in _sentinels(tuple(settings.missing)):
            numbers[numbers == sentinel] = np.nan
        for at in np.flatnonzero(np.abs(numbers) > LARGEST):
            what = "is not a finite number" if np.isinf(numbers[at]) else f"is too large (the largest is {LARGEST:.3g})"
            problems[int(at)] = f"{numbers[at]} {what}"
            numbers[at] = np.nan
        return Reading(pa.array(numbers, from_pandas=True), dict(sorted(problems.items())))

    def partial_fit(self, values: pa.Array) -> None:
        """Add a chunk of float64 to the statistics; memory does not grow with the rows."""
        numbers = _numbers(values)
        present = numbers[~np.isnan(numbers)]
        self._missing += len(numbers) - len(present)
        self._moments.add(present)
        if self.settings.scale == "log":
            self._scaled_moments.add(signed_log(present))
        self._sample.add(present)

    def finish_fit(self) -> None:
        """Conclude the statistics.

        Raises:
            DataError: The training split has no number in this column, or numbers too far apart for the scale.
        """
        moments = self._moments
        moments.finish()
        self._scaled_moments.finish()
        if moments.count == 0:
            raise DataError(
                f"column {self.column!r} has no number in the {self._missing} training rows; "
                "leave it out of the inputs, or look at how it is written"
            )
        sample = self._sample.values()
        settings = self.settings
        log = settings.scale == "log"
        try:
            scaler = fit_scaler(settings.scale, self._scaled_moments if log else moments, sample)
        except DataError as error:
            raise DataError(f"column {self.column!r}: {error}") from error
        median = float(np.median(sample))
        is_piecewise = settings.embedding == "piecewise" and self.role == "input"
        self._take(
            _State(
                scale=scaler.scale,
                center=scaler.center,
                spread=scaler.spread,
                knots=list(scaler.knots),
                scores=list(scaler.scores),
                fill={"mean": moments.mean, "median": median, "zero": 0.0}[settings.missing_value],
                flag=self._missing > 0 if settings.missing_flag == "auto" else settings.missing_flag,
                edges=list(piece_edges(sample, settings.pieces)) if is_piecewise else [],
                values=moments.count,
                missing=self._missing,
                mean=moments.mean,
                deviation=min(moments.deviation, LARGEST),
                minimum=moments.minimum,
                median=median,
                maximum=moments.maximum,
            )
        )

    def partial_state(self) -> State:
        """Return the statistics so far as a file."""
        moments, scaled = self._moments.save(), self._scaled_moments.save()
        about = {"missing": np.array([self._missing])}
        return packed("number", {"moments": moments, "scaled": scaled, "sample": self._sample.save(), "about": about})

    def restore_partial(self, state: State) -> None:
        """Take over statistics."""
        parts = unpacked("number", state, self.column)
        self._moments.load(parts["moments"])
        self._scaled_moments.load(parts["scaled"])
        self._sample.load(parts["sample"])
        self._missing = int(parts["about"]["missing"][0])

    def state(self) -> State:
        """Return the statistics and the scale."""
        return State(self._fitted().model_dump())

    def restore(self, state: State) -> None:
        """Take over statistics and scale."""
        learned = checked(_State, state.json, self.column)
        expected = self.settings.scale
        require_state(learned.scale == expected, self.column, f"scale {learned.scale!r} instead of {expected!r}")
        require_state(not state.files, self.column, "a number keeps no files")
        is_piecewise = self.settings.embedding == "piecewise" and self.role == "input"
        require_state(bool(learned.edges) == is_piecewise, self.column, f"{len(learned.edges)} edges of pieces")
        require_state(not (np.diff(learned.edges) <= 0).any(), self.column, "edges of pieces that do not rise")
        flag = self.settings.missing_flag
        require_state(flag in ("auto", learned.flag), self.column, f"missing_flag is {learned.flag}, not {flag}")
        problem = _scaler(learned).problem()
        require_state(problem is None, self.column, problem or "")
        self._take(learned)

    def _take(self, learned: _State) -> None:
        self._learned = learned
        self._scaler = _scaler(learned)

    def _fitted(self) -> _State:
        if self._learned is None:
            raise RuntimeError(f"the number {self.column!r} was neither fitted nor restored")
        return self._learned

    @property
    def width(self) -> int:
        """How many values a row gets: the number or its pieces, and the flag of missing ones."""
        learned = self._fitted()
        return max(1, len(learned.edges) - 1) + int(learned.flag)

    def describe(self) -> Numbers:
        """Return this column's share of the matrix of numbers."""
        return Numbers(name="numbers", columns=(self.column,), width=self.width)

    def encode(self, values: pa.Array) -> dict[str, Column]:
        """Return float32 (rows, width): the scaled number or its pieces, then, if flagged, 1 where it was missing."""
        learned = self._fitted()
        numbers = _numbers(values)
        missing = np.isnan(numbers)
        numbers = np.where(missing, learned.fill, numbers)
        scaled = piecewise(numbers, tuple(learned.edges)) if learned.edges else self._scaler.forward(numbers)[:, None]
        encoded = np.empty((len(numbers), self.width), np.float32)
        encoded[:, : scaled.shape[1]] = np.clip(scaled, -LARGEST, LARGEST)
        if learned.flag:
            encoded[:, -1] = missing
        return {"": encoded}

    def collate(self, parts: Mapping[str, Column], draw: Draw | None) -> dict[str, Tensor]:
        """Return `numbers`, float32 (B, width)."""
        return {"numbers": torch.from_numpy(np.require(parts[""], np.float32, ["C", "W"]))}

    def encode_target(self, values: pa.Array) -> npt.NDArray[np.float32]:
        """Return float32 (rows,) on the fitted scale, NaN where missing."""
        self._fitted()
        return np.clip(self._scaler.forward(_numbers(values)), -LARGEST, LARGEST).astype(np.float32)

    def decode_target(self, targets: npt.NDArray[Any]) -> pa.Array:
        """Return float64 in the column's own units, null for NaN; with `quantile`, within training's range."""
        self._fitted()
        scaled = np.asarray(targets, np.float64).reshape(len(targets))
        return pa.array(self._scaler.inverse(scaled), from_pandas=True)

    def show(self, value: Any) -> Shown:
        """Return the number, whole ones without a fraction, others with six digits."""
        if value is None:
            return Shown("number", "missing")
        return Shown("number", str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.6g}")

    def summary(self) -> dict[str, Any]:
        """Return counts, mean, deviation, range and scale of the training split."""
        names = ("values", "missing", "mean", "deviation", "minimum", "median", "maximum", "scale")
        found = {name: getattr(self._fitted(), name) for name in names}
        return {**found, "constant": found["minimum"] == found["maximum"]}


def _numbers(values: pa.Array) -> npt.NDArray[np.float64]:
    """Read values as float64 (rows,), NaN for null."""
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


@cache
def _sentinels(missing: tuple[str, ...]) -> tuple[float, ...]:
    """The markers of missing values that are numbers."""
    found = parse(pa.array(missing, pa.string()))
    return tuple(found[np.isfinite(found)].tolist())


def _scaler(learned: _State) -> Scaler:
    return Scaler(
        learned.scale,  # type: ignore[arg-type]  # `problem` checks it against the scales there are
        learned.center,
        learned.spread,
        tuple(learned.knots),
        tuple(learned.scores),
    )
