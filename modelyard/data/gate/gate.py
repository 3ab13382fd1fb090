"""The gate itself: shows every chunk to all checks, then says what was found, what is done about it, and by which
setting that changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from modelyard.core.errors import GateError, Problem, SpecError, nearest
from modelyard.core.records import Record
from modelyard.core.registry import table
from modelyard.data.gate.check import Check, Found, RowIndex
from modelyard.data.gate.drift import Drift, drift_of
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Finding, NamedRow, Policy
from modelyard.data.gate.left_out import LeftOut
from modelyard.data.gate.naming import places_of
from modelyard.data.gate.profile import Profile, ProfileCheck
from modelyard.data.gate.statistics import statistics_of
from modelyard.data.gate.tally import NAMED

__all__ = ["Gate", "GateResult", "refuse"]

_SEVERITIES = ("refuse", "warn", "note")
_SHOWN = 5


@dataclass(frozen=True)
class GateResult(Record):
    """What the data gate found."""

    findings: list[Finding]
    """Refusals first, then warnings, then notes."""
    statistics: dict[str, dict[str, dict[str, Any]]]
    """Split → column → values."""
    drift: list[Drift]
    """How far each column's values in the held-out splits are from those in training."""
    drop: Mapping[int, str] = field(default_factory=dict)
    """Number of each further row to leave out → why, rising; not part of the record."""

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().as_dict().items() if name != "drop"}


class Gate:
    """Examines rows a chunk after the other.

    Args:
        subject: What is examined.

    Raises:
        SpecError: `data.checks` names a check that does not exist, or a policy that it does not have.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._asked: dict[str, Policy] = dict(subject.spec.data.checks)
        checks = table("check")
        problems = []
        for name, policy in self._asked.items():
            place = f"data.checks.{name}"
            if name not in checks:
                known = ", ".join(checks)
                problems.append(Problem(place, f"there is no such check{nearest(name, checks)}; there are: {known}"))
            elif policy not in checks.find(name).policies:
                allowed = " or ".join(checks.find(name).policies)
                problems.append(Problem(place, f"is {policy!r}; expected {allowed}"))
        if problems:
            raise SpecError(problems)
        self._profile = Profile(subject)
        self._checks: list[Check] = [checks.find(name)(subject) for name in checks]
        for check in self._checks:
            if isinstance(check, ProfileCheck):
                check.profile = self._profile

    def observe(self, chunk: Examined) -> None:
        """Take in a chunk; in order, and also one without rows when it holds unreadable records."""
        self._profile.observe(chunk)
        for check in self._checks:
            check.observe(chunk)

    def observe_unlabelled(self, chunk: Examined) -> None:
        """Take in a chunk of rows that are learned from without a target; statistics and most checks leave them out."""
        for check in self._checks:
            check.observe_unlabelled(chunk)

    def left_out(
        self,
        file: str,
        position: int,
        reason: str,
        kind: Literal["unreadable", "missing_target"],
        columns: Sequence[str],
    ) -> None:
        """Take note of a row that is left out, once a row.

        Args:
            file: Its file.
            position: Its position there.
            reason: What is wrong with it.
            kind: Whether something in it cannot be read, or its target is missing.
            columns: The columns that are to blame; none when the whole record is.
        """
        for check in self._checks:
            if isinstance(check, LeftOut) and check.kind == kind:
                check.add(file, position, reason, columns)

    def state(self) -> dict[str, Any]:
        """Return all that was gathered, as JSON values and NumPy arrays."""
        return {
            "profile": self._profile.state(),
            "checks": {check.name: dict(check.state()) for check in self._checks},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned; both gates then find the same."""
        self._profile.restore(state["profile"])
        for check in self._checks:
            check.restore(state["checks"][check.name])

    def finish(self, index: RowIndex) -> GateResult:
        """Say what was found; call once, after the last chunk.

        Args:
            index: All rows, in the order they were shown in.
        """
        self._profile.finish()
        with ThreadPoolExecutor(max_workers=1) as beside:
            coming = {check.name: beside.submit(check.finish, index) for check in self._checks if check.finishes_alone}
            every = {check.name: check.finish(index) for check in self._checks if not check.finishes_alone}
            statistics, drift = statistics_of(self._profile), drift_of(self._profile)
            every.update({name: finishing.result() for name, finishing in coming.items()})
        decided: list[tuple[Finding, Found]] = []
        drop: dict[int, str] = {}
        for check in self._checks:
            for found in every[check.name]:
                finding = self._decide(check, found)
                decided.append((finding, found))
                if finding.policy == "drop" and found.drop is not None:
                    reason = f"{check.name}: {finding.title}"
                    for number in found.drop.tolist():
                        drop.setdefault(number, reason)
        decided.sort(key=lambda pair: _SEVERITIES.index(pair[0].severity))
        findings = _named(self.subject, decided, index)
        return GateResult(findings, statistics, drift, dict(sorted(drop.items())))

    def _decide(self, check: Check, found: Found) -> Finding:
        finding, asked = found.finding, self._asked.get(check.name)
        can_drop = found.drop is not None and "drop" in check.policies
        severity = finding.severity
        policy: Policy
        if asked is None:
            policy = "error" if severity == "refuse" else "keep"
            if check.policies[0] == "drop" and severity != "refuse" and (can_drop or isinstance(check, LeftOut)):
                policy = "drop"
        elif asked == "error":
            policy, severity = "error", "refuse"
        elif isinstance(check, LeftOut):
            # What cannot be read is left out in any case; too much of it is for `data.unreadable_limit` to accept.
            policy = "error" if severity == "refuse" else "drop"
        else:
            policy = "drop" if asked == "drop" and can_drop else "keep"
            severity = "warn" if severity == "refuse" else severity
        setting = finding.setting
        if not setting:
            allowed = [name for name in check.policies if name != "error" and (name == "keep" or can_drop)]
            if isinstance(check, LeftOut):
                allowed = ["drop"]
            preferred: Policy = "keep" if policy == "error" else "drop"
            chosen = preferred if preferred in allowed else next(iter(allowed), None)
            setting = f"data.checks.{check.name}={chosen}" if chosen else ""
        return dataclasses.replace(finding, severity=severity, policy=policy, setting=setting)


