"""Tasks that learn from inputs alone: errors by hand, targets made of the inputs, and what a person gets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from modelyard.core.errors import DataError, SpecError
from modelyard.core.registry import table
from modelyard.data.batch import Batch
from modelyard.data.kinds import Categories, Image, Input, Numbers, Tokens
from modelyard.data.modalities.base import Draw
from modelyard.evaluate.assess import assess
from modelyard.models.build import count_parameters
from modelyard.spec.settings import Choice
from modelyard.tasks.base import Task
from modelyard.tasks.contrastive import MEASURED_AMONG, contrast
from modelyard.tasks.from_inputs import Running
from modelyard.tasks.model import build_model

TASKS = [name for name in table("task") if table("task").find(name).from_inputs]
NUMBERS = Numbers("numbers", ("age", "fare"), 2)
CATEGORIES = Categories("categories", ("sex", "port"), (4, 5))
PICTURE = Image("photo", ("photo",), 1, 12, 10)
INPUTS: dict[str, tuple[Input, ...]] = {
    "autoencoding": (NUMBERS, CATEGORIES),
    "masked_values": (NUMBERS, CATEGORIES),
    "masked_patches": (PICTURE,),
    "contrastive": (PICTURE,),
}
ROWS = 12
every_task = pytest.mark.parametrize("name", TASKS)


def made(name: str, inputs: tuple[Input, ...] | None = None, family: str = "mlp", **settings):
    """A task and the small model it is learned with."""
    task = table("task").find(name)
    task = task(task.Settings(**settings), [])
    sizes = getattr(table("family").find(family).Settings, "SIZES", {})
    size = {"size": next(iter(sizes))} if sizes else {}
    choice = Choice("family", family, table("family").find(family).Settings(**size), key="family")
    return task, build_model(task, choice, inputs or INPUTS[name], seed=3)


def batch(name: str, rows: int = ROWS, epoch: int | None = 0, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    tensors = {
        "numbers": torch.randn(rows, 2, generator=random),
        "categories": torch.stack([torch.randint(size, (rows,), generator=random) for size in CATEGORIES.sizes], 1),
        "photo.pixels": torch.randn(rows, 1, 12, 10, generator=random),
    }
    ids = np.arange(100, 100 + rows, dtype=np.int64)
    inputs = {tensor: tensors[tensor] for one in INPUTS[name] for tensor in one.tensors}
    return Batch(inputs, {}, ids, draw=None if epoch is None else Draw(7, epoch, ids))


def test_the_four_of_them_are_in_the_table():
    assert set(TASKS) == set(INPUTS)


# -- what every one of them owes --------------------------------------------------------------------------------------


@every_task
def test_targets_are_a_function_of_seed_epoch_and_row(name: str):
    task, _ = made(name)
    first, again, later = task.pose(batch(name)), task.pose(batch(name)), task.pose(batch(name, epoch=1))
    for key in first.targets:
        assert torch.equal(first.targets[key], again.targets[key])
    if name != "autoencoding":
        assert any(not torch.equal(first.inputs[key], later.inputs[key]) for key in first.inputs)
    # outside training every pass hides the same
    unplaced = [task.pose(batch(name, epoch=None)) for _ in range(2)]
    assert all(torch.equal(unplaced[0].inputs[key], unplaced[1].inputs[key]) for key in first.inputs)


@every_task
def test_the_own_inputs_stay_as_they_are(name: str):
    task, _ = made(name)
    whole = batch(name)
    before = {key: value.clone() for key, value in whole.inputs.items()}
    task.pose(whole)
    assert all(torch.equal(whole.inputs[key], before[key]) for key in before)


@every_task
def test_the_pieces_of_a_posed_batch_have_the_gradient_of_the_whole(name: str):
    task, model = made(name)
    if task.whole_batches:
        pytest.skip("its batches are not cut into pieces")
    model.eval()  # the trivial answer keeps its running mean; the loss does not depend on it
    posed = task.pose(batch(name))
    task.forward(model, posed)["loss"].backward()
    whole = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    for piece in posed.pieces(3):
        out = task.forward(model, piece)
        (out["loss"] * out["weight"] / ROWS).backward()
    pieces = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(whole) == len(pieces)
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@every_task
@pytest.mark.parametrize("family", ["mlp", "cnn", "resnet"])
def test_learning_makes_the_error_smaller_and_reaches_the_body(name: str, family: str):
    if family != "mlp" and PICTURE not in INPUTS[name]:
        pytest.skip("a family of pictures")
    task, model = made(name, family=family)
    body = [p for key, p in model.named_parameters() if not key.startswith("output.")]
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    losses = []
    for _ in range(15):
        loss = task.forward(model, batch(name))["loss"]
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in body)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@every_task
def test_measured_beside_the_trivial_answer(name: str):
    task, model = made(name)
    task.forward(model, batch(name))  # one training batch: the trivial answer knows its means
    model.eval()
    output = task.forward(model, batch(name, epoch=None))["output"].detach().numpy()
    evaluation = assess(task, output, {}, {}, split="validation", seed=0, resamples=20)
    assert [metric.name for metric in evaluation.metrics] == list(task.metrics)
    outcome = task.outcome(output, {})
    assert outcome.labels == task.parts and len(outcome) == ROWS
    for metric in evaluation.metrics:
        if metric.name == "skill_score":
            assert metric.baseline == 0
            expected = (1 - outcome.score.mean(0) / outcome.trivial.mean(0)).mean()
            assert metric.value == pytest.approx(expected)
        if metric.name == "retrieval_accuracy":
            assert metric.baseline == pytest.approx(1 / (2 * ROWS - 1))
    assert [entry["name"] for entry in evaluation.per_label] == list(task.parts)


@every_task
def test_an_answer_depends_on_its_row_alone_and_has_the_size_that_is_said(name: str):
    task, model = made(name)
    model.eval()
    whole = task.answer(model, batch(name).inputs)
    assert whole.shape == (ROWS, task.answer_size)
    one = task.answer(model, batch(name).rows(3, 4).inputs)
    torch.testing.assert_close(one, whole[3:4])


@every_task
def test_a_target_is_refused(name: str):
    from modelyard.data.modalities.category import Category

    found = table("task").find(name)
    with pytest.raises(SpecError, match=r"learns from the inputs alone.*targets: \{\}"):
        found(found.Settings(), [Category("kind", Category.Settings(), "target")])


@every_task
def test_a_family_without_features_and_unfit_inputs_are_refused(name: str):
    with pytest.raises(SpecError, match="linear has none"):
        made(name, family="linear")
    texts = (Tokens("review", ("review",), 20, 8),)
    with pytest.raises(SpecError, match="review"):
        made(name, texts, family="embedding")


@every_task
def test_errors_that_are_not_finite_or_answers_are_refused(name: str):
    task, _ = made(name)
    width = 2 * len(task.parts)
    with pytest.raises(DataError, match="1 of 3 rows are not finite"):
        task.outcome(np.array([[1.0] * width, [np.nan] * width, [1.0] * width], np.float32), {})
    with pytest.raises(DataError, match="errors of shape"):
        task.outcome(np.zeros((3, width + 1), np.float32), {})


def test_equal_seeds_give_equal_weights():
    (_, first), (_, second) = made("contrastive"), made("contrastive")
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert count_parameters(first) > 0


# -- the trivial answer -----------------------------------------------------------------------------------------------


def test_the_trivial_answer_is_the_mean_of_all_rows_that_training_has_shown():
    running = Running(2)
    running(torch.tensor([[1.0, 10.0], [3.0, 30.0]]))
    running(torch.tensor([[8.0, 80.0]]))
    assert running.mean.tolist() == pytest.approx([4.0, 40.0])
    running.eval()
    assert running(torch.tensor([[100.0, 100.0]])).tolist() == pytest.approx([4.0, 40.0])


# -- autoencoding -----------------------------------------------------------------------------------------------------


def test_errors_of_a_reconstruction_by_hand():
    task, model = made("autoencoding")
    head = model.output
    head.trivial[0].mean.copy_(torch.tensor([1.0, 0.0]))
    head.trivial[1].mean.copy_(torch.tensor([0.5, 0.5, 0, 0, 0.25, 0.75, 0, 0, 0]))
    head.eval()
    found = {"numbers": torch.tensor([[2.0, 0.0]]), "categories": torch.zeros(1, 9)}
    true = {"numbers": torch.tensor([[1.0, 3.0]]), "categories": torch.tensor([[0, 1]])}
    errors, trivial = head.errors(found, true)
    # numbers (1 + 9) / 2; categories of even logits: ln 4 and ln 5
    assert errors.tolist() == [pytest.approx([5.0, (math.log(4) + math.log(5)) / 2])]
    assert trivial.tolist() == [pytest.approx([4.5, -(math.log(0.5) + math.log(0.75)) / 2])]
    assert task.parts == ("numbers", "categories")


# -- masked values ----------------------------------------------------------------------------------------------------


def test_hidden_cells_come_from_another_row_and_the_others_are_the_rows_own():
    task, _ = made("masked_values", share=0.5)
    whole = batch("masked_values", rows=200)
    posed = task.pose(whole)
    hidden = posed.targets["hidden"]
    assert hidden.sum(1).tolist() == [2] * 200  # half of four cells
    numbers, seen = whole.inputs["numbers"], posed.inputs["numbers"]
    assert torch.equal(seen[~hidden[:, :2]], numbers[~hidden[:, :2]])
    assert not (seen == numbers)[hidden[:, :2]].any()  # continuous: another row has another value
    for column in range(2):
        assert torch.isin(seen[:, column], numbers[:, column]).all()
    # a category that another row shares was hidden, and not changed
    changed = posed.targets["changed"]
    assert not changed[~hidden].any() and (hidden & ~changed)[:, 2:].any()


def test_a_row_alone_in_its_batch_is_learned_from_without_a_change():
    task, model = made("masked_values")
    out = task.forward(model, batch("masked_values", rows=1))
    assert torch.isfinite(out["loss"])


def test_one_column_is_too_few_to_predict_it_from_others():
    with pytest.raises(SpecError, match="only one"):
        made("masked_values", (Numbers("numbers", ("age",), 1),))


# -- masked patches ---------------------------------------------------------------------------------------------------


def test_whole_patches_are_grey_and_only_their_pixels_count():
    task, model = made("masked_patches", family="cnn", share=0.5, patch=4)
    whole = batch("masked_patches")
    posed = task.pose(whole)
    hidden = posed.targets["hidden"]  # 12 × 10 pixels: 3 × 3 patches, the last ones two pixels wide
    assert hidden.shape == (ROWS, 1, 12, 10)
    corners = hidden[:, 0, ::4, ::4]
    assert corners.sum((1, 2)).tolist() == [4] * ROWS
    assert torch.equal(corners.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :, :10], hidden[:, 0])
    assert (posed.inputs["photo.pixels"][hidden] == 0).all()
    assert torch.equal(posed.inputs["photo.pixels"][~hidden], whole.inputs["photo.pixels"][~hidden])
    model.eval()
    model.output.paint = torch.nn.Identity()
    model.maps = lambda inputs: torch.ones(ROWS, 1, 12, 10)
    error, trivial = task.errors(model, posed)
    own = whole.inputs["photo.pixels"]
    by_hand = [float(((own[row][hidden[row]] - 1) ** 2).mean()) for row in range(ROWS)]
    assert error[:, 0].tolist() == pytest.approx(by_hand, rel=1e-5)
    assert trivial[:, 0].tolist() == pytest.approx([float((own[r][hidden[r]] ** 2).mean()) for r in range(ROWS)])


def test_a_patch_as_large_as_the_picture_is_refused():
    with pytest.raises(SpecError, match="patch"):
        made("masked_patches", patch=12)


# -- contrastive ------------------------------------------------------------------------------------------------------


def test_the_loss_of_two_pictures_by_hand():
    # First views e1, e2 and second views e1, e2: each other view has similarity 1, the two others 0.
    views = torch.eye(2).repeat(2, 1)
    losses, wrong = contrast(views, temperature=1.0)
    assert losses.tolist() == pytest.approx([math.log(math.e + 2) - 1] * 2)
    assert wrong.tolist() == [0.0, 0.0]
    swapped = torch.cat([torch.eye(2), torch.eye(2).flip(0)])
    assert contrast(swapped, temperature=1.0)[1].tolist() == [1.0, 1.0]


def test_outside_training_a_row_is_looked_for_among_as_many_whatever_the_batch():
    task, model = made("contrastive")
    model.eval()
    with torch.no_grad():
        errors, trivial = task.errors(model, task.pose(batch("contrastive", rows=MEASURED_AMONG + 40)))
    assert errors.shape == (MEASURED_AMONG + 40, 2)
    assert trivial[:, 0].tolist() == pytest.approx([math.log(2 * MEASURED_AMONG - 1)] * len(errors))


def test_tasks_with_targets_answer_with_the_models_outputs():
    assert Task.from_inputs is False and Task.whole_batches is False
