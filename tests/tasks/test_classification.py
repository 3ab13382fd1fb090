from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from modelyard.core.errors import BundleError, DataError, ModelyardError, SpecError
from modelyard.data.batch import Batch, Mix
from modelyard.tasks.classification import Classification, ClassificationSettings

COLOURS = ("blue", "green", "red")


def category(*labels, column="colour"):
    return SimpleNamespace(name="category", column=column, labels=labels)


def task(labels=COLOURS, counted=None, **settings):
    built = Classification(ClassificationSettings(**settings), [category(*labels)])
    if counted is not None:
        built.prepare({"colour": np.array(counted)})
    return built


def batch(targets, mix=None):
    targets = torch.as_tensor(targets)
    return Batch({}, {"colour": targets}, np.arange(len(targets)), mix)


def draws(rows, outputs, seed=0):
    return torch.randn(rows, outputs, generator=torch.Generator().manual_seed(seed)) * 2


# -- loss -------------------------------------------------------------------------------------------------------------


def test_three_labels_are_torchs_cross_entropy():
    logits, target = draws(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    loss, weight = task().loss(logits, batch(target))
    torch.testing.assert_close(loss, F.cross_entropy(logits, target))
    assert weight.item() == 6


def test_two_labels_are_one_logit_for_the_second():
    logits, target = draws(5, 1), torch.tensor([0, 1, 1, 0, 1])
    two = task(("no", "yes"))
    assert two.output_size == 1
    loss, _ = two.loss(logits, batch(target))
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits[:, 0], target.float()))


def test_the_positive_label_can_be_the_first():
    logits, target = draws(5, 1), torch.tensor([0, 1, 1, 0, -1])
    loss, weight = task(("spam", "ham"), positive="spam").loss(logits, batch(target))
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits[:4, 0], (target[:4] == 0).float()))
    assert weight.item() == 4


def test_class_weights_weigh_rows_as_torch_does():
    logits, target = draws(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    loss, weight = task(class_weights={"red": 3.0, "green": 0.5}).loss(logits, batch(target))
    torch.testing.assert_close(loss, F.cross_entropy(logits, target, weight=torch.tensor([1.0, 0.5, 3.0])))
    assert weight.item() == 1 + 0.5 + 3 + 3 + 0.5 + 1


def test_class_weights_follow_the_positive_label():
    logits, target = draws(4, 1), torch.tensor([0, 0, 1, 1])
    loss, _ = task(("spam", "ham"), positive="spam", class_weights={"spam": 4.0}).loss(logits, batch(target))
    weights = torch.tensor([4.0, 4.0, 1.0, 1.0])
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], 1 - target.float(), reduction="none")
    torch.testing.assert_close(loss, (expected * weights).sum() / 10)


def test_balanced_weights_are_scikit_learns():
    utils = pytest.importorskip("sklearn.utils.class_weight")
    seen = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    balanced = task(counted=[*seen, -1, -1], class_weights="balanced")
    expected = utils.compute_class_weight("balanced", classes=np.arange(3), y=seen)
    np.testing.assert_allclose(balanced.class_weights(), expected)
    assert balanced.state() == {"counts": {"blue": 5, "green": 2, "red": 1}}


def test_a_label_never_seen_counts_1():
    np.testing.assert_allclose(task(counted=[0, 0, 0, 2], class_weights="balanced").class_weights(), [2 / 3, 1, 2])


def test_balanced_weights_need_counts():
    with pytest.raises(ModelyardError, match="call prepare first"):
        task(class_weights="balanced").loss(draws(2, 3), batch([0, 1]))


def test_counts_survive_a_bundle_and_a_false_count_does_not():
    first, second = task(counted=[0, 1, 1, 2], class_weights="balanced"), task(class_weights="balanced")
    second.restore(first.state())
    np.testing.assert_array_equal(first.class_weights(), second.class_weights())
    task().restore({})
    for state in ({"counts": {"blue": 1}}, {"counts": [1, 2, 3]}, {"counts": {"blue": 1, "green": -1, "red": True}}):
        with pytest.raises(BundleError, match="do not fit the labels"):
            second.restore(state)


def test_missing_targets_take_no_part():
    logits, target = draws(5, 3), torch.tensor([0, -1, 2, -1, 1])
    loss, weight = task(class_weights={"red": 2.0}).loss(logits, batch(target))
    kept = target >= 0
    expected = F.cross_entropy(logits[kept], target[kept], weight=torch.tensor([1.0, 1.0, 2.0]))
    torch.testing.assert_close(loss, expected)
    assert weight.item() == 4


def test_a_row_without_target_takes_no_part_even_when_its_output_is_not_finite():
    logits = draws(2, 3)
    logits[1] = float("inf")
    loss, _ = task().loss(logits, batch([1, -1]))
    torch.testing.assert_close(loss, F.cross_entropy(logits[:1], torch.tensor([1])))


