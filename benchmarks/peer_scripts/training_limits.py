"""What the machine can do: rates of large matrix products, and the operations a row of each network takes."""

import json
import statistics
import sys
import time

import torch
import training_nets
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def product_rate(kind, size, times, device="cpu"):
    """Floating-point operations a second of a square product: the best of `times`, in FLOP/s."""
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    seconds = []
    for _ in range(times + 2):
        started = time.perf_counter()
        a @ b
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds[2:])


def operations(about, batch):
    """Floating-point operations a row takes forward and backward; a multiplication with its addition counts 2.

    Attention and recurrence are run from single products, because their fused kernels are not counted.
    """
    model = training_nets.build(about)
    if about["kind"] in ("cnn", "resnet"):
        height, width, channels = about["shape"]
        inputs = torch.randn(batch, channels, height, width)
    elif about["kind"] == "mlp":
        inputs = torch.randn(batch, *about["shape"])
    else:
        inputs = torch.randint(1, about["vocabulary"], (batch, *about["shape"]))
    labels = torch.zeros(batch, dtype=torch.long)
    counter = FlopCounterMode(display=False)
    with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH), counter:
        training_nets.loss_of(model(inputs), labels).backward()
    return counter.get_total_flops() / batch


def main():
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    rates = {"float32": [], "bfloat16": []}
    for _ in range(asked["rounds"]):
        for name, found in rates.items():
            found.append(product_rate(getattr(torch, name), asked["size"], 6))
    limits = {name: statistics.median(found) for name, found in rates.items()}
    flops = {name: operations(about, 4) for name, about in asked["abouts"].items()}
    print(json.dumps({"limits": limits, "flops_per_row": flops}))


if __name__ == "__main__":
    main()
