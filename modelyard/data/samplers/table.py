"""The samplers by name. Adding one: a file beside this one and a line here."""

from __future__ import annotations

from modelyard.core.registry import Table

SAMPLERS = Table(
    "sampler",
    {
        "shuffled": "modelyard.data.samplers.shuffled:Shuffled",
        "weighted": "modelyard.data.samplers.weighted:Weighted",
        "balanced": "modelyard.data.samplers.balanced:Balanced",
        "mixed": "modelyard.data.samplers.mixed:Mixed",
    },
)
