"""The methods that learn from rows without a target, by name. Adding one: a file beside this one and a line here."""

from __future__ import annotations

from modelyard.core.registry import Table

SEMI_SUPERVISED = Table(
    "semi_supervised",
    {
        "pseudo_label": "modelyard.train.semi_supervised.pseudo_label:PseudoLabel",
        "fixmatch": "modelyard.train.semi_supervised.fixmatch:FixMatch",
    },
)