def test_a_batch_without_targets_says_so():
    with pytest.raises(DataError, match="no targets"):
        task().loss(draws(3, 3), batch([-1, -1, -1]))
    with pytest.raises(DataError, match="no targets"):
        task(counted=[-1, -1])


def test_mixed_rows_blend_both_losses():
    logits, target = draws(3, 3), torch.tensor([0, 1, -1])
    mix = Mix({"colour": torch.tensor([1, -1, 0])}, torch.tensor([0.75, 0.5, 0.25]))
    loss, weight = task(class_weights={"green": 2.0}).loss(logits, batch(target, mix))
    nll = -F.log_softmax(logits, dim=1)
    # row 0: 0.75 blue + 0.25 green (weight 2); row 1: 0.5 green, partner missing; row 2: missing, 0.75 blue
    parts = [(0.75, nll[0, 0]), (0.25 * 2, nll[0, 1]), (0.5 * 2, nll[1, 1]), (0.75, nll[2, 0])]
    assert weight.item() == 3.0
    torch.testing.assert_close(loss, sum(share * part for share, part in parts) / 3.0)


def test_the_loss_is_float32_whatever_the_model_computes_in():
    logits = draws(8, 3).bfloat16()
    loss, weight = task().loss(logits, batch([0, 1, 2, 0, 1, 2, 0, 1]))
    assert loss.dtype == weight.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(logits.float(), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])))


SETTINGS = [
    {},
    {"label_smoothing": 0.1},
    {"class_weights": {"blue": 3.0}},
    {"class_weights": "balanced", "label_smoothing": 0.2},
    {"loss": "focal", "focal_gamma": 1.5, "class_weights": "balanced"},
    {"loss": "hinge", "class_weights": "balanced"},
    {"loss": "squared_hinge"},
]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("labels", [COLOURS[:2], COLOURS])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_micro_batches_add_up_to_the_loss_in_one_piece(settings, labels, mixed):
    classification = task(labels, counted=[0, 0, 0, 1, 1, len(labels) - 1], **settings)
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(-1, len(labels), (12,), generator=generator)
    logits = draws(12, classification.output_size).requires_grad_()
    partners = target.roll(1)
    share = torch.rand(12, generator=generator)

    def piece(start, stop):
        mix = Mix({"colour": partners[start:stop]}, share[start:stop]) if mixed else None
        return classification.loss(logits[start:stop], batch(target[start:stop], mix))

    whole, total = piece(0, 12)
    pieces = [piece(0, 3), piece(3, 7), piece(7, 12)]
    added = sum(loss * weight for loss, weight in pieces) / sum(weight for _, weight in pieces)
    assert sum(weight for _, weight in pieces).item() == pytest.approx(total.item(), rel=1e-6)
    assert added.item() == pytest.approx(whole.item(), rel=1e-6)
    (slope,) = torch.autograd.grad(whole, logits, retain_graph=True)
    (added_slope,) = torch.autograd.grad(added, logits)
    torch.testing.assert_close(slope, added_slope, rtol=1e-5, atol=1e-7)


def test_forward_runs_the_model_and_validation_first_does_not_spoil_training():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, inputs):
            return self.layer(inputs["numbers"])

    classification, model = task(class_weights={"red": 2.0}), Model()
    rows = Batch({"numbers": draws(4, 2)}, {"colour": torch.tensor([0, 1, 2, 2])}, np.arange(4))
    with torch.inference_mode():
        classification.forward(model, rows)
    step = classification.forward(model, rows)
    step["loss"].backward()
    assert set(step) == {"loss", "weight", "output"}
    assert step["output"].shape == (4, 3)
    assert step["weight"].item() == 6
    assert model.layer.weight.grad.abs().sum() > 0


# -- answers ----------------------------------------------------------------------------------------------------------


def test_outcome_holds_probabilities_that_add_up():
    output = np.array([[0.0, np.log(3), -np.inf], [700, -700, 0]], dtype=np.float32)
    output[0, 2] = -100
    outcome = task().outcome(output, {"colour": np.array([1, 0])})
    np.testing.assert_allclose(outcome.score, [[0.25, 0.75, 0], [1, 0, 0]], atol=1e-7)
    assert outcome.answer.tolist() == [1, 0]
    assert outcome.target.tolist() == [1, 0]
    assert (outcome.target.dtype, outcome.score.dtype, outcome.answer.dtype) == (np.int64, np.float64, np.int64)
    assert outcome.labels == COLOURS


