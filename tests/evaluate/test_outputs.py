"""Outputs of batches come back in the order of the store, each with its own target, rows without one left out."""

import numpy as np
import pytest
import torch

from modelyard.data.batch import Batch
from modelyard.evaluate.outputs import Collected


class Task:
    """Stands for a task: its outcome is what it was given."""

    def outcome(self, output, targets):
        return output, targets


def collected(ids, target, size):
    outputs = torch.arange(len(ids) * 2, dtype=torch.float32).reshape(-1, 2)
    found = Collected()
    for start in range(0, len(ids), size):
        part = slice(start, start + size)
        batch = Batch({}, {"y": torch.tensor(target[part])}, np.array(ids[part], np.int64))
        found.add(outputs[part], batch)
    return found, outputs.numpy()


@pytest.mark.parametrize("rows", [7, 70_000])
def test_rows_come_back_in_the_order_of_the_store(rows):
    ids = np.random.default_rng(0).permutation(rows) * 3
    found, outputs = collected(ids, ids % 5, size=max(1, rows // 3))
    output, targets = found.outcome(Task())
    order = np.argsort(ids)
    np.testing.assert_array_equal(found.ids(), ids[order])
    np.testing.assert_array_equal(output, outputs[order])
    np.testing.assert_array_equal(targets["y"], ids[order] % 5)


def test_rows_seen_twice_stay_in_the_order_they_came():
    found, outputs = collected([4, 1, 4, 0, 1], [0, 1, 2, 3, 4], size=2)
    output, targets = found.outcome(Task())
    np.testing.assert_array_equal(output, outputs[[3, 1, 4, 0, 2]])
    np.testing.assert_array_equal(targets["y"], [3, 1, 4, 0, 2])


def test_rows_without_a_target_are_left_out_and_later_batches_count():
    found, _ = collected([2, 0, 1], [1, -1, 0], size=2)
    output, targets = found.outcome(Task())
    np.testing.assert_array_equal(output, [[4, 5], [0, 1]])
    np.testing.assert_array_equal(targets["y"], [0, 1])
    found.add(torch.tensor([[9.0, 9.0]]), Batch({}, {"y": torch.tensor([1])}, np.array([0])))
    output, targets = found.outcome(Task())
    np.testing.assert_array_equal(output, [[9, 9], [4, 5], [0, 1]])
    np.testing.assert_array_equal(targets["y"], [1, 0, 1])
