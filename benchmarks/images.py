"""Folder of pictures → batches: modelyard beside Keras' image_dataset_from_directory and a DataLoader with PIL.

    python benchmarks/images.py                        4,000 JPEGs of 256×256 to 128×128, five epochs, three repeats
    python benchmarks/images.py --images 2000 --size 224

Each runs alone, in a process of its own, in turns; figures are medians over the repeats. modelyard's first epoch
includes looking at every row (data gate, duplicates, statistics) and storing the pixels; peers decode in every epoch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from peers import environment_of, run_peer
from PIL import Image, ImageFilter

SCRIPTS = Path(__file__).parent / "peer_scripts"


def make_images(folder: Path, count: int, side: int = 256, classes: int = 4, quality: int = 88) -> int:
    """Write `count` JPEGs that compress like photographs, a folder a class; return their bytes."""
    total = 0
    for label in range(classes):
        (folder / f"class-{label}").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (12, 12, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        grain = rng.normal(0, 12, (side, side, 1))
        picture = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
        path = folder / f"class-{number % classes}" / f"{number:06d}.jpg"
        picture.filter(ImageFilter.GaussianBlur(0.6)).save(path, quality=quality)
        total += path.stat().st_size
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    keras = environment_of("tensorflow", ["tensorflow-cpu"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        size = make_images(folder, options.images)
        print(
            f"{options.images} JPEGs of 256×256, {size / options.images / 1024:.0f} KiB each, "
            f"to {options.size}×{options.size}; images/s, medians of {options.repeats}"
        )
        runs: dict[str, list[dict[str, Any]]] = {"modelyard": [], "Keras": [], "PyTorch DataLoader": []}
        arguments = [str(folder), str(options.size), str(options.batch), str(options.epochs)]
        for repeat in range(options.repeats):
            os.environ["MODELYARD_CACHE"] = str(Path(temporary) / f"cache-{repeat}")
            runs["modelyard"].append(run_peer(sys.executable, SCRIPTS / "images_modelyard.py", *arguments))
            runs["Keras"].append(run_peer(keras, SCRIPTS / "images_keras.py", *arguments))
            runs["PyTorch DataLoader"].append(run_peer(sys.executable, SCRIPTS / "images_torch.py", *arguments))
        print(f"{'':20}{'first epoch':>16}{'later epochs':>16}{f'{options.epochs} epochs':>16}")
        rates = {name: _rates(found) for name, found in runs.items()}
        for name, found in rates.items():
            print(f"{name:20}" + "".join(f"{rate:16,.0f}" for rate in found) + f"   {runs[name][0]['version']}")
        for name in list(rates)[1:]:
            ratios = [ours / theirs for ours, theirs in zip(rates["modelyard"], rates[name], strict=True)]
            print(f"modelyard / {name}: " + ", ".join(f"{ratio:.2f}" for ratio in ratios))


def _rates(runs: list[dict[str, Any]]) -> tuple[float, float, float]:
    first = statistics.median(run["images"] / run["seconds"][0] for run in runs)
    later = statistics.median(run["images"] / statistics.median(run["seconds"][1:]) for run in runs)
    whole = statistics.median(run["images"] * len(run["seconds"]) / sum(run["seconds"]) for run in runs)
    return first, later, whole


if __name__ == "__main__":
    main()
