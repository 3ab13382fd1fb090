"""The families by name. Adding one: a new file and a line here (docs/adding-a-family.md)."""

from __future__ import annotations

from modelyard.core.registry import Table

FAMILIES = Table(
    "family",
    {
        "linear": "modelyard.models.linear:Linear",
        "mlp": "modelyard.models.mlp:Mlp",
        "cnn": "modelyard.models.cnn:Cnn",
        "resnet": "modelyard.models.resnet:ResNet",
        "embedding": "modelyard.models.embedding:Embedding",
        "rnn": "modelyard.models.rnn:Rnn",
        "encoder": "modelyard.models.encoder:Encoder",
        "joined": "modelyard.models.joined:Joined",
    },
)
