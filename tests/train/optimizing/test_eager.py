"""An optimizer without torch's compiler takes the very same steps, and brings no compiler in."""

import subprocess
import sys

import pytest
import torch

from modelyard.train.optimizing.eager import eager

KINDS = [
    (torch.optim.SGD, {"momentum": 0.9, "fused": True}),
    (torch.optim.Adam, {"fused": True}),
    (torch.optim.AdamW, {"fused": True}),
    (torch.optim.RMSprop, {}),
    (torch.optim.Adagrad, {}),
]


@pytest.mark.parametrize("kind, settings", KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_steps_are_the_same_bit_for_bit(kind, settings):
    ends = []
    for made in (kind, eager(kind)):
        generator = torch.Generator().manual_seed(0)
        parameter = torch.nn.Parameter(torch.randn(40, 30, generator=generator))
        optimizer = made([parameter], lr=0.1, weight_decay=0.01, **settings)
        for _ in range(5):
            parameter.grad = torch.randn(40, 30, generator=generator)
            optimizer.step()
            optimizer.zero_grad()
            assert parameter.grad is None
        ends.append(parameter.detach())
    assert torch.equal(*ends)


def test_the_compiler_stays_out():
    code = (
        "import sys, torch; from modelyard.train.optimizing.eager import eager; p = torch.nn.Parameter(torch.ones(3));"
        "o = eager(torch.optim.AdamW)([p], fused=True); p.grad = torch.ones(3); o.step(); o.zero_grad();"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
