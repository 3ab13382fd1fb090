"""Rows from Python, answers back to Python: pandas in, pandas out; and a list of dicts as well. About 6 seconds.

    python examples/python_rows.py [FOLDER FOR RUNS]

178 Italian wines from three growers, thirteen chemical measurements each (comes with scikit-learn).
"""

import sys

from sklearn.datasets import load_wine

import modelyard

GROWERS = ["Aldo", "Bruna", "Carlo"]


def main(folder: str = "runs") -> None:
    """Train on a data frame; predict for a frame with a broken cell, and for a list of dicts."""
    table = load_wine(as_frame=True).frame
    table["grower"] = [GROWERS[number] for number in table.pop("target")]

    spec = modelyard.Spec.parse(
        {
            "name": "wine",
            "data": {"source": table, "targets": ["grower"], "split": {"validation": 0, "test": 0.25}},
            "train": {"epochs": 25, "batch_size": 16},
            "evaluate": {"resamples": 200},
        }
    )
    run = modelyard.train(spec, folder)
    model = modelyard.load(run.bundle)

    unknown = table.drop(columns="grower").iloc[[0, 80, 160]].astype(object)
    unknown.iloc[1, 0] = "a lot"  # nobody's percentage of alcohol: the row gets no invented answer, but a reason
    answers = model.predict(unknown)
    print(answers.to_pandas()[["grower", "probability", "problem"]].to_string())

    bottle = {"alcohol": 13.7, "proline": 1100.0, "flavanoids": 3.0}  # the other columns are taken as missing
    guess = model.predict([bottle])
    print(f"\nFrom three of thirteen measurements: {guess[0]['grower']} ({guess[0]['probability']:.0%})")
    print("Noted:", "; ".join(guess.notes))


if __name__ == "__main__":
    main(*sys.argv[1:2])
