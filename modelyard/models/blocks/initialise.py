"""How weights start, one function for each rule of the field. All draw from torch's global generator."""

from __future__ import annotations

import torch
from torch import nn

from modelyard.models.blocks.activation import Activation

__all__ = ["glorot", "he", "normal", "recurrent", "zero"]

_SATURATING = ("tanh", "sigmoid")


def glorot(linear: nn.Linear) -> None:
    """Uniform weights that keep the variance of signals and gradients (Glorot and Bengio 2010); bias zero."""
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def he(layer: nn.Linear | nn.Conv2d, activation: Activation, mode: str = "fan_in") -> None:
    """Normal weights that keep the variance through rectifiers (He et al. 2015); bias zero.

    Saturating activations (tanh, sigmoid) get the uniform weights of Glorot and Bengio 2010 instead.

    Args:
        layer: The layer that stands before the activation.
        activation: The function that follows.
        mode: `fan_in` keeps the forward signal's variance, `fan_out` the gradient's.
    """
    if activation in _SATURATING:
        nn.init.xavier_uniform_(layer.weight)
    else:
        nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def normal(layer: nn.Linear | nn.Embedding, deviation: float) -> None:
    """Weights from N(0, deviation²); a bias is zero."""
    nn.init.normal_(layer.weight, std=deviation)
    if isinstance(layer, nn.Linear) and layer.bias is not None:
        nn.init.zeros_(layer.bias)


def zero(*layers: nn.Linear | nn.Embedding | nn.EmbeddingBag) -> None:
    """All zeros: for convex models, whose answer does not depend on where they start."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def recurrent(cell: nn.RNNBase) -> None:
    """Orthogonal recurrent weights (Saxe et al. 2014), Glorot input weights, gate by gate; biases zero.

    The forget gate of an LSTM starts with bias 1, so that memory lasts from the first step (Jozefowicz et al. 2015).
    """
    gates = {nn.LSTM: 4, nn.GRU: 3}.get(type(cell), 1)
    for name, parameter in cell.named_parameters():
        if name.startswith("weight_hh"):
            for gate in torch.chunk(parameter, gates):
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            for gate in torch.chunk(parameter, gates):
                nn.init.xavier_uniform_(gate)
        else:
            nn.init.zeros_(parameter)
            if isinstance(cell, nn.LSTM) and name.startswith("bias_ih"):
                nn.init.ones_(parameter[cell.hidden_size : 2 * cell.hidden_size])
