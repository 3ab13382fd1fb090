"""A folder of pictures, one subfolder a label, and a small CNN. Takes about 10 seconds.

    python examples/images_from_folders.py [FOLDER FOR PICTURES AND RUNS]

The example draws its own data set: 450 circles, squares and triangles in all colours and places.
"""

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

import modelyard

SHAPES = ("circle", "square", "triangle")


def draw(shape: str, chance: random.Random) -> Image.Image:
    """Return a 32 × 32 picture of a shape, somewhere, in some colour."""
    background, colour = (tuple(chance.randint(low, low + 105) for _ in range(3)) for low in (150, 0))
    picture = Image.new("RGB", (32, 32), background)
    x, y, radius = chance.randint(11, 20), chance.randint(11, 20), chance.randint(6, 10)
    pen = ImageDraw.Draw(picture)
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        pen.regular_polygon((x, y, radius), 4 if shape == "square" else 3, chance.randint(-20, 20), fill=colour)
    return picture


def main(folder: str = "runs") -> None:
    """Draw, train, and name three new pictures."""
    chance, photos = random.Random(2), Path(folder) / "shapes"
    for shape in SHAPES:
        (photos / shape).mkdir(parents=True, exist_ok=True)
        for number in range(150):
            draw(shape, chance).save(photos / shape / f"{number:03d}.png")

    spec = modelyard.Spec.parse(
        {
            "name": "shapes",
            "data": {"source": str(photos), "targets": ["label"]},
            "model": {"family": "cnn", "layers": ["conv 16 same batch", "pool 2", "conv 32 same batch", "pool 2",
                                                  "conv 32 same batch", "global_average"]},
            "train": {"epochs": 12, "batch_size": 32, "learning_rate": 0.01, "schedule": "cosine"},
        }
    )  # fmt: skip
    run = modelyard.train(spec, folder)
    model = modelyard.load(run.bundle)
    for shape in SHAPES:
        answer = model.predict({"image": draw(shape, chance)})[0]
        print(f"a new {shape:<8} is taken for a {answer['label']:<8} ({answer['probability']:.0%})")
    print(f"\n{run.metrics['accuracy']:.0%} of the held-out drawings are named rightly.")


if __name__ == "__main__":
    main(*sys.argv[1:2])