def refuse(result: GateResult) -> None:
    """Stop when the gate refuses.

    Raises:
        GateError: At least one finding refuses; the message lists all that do, each with its first rows and the setting
            that accepts it.
    """
    refusals = [finding for finding in result.findings if finding.severity == "refuse"]
    if not refusals:
        return
    head = f"the data gate refuses {len(refusals)} thing{'s' if len(refusals) > 1 else ''}:"
    raise GateError("\n".join([head, *(_said(finding) for finding in refusals)]))


def _said(finding: Finding) -> str:
    lines = [f"  {finding.check}: {finding.title}", f"    {finding.why}"]
    lines += [f"    {row.place}{': ' if row.what else ''}{row.what}" for row in finding.examples[:_SHOWN]]
    if finding.examples and finding.rows > _SHOWN:
        lines.append(f"    … and {finding.rows - min(_SHOWN, len(finding.examples)):,} more")
    if finding.setting:
        verb = "drop these rows" if finding.setting.endswith("=drop") else "accept it"
        lines.append(f"    mend the data, or {verb} with: {finding.setting}")
    return "\n".join(lines)


def _named(subject: Subject, decided: Sequence[tuple[Finding, Found]], index: RowIndex) -> list[Finding]:
    """Return the findings with the first of their rows named; each file is gone through once for all of them."""
    examples: list[list[NamedRow]] = []
    for finding, found in decided:
        rows = list(finding.examples)
        for number in found.numbers[:NAMED].tolist() if not rows else ():
            what = "" if found.words is None else found.words.get(number, "")
            rows.append(NamedRow(index.files[int(index.file[number])], int(index.position[number]), "", what))
        examples.append(rows)
    places = places_of(subject, ((row.file, row.position) for rows in examples for row in rows))
    return [
        dataclasses.replace(
            finding, examples=[dataclasses.replace(row, place=places[row.file, row.position]) for row in rows]
        )
        for (finding, _), rows in zip(decided, examples, strict=True)
    ]
