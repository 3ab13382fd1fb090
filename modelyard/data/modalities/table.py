"""The modalities by name. Adding one: a new file and a line here (docs/adding-a-modality.md)."""

from __future__ import annotations

from modelyard.core.registry import Table

MODALITIES = Table(
    "modality",
    {
        "number": "modelyard.data.modalities.number:Number",
        "category": "modelyard.data.modalities.category:Category",
        "labels": "modelyard.data.modalities.labels:Labels",
        "text": "modelyard.data.modalities.text:Text",
        "image": "modelyard.data.modalities.image:Image",
    },
)
