from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from modelyard.core.errors import BundleError, DataError, ModelyardError, SpecError
from modelyard.data.batch import Batch, Mix
from modelyard.tasks.multilabel import Multilabel, MultilabelSettings

GENRES = ("comedy", "drama", "war")
NONE = [-1, -1, -1]


def task(labels=GENRES, counted=None, **settings):
    built = Multilabel(MultilabelSettings(**settings), [SimpleNamespace(name="labels", column="genre", labels=labels)])
    if counted is not None:
        built.prepare({"genre": np.array(counted, np.int8)})
    return built


def batch(targets, mix=None):
    targets = torch.as_tensor(targets, dtype=torch.int8)
    return Batch({}, {"genre": targets}, np.arange(len(targets)), mix)


def draws(rows):
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))


def test_the_loss_is_torchs_and_counts_rows():
    logits, target = draws(3), [[1, 0, 0], [0, 0, 0], [1, 1, 1]]
    loss, weight = task().loss(logits.bfloat16(), batch(target))
    expected = F.binary_cross_entropy_with_logits(logits.bfloat16().float(), torch.tensor(target).float())
    torch.testing.assert_close(loss, expected)
    assert (weight.item(), loss.dtype) == (3, torch.float32)


def test_missing_rows_take_no_part():
    logits = draws(3)
    loss, weight = task().loss(logits, batch([[1, 0, 0], NONE, [0, 1, 0]]))
    kept = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits[[0, 2]], kept))
    assert weight.item() == 2
    with pytest.raises(DataError, match="no targets"):
        task().loss(draws(2), batch([NONE, NONE]))
    with pytest.raises(DataError, match="no targets"):
        task(counted=[NONE])


def test_balanced_lets_presence_count_as_much_as_absence():
    balanced = task(counted=[[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1], NONE], pos_weight="balanced")
    np.testing.assert_allclose(balanced.positive_weights(), [3, 1, 1])  # 3 without, 1 with; drama never, war always
    logits, target = draws(2), [[1, 1, 0], [0, 0, 1]]
    loss, _ = balanced.loss(logits, batch(target))
    expected = F.binary_cross_entropy_with_logits(
        logits, torch.tensor(target).float(), pos_weight=torch.tensor([3.0, 1.0, 1.0])
    )
    torch.testing.assert_close(loss, expected)
    again = task(pos_weight="balanced")
    with pytest.raises(ModelyardError, match="call prepare first"):
        again.loss(logits, batch(target))
    again.restore(balanced.state())
    np.testing.assert_array_equal(again.positive_weights(), balanced.positive_weights())
    with pytest.raises(BundleError, match="do not fit"):
        again.restore({"rows": 1, "counts": {"comedy": 2, "drama": 0, "war": 0}})


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("pos_weight", ["none", "balanced"])
def test_micro_batches_add_up_to_the_loss_in_one_piece(pos_weight, mixed):
    target = np.array([[1, 0, 0], NONE, [0, 1, 0], [1, 1, 1], [0, 0, 0], NONE, [1, 0, 1]], np.int8)
    multilabel = task(counted=target, pos_weight=pos_weight)
    logits, share = draws(7), torch.linspace(0.1, 0.9, 7)
    partners = torch.as_tensor(target).roll(1, dims=0)

    def piece(start, stop):
        mix = Mix({"genre": partners[start:stop]}, share[start:stop]) if mixed else None
        return multilabel.loss(logits[start:stop], batch(target[start:stop], mix))

    whole, total = piece(0, 7)
    pieces = [piece(0, 3), piece(3, 7)]
    assert sum(weight for _, weight in pieces).item() == pytest.approx(total.item(), rel=1e-6)
    assert (sum(loss * weight for loss, weight in pieces) / total).item() == pytest.approx(whole.item(), rel=1e-6)


def logits_of(probabilities):
    p = np.array(probabilities)
    return np.log(p / (1 - p)).astype(np.float32)


def test_answers_are_the_labels_that_reach_their_threshold():
    output = logits_of([[0.6, 0.9, 0.2], [0.4, 0.3, 0.1]])
    outcome = task().outcome(output, {"genre": np.array([[1, 1, 0], [0, 0, 1]], np.int8)})
    assert outcome.answer.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert (outcome.target.dtype, outcome.answer.dtype) == (np.uint8, np.uint8)
    np.testing.assert_allclose(outcome.score, [[0.6, 0.9, 0.2], [0.4, 0.3, 0.1]], rtol=1e-6)
    assert task().decode(output)["genre"] == [["drama", "comedy"], []]
    assert [list(ranks) for ranks in task().decode(output)["probabilities"]] == [
        ["drama", "comedy", "war"],
        ["comedy", "drama", "war"],
    ]
    lowered = task(threshold={"war": 0.15})
    assert lowered.decode(output)["genre"] == [["drama", "comedy", "war"], []]
    expected = -np.log([0.6 * 0.9 * 0.8, 0.6 * 0.7 * 0.1]) / 3
    np.testing.assert_allclose(task().row_losses(outcome), expected, rtol=1e-6)


def test_every_answered_label_has_its_probability_even_among_many():
    names = tuple(f"tag {index:02}" for index in range(12))
    answers = task(names).decode(logits_of([[0.9] * 7 + [0.1] * 5, [0.9] + [0.1] * 11]))
    assert list(answers["probabilities"][0]) == answers["genre"][0] == list(names[:7])
    assert len(answers["probabilities"][1]) == 5


def test_what_is_refused():
    with pytest.raises(SpecError, match=r"no label 'wra' \(did you mean 'war'\?\)"):
        task(threshold={"wra": 0.2})
    with pytest.raises(ValidationError, match="not between 0 and 1"):
        MultilabelSettings(threshold={"war": 1.5})
    with pytest.raises(DataError, match="1 rows have no target"):
        task().outcome(np.zeros((1, 3), np.float32), {"genre": np.array([NONE], np.int8)})
    with pytest.raises(SpecError, match="this one is category"):
        Multilabel(MultilabelSettings(), [SimpleNamespace(name="category", column="x", labels=("a", "b"))])
