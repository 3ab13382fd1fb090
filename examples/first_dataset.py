"""Your own CSV file, from rows to predictions. Takes about 5 seconds.

    python examples/first_dataset.py [FOLDER FOR RUNS]

The example first writes a made-up CSV: what guests of a café ordered, at which hour and temperature. The five lines
that matter stand in `main`.
"""

import csv
import random
import sys
from pathlib import Path

import modelyard


def write_orders(path: Path) -> None:
    """Write 600 made-up orders: coffee in the morning, lemonade in the heat, hot chocolate in the cold."""
    chance = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["hour", "degrees", "company", "order"])
        for _ in range(600):
            hour, degrees = chance.randint(7, 21), round(chance.gauss(15, 9), 1)
            company = chance.choice(["alone", "friends", "children"])
            warm = "hot chocolate" if company == "children" or hour > 15 else "coffee"
            order = "lemonade" if degrees > 20 else warm if degrees < 8 else "coffee"
            writer.writerow([hour, degrees, company, order if chance.random() < 0.95 else "tea"])


def main(folder: str = "runs") -> None:
    """Train on the CSV and ask about three guests."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / "orders.csv"
    write_orders(path)

    # What the columns hold, which model suits them, how the rows are split: all of it follows from the data.
    spec = modelyard.Spec.parse(
        {"name": "cafe", "data": {"source": str(path), "targets": ["order"]}, "train": {"epochs": 30}}
    )
    run = modelyard.train(spec, folder)
    model = modelyard.load(run.bundle)
    guests = [
        {"hour": 8, "degrees": 14, "company": "alone"},
        {"hour": 14, "degrees": 31, "company": "friends"},
        {"hour": 16, "degrees": -2, "company": "children"},
    ]
    for guest, answer in zip(guests, model.predict(guests), strict=True):
        print(f"{guest['hour']:>2} o'clock, {guest['degrees']:>3} °C, {guest['company']:<8} → "
              f"{answer['order']} ({answer['probability']:.0%} sure)")  # fmt: skip

    print(f"\nRight in {run.metrics['accuracy']:.0%} of the orders it never saw.")
    print(f"The report: {run.bundle / 'report.html'}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