def test_a_positive_first_label_comes_second_in_the_outcome():
    spam = task(("spam", "ham"), positive="spam", threshold=0.7)
    logit = np.log([[0.75 / 0.25], [0.6 / 0.4]]).astype(np.float32)
    outcome = spam.outcome(logit, {"colour": np.array([0, 1])})
    assert outcome.labels == ("ham", "spam")
    assert outcome.target.tolist() == [1, 0]
    assert outcome.answer.tolist() == [1, 0]  # 0.6 does not reach the threshold
    np.testing.assert_allclose(outcome.score[:, 1], [0.75, 0.6])
    answers = spam.decode(logit)
    assert answers["colour"] == ["spam", "ham"]
    assert answers["probability"] == pytest.approx([0.75, 0.4])
    assert list(answers["probabilities"][1]) == ["spam", "ham"]


def test_decode_ranks_the_labels():
    answers = task().decode(np.log(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])).astype(np.float32))
    assert answers["colour"] == ["green", "blue"]
    assert answers["probability"] == pytest.approx([0.5, 0.4])
    assert [list(ranks) for ranks in answers["probabilities"]] == [["green", "red", "blue"], ["blue", "red", "green"]]
    assert type(answers["probability"][0]) is float
    assert sum(answers["probabilities"][0].values()) == pytest.approx(1)


def test_of_many_labels_the_five_most_probable_are_named():
    many = task([f"label {index:02}" for index in range(11)])
    answers = many.decode(np.arange(11, dtype=np.float32)[None])
    assert list(answers["probabilities"][0]) == ["label 10", "label 09", "label 08", "label 07", "label 06"]
    assert "top_5_accuracy" in many.metrics


def test_no_rows_give_no_answers():
    assert task().decode(np.empty((0, 3), np.float32)) == {"colour": [], "probability": [], "probabilities": []}
    assert len(task().outcome(np.zeros((2, 3), np.float32), None)) == 0


def test_outputs_that_cannot_be_read_are_refused():
    with pytest.raises(DataError, match=r"not a finite number in 1 of 2 rows \(first: 1\)"):
        task().decode(np.array([[0, 0, 0], [0, np.nan, 0]], np.float32))
    with pytest.raises(DataError, match=r"shape \(2, 4\), and the task expects \(rows, 3\)"):
        task().decode(np.zeros((2, 4), np.float32))
    with pytest.raises(DataError, match="1 rows have no target 'colour'"):
        task().outcome(np.zeros((2, 3), np.float32), {"colour": np.array([0, -1])})


def test_row_losses_are_log_losses():
    outcome = task().outcome(np.log(np.array([[0.2, 0.5, 0.3]])).astype(np.float32), {"colour": np.array([2])})
    np.testing.assert_allclose(task().row_losses(outcome), [-np.log(0.3)], rtol=1e-6)


def test_metrics_follow_the_labels_and_the_loss():
    assert task(("no", "yes")).metrics[:4] == ("accuracy", "roc_auc", "f1", "average_precision")
    assert task().metrics == ("accuracy", "balanced_accuracy", "macro_f1", "matthews", "log_loss", "brier")
    assert not {"log_loss", "brier"} & set(task(loss="hinge").metrics)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "hinge", "label_smoothing": 0.1}, "no meaning with loss 'hinge'"),
        ({"focal_gamma": 3}, "set loss: focal"),
        ({"class_weights": {"red": 0}}, "a number above 0"),
        ({"class_weights": {"red": float("nan")}}, "a number above 0"),
        ({"positive": True}, "put it in quotes"),
        ({"threshold": 1.0}, "less than 1"),
        ({"label_smooothing": 0.1}, "Extra inputs"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValidationError, match=message):
        ClassificationSettings(**settings)


def test_settings_survive_being_written_out():
    settings = ClassificationSettings(class_weights={1: 2.0}, positive=1)
    assert settings.class_weights == {"1": 2.0}
    assert ClassificationSettings.model_validate(settings.model_dump(mode="json")) == settings
    assert ClassificationSettings.model_validate(ClassificationSettings().model_dump()) == ClassificationSettings()


def test_all_problems_with_the_labels_are_listed_at_once():
    with pytest.raises(SpecError) as caught:
        task(class_weights={"rde": 2.0}, positive="blue", threshold=0.3)
    text = str(caught.value)
    assert "no label 'rde' (did you mean 'red'?)" in text
    assert len(caught.value.problems) == 3


def test_targets_that_do_not_fit():
    settings = ClassificationSettings()
    with pytest.raises(SpecError, match="this one is number"):
        Classification(settings, [SimpleNamespace(name="number", column="x")])
    with pytest.raises(SpecError, match="exactly one target, and the spec names x, y"):
        Classification(settings, [category("a", "b", column="x"), category("a", "b", column="y")])
    with pytest.raises(SpecError, match="names none"):
        Classification(settings, [])
    with pytest.raises(DataError, match=r"has 1 label\(s\) in the training split \('a'\)"):
        Classification(settings, [category("a")])
    with pytest.raises(SpecError, match="rename the target"):
        Classification(settings, [category("a", "b", column="probability")])
