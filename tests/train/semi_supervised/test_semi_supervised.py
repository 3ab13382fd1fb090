"""Methods that learn from rows without a target: which rows, which guesses count, and exactly which gradients."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from modelyard.bundle.contents import make_task
from modelyard.core.errors import DataError, NoTargets, SpecError
from modelyard.core.registry import table
from modelyard.data.batch import Batch
from modelyard.data.loader import Loader
from modelyard.data.prepare import prepare
from modelyard.models.build import build
from modelyard.spec.spec import Spec
from modelyard.train.semi_supervised.guesses import Guesses

METHODS = sorted(table("semi_supervised"))


def clouds(count, seed, labels="ab"):
    """A cloud of points for each label; the first numbers of a row say which."""
    rng = np.random.default_rng(seed)
    side = np.arange(count) % len(labels)
    rows = [{"x": float(rng.normal() + 4 * at), "z": float(rng.normal() - 4 * at)} for at in side]
    return rows, [labels[at] for at in side]


class Small:
    """A method with all it needs, on clouds of points."""

    def __init__(
        self, method="fixmatch", labels="ab", rows=50, batch_size=8, steps=100, model="linear", task=None, **kw
    ):
        points, names = clouds(40, 0, labels)
        data = {
            "source": [{**point, "y": name} for point, name in zip(points, names, strict=True)],
            "unlabelled": clouds(rows, 1, labels)[0],
            "targets": {"y": "category"},
            "split": {"validation": 0, "test": 0},
        }
        train = {"semi_supervised": {"type": method, **kw}}
        spec = Spec.parse({"name": "t", "data": data, "task": task or "classification", "model": model, "train": train})
        self.prepared = prepare(spec)
        self.fitted = self.prepared.fitted
        self.task = make_task(spec.replace(data=self.prepared.data), self.fitted)
        self.loader = Loader(self.prepared.splits["train"], self.fitted, batch_size, 0, True)
        self.task.prepare(self.loader.targets())
        self.choice = spec.train.semi_supervised
        self.model_choice = spec.model
        self.model = build(spec.model, self.fitted.describe(), self.task.output_size, 0).train()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():  # a linear model starts at zero, where no guess is confident
            for parameter in self.model.parameters():
                parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
        self.method = self.make(batch_size, steps)

    def make(self, batch_size=8, steps=100, store=None, task=None):
        store = self.prepared.splits["unlabelled"] if store is None else store
        entry = table("semi_supervised").find(self.choice.name)
        return entry(self.choice.settings, task or self.task, self.fitted, store, batch_size, 0, steps)

    def learn(self, step=0, pieces=1, batch=None):
        self.model.zero_grad()
        batch = batch or next(iter(self.loader.epoch(0)))
        return self.method.backward(self.model, batch, self.method.batch(step), step, nullcontext, pieces)

    def gradient(self):
        return torch.cat([parameter.grad.flatten() for parameter in self.model.parameters()])


class TestRows:
    def test_each_pass_has_every_row_once_and_another_order(self):
        method = Small(rows=50, ratio=1).method
        walked = np.concatenate([method.rows(step) for step in range(25)])
        assert len(walked) == 200 and method.size == 8
        passes = walked.reshape(4, 50)
        assert (np.sort(passes, axis=1) == np.arange(50)).all()
        assert not np.array_equal(passes[0], passes[1])

    def test_any_step_can_be_asked_for_alone(self):
        one, other = Small(rows=50).method, Small(rows=50).method
        in_order = [one.batch(step) for step in range(8)]
        late = other.batch(7)
        for view, again in zip(in_order[7].views, late.views, strict=True):
            assert np.array_equal(view.ids, again.ids)
            assert all(torch.equal(view.inputs[key], again.inputs[key]) for key in view.inputs)

    def test_a_step_has_no_more_rows_than_there_are(self):
        method = Small(rows=10, ratio=4).method
        assert method.size == 10 and sorted(method.rows(3).tolist()) == list(range(10))

    @pytest.mark.parametrize(("method", "views"), [("pseudo_label", 1), ("fixmatch", 2)])
    def test_views(self, method, views):
        assert len(Small(method).method.batch(0).views) == views


class TestGuess:
    def test_only_confident_guesses_count(self):
        method = Small(labels="abc", threshold=0.8).method
        sure = math.log(18.0)  # e^sure : 1 : 1 gives 0.9
        teacher = torch.tensor([[sure, 0, 0], [0.0, 0, 0.5], [0, 0, sure]])
        learner = torch.tensor([[0.0, 0, 0], [5.0, 0, 0], [sure, 0, 0]], requires_grad=True)
        found = method.guess(teacher, learner)
        assert found.labels.tolist() == [0, 2, 2] and found.confident.tolist() == [True, False, True]
        # ln 3 for a third each; nothing; -ln 0.05 for the third label when the first has 0.9
        assert found.loss.tolist() == pytest.approx([math.log(3), 0, math.log(20)], rel=1e-5)
        found.loss.sum().backward()
        assert (learner.grad[1] == 0).all(), "a guess that does not count teaches nothing"

    def test_two_labels_of_one_output(self):
        method = Small(labels="ab", threshold=0.75).method
        assert method.task.output_size == 1
        found = method.guess(torch.tensor([[2.0], [-2.0], [1.0]]), torch.zeros(3, 1))
        # sigmoid(2) is 0.88, sigmoid(1) is 0.73
        assert found.labels.tolist() == [1, 0, 1] and found.confident.tolist() == [True, True, False]
        assert found.loss.tolist() == pytest.approx([math.log(2), math.log(2), 0])

    def test_no_gradient_reaches_the_guess(self):
        teacher = torch.tensor([[9.0, 0, 0]], requires_grad=True)
        learner = torch.zeros(1, 3, requires_grad=True)
        Small(labels="abc").method.guess(teacher, learner).loss.sum().backward()
        assert teacher.grad is None and learner.grad is not None

    def test_a_temperature_keeps_all_probabilities(self):
        method = Small(labels="abc", threshold=0.5, temperature=0.5).method
        teacher = torch.tensor([[math.log(2), 0, 0]])  # 1/2, 1/4, 1/4; sharpened by 0.5: 4/6, 1/6, 1/6
        learner = torch.tensor([[0.0, 0, math.log(2)]])  # 1/4, 1/4, 1/2
        expected = (4 / 6 + 1 / 6) * math.log(4) + 1 / 6 * math.log(2)
        assert method.guess(teacher, learner).loss.tolist() == pytest.approx([expected])


class TestWeight:
    def test_it_rises_over_its_share_of_the_steps(self):
        method = Small("pseudo_label", ramp=0.5, weight=2.0, steps=100).method
        assert [method.weight_at(step) for step in (0, 10, 25, 50, 99)] == [0, 0.4, 1, 2, 2]

    def test_without_a_ramp_it_stands(self):
        method = Small("fixmatch", weight=3.0).method
        assert [method.weight_at(step) for step in (0, 99)] == [3, 3]


def by_hand(small, step):
    """The loss of a step in the open: labelled mean + weight · Σ counted losses / all rows without a target."""
    batch, others = next(iter(small.loader.epoch(0))), small.method.batch(step)
    supervised = small.task.forward(small.model, batch)["loss"]
    teacher = small.model(others.views[0].inputs).detach()
    learner = small.model(others.views[-1].inputs)
    found = small.method.guess(teacher, learner)
    return supervised, found.loss.sum() / len(others), found


class TestBackward:
    @pytest.mark.parametrize("name", METHODS)
    @pytest.mark.parametrize("labels", ["ab", "abc"])
    def test_gradients_and_losses_are_those_by_hand(self, name, labels):
        small = Small(name, labels, threshold=0.4, weight=2.0, ramp=0.0)
        learned = small.learn(step=3)
        gradient = small.gradient().clone()
        small.model.zero_grad()
        supervised, extra, found = by_hand(small, 3)
        (supervised + 2 * extra).backward()
        torch.testing.assert_close(gradient, small.gradient())
        torch.testing.assert_close(learned.loss, supervised.detach())
        torch.testing.assert_close(learned.unlabelled_loss, extra.detach())
        torch.testing.assert_close(learned.total, (supervised + 2 * extra).detach())
        assert extra > 0 and found.confident.any(), "something was learned"
        assert learned.counts.tolist() == torch.bincount(found.labels[found.confident], minlength=len(labels)).tolist()
        assert learned.output.shape == (8, small.task.output_size) and not learned.output.requires_grad
        assert learned.rows == len(small.method.batch(3)) and learned.weight == 8

    @pytest.mark.parametrize("name", METHODS)
    @pytest.mark.parametrize("pieces", [2, 3, 5])
    def test_pieces_have_the_gradients_of_the_whole(self, name, pieces):
        task = {"type": "classification", "class_weights": {"a": 3.0}}
        small = Small(name, "abc", threshold=0.4, ramp=0.0, task=task, rows=21)
        whole = small.learn()
        gradient = small.gradient().clone()
        cut = small.learn(pieces=pieces)
        torch.testing.assert_close(small.gradient(), gradient)
        for what in ("loss", "weight", "output", "unlabelled_loss", "total", "counts"):
            torch.testing.assert_close(getattr(cut, what), getattr(whole, what))
        assert whole.unlabelled_loss > 0

    def test_more_pieces_than_rows_without_a_target(self):
        small = Small("pseudo_label", "abc", threshold=0.0, ramp=0.0, rows=3)
        whole, gradient = small.learn(), small.gradient().clone()
        cut = small.learn(pieces=8)
        torch.testing.assert_close(small.gradient(), gradient)
        torch.testing.assert_close(cut.total, whole.total)

    def test_at_weight_0_it_is_the_labelled_loss_alone(self):
        small = Small("fixmatch", "abc", threshold=0.0, weight=0.0)
        small.learn()
        gradient = small.gradient().clone()
        small.model.zero_grad()
        small.task.forward(small.model, next(iter(small.loader.epoch(0))))["loss"].backward()
        torch.testing.assert_close(small.gradient(), gradient)

    def test_rows_without_a_target_in_the_labelled_batch_weigh_nothing(self):
        small = Small("fixmatch", "abc", threshold=0.4)
        batch = next(iter(small.loader.epoch(0)))
        blank = Batch(batch.inputs, {"y": torch.full_like(batch.targets["y"], -1)}, batch.ids)
        for pieces in (1, 4):
            with pytest.raises(NoTargets):
                small.learn(batch=blank, pieces=pieces)

    def test_bfloat16_leaves_losses_in_float32(self):
        small = Small("fixmatch", "abc", threshold=0.0, model="mlp")
        batch, others = next(iter(small.loader.epoch(0))), small.method.batch(0)
        arithmetic = lambda: torch.autocast("cpu", torch.bfloat16)  # noqa: E731
        learned = small.method.backward(small.model, batch, others, 0, arithmetic)
        assert learned.output.dtype == torch.bfloat16
        assert learned.loss.dtype == learned.unlabelled_loss.dtype == torch.float32
        assert all(parameter.grad.dtype == torch.float32 for parameter in small.model.parameters())


class Spy(nn.Module):
    """A model that notes how many rows each forward pass has."""

    def __init__(self, norm):
        super().__init__()
        self.norm, self.output, self.seen = norm, nn.Linear(2, 3), []

    def forward(self, inputs):
        self.seen.append((len(inputs["numbers"]), torch.is_grad_enabled()))
        return self.output(self.norm(inputs["numbers"]))


class TestForward:
    def test_batch_norm_sees_all_views_together(self):
        small = Small("fixmatch", "abc", ratio=2)
        small.model = Spy(nn.BatchNorm1d(2))
        small.learn()
        assert small.model.seen == [(8 + 16 + 16, True)]

    def test_without_it_the_guesses_cost_no_backward_pass(self):
        small = Small("fixmatch", "abc", ratio=2)
        small.model = Spy(nn.Identity())
        small.learn()
        assert small.model.seen == [(16, False), (8 + 16, True)]

    def test_pseudo_labels_take_one_pass(self):
        small = Small("pseudo_label", "abc", ratio=2)
        small.model = Spy(nn.Identity())
        small.learn()
        assert small.model.seen == [(8 + 16, True)]


class TestRefused:
    def test_a_task_without_labels(self):
        from modelyard.tasks.regression import Regression

        task = Regression.__new__(Regression)
        with pytest.raises(
            SpecError, match=r"train\.semi_supervised: fixmatch guesses labels, and regression has none"
        ):
            Small().make(task=task)

    def test_a_loss_without_probabilities(self):
        with pytest.raises(SpecError, match=r"the loss hinge learns none; set task\.loss to cross_entropy or focal"):
            Small(labels="abc", task={"type": "classification", "loss": "hinge"})

    def test_no_rows(self):
        small = Small()
        with pytest.raises(DataError, match=r"no rows without a target.*data\.unlabelled"):
            small.make(store=small.prepared.splits["unlabelled"].subset(np.arange(0)))

    @pytest.mark.parametrize("wrong", [{"threshold": 1.0}, {"weight": -1}, {"ratio": 0}, {"ramp": 1.5}, {"every": 2}])
    @pytest.mark.parametrize("name", METHODS)
    def test_settings(self, name, wrong):
        with pytest.raises(SpecError, match=rf"train\.semi_supervised.*{next(iter(wrong))}"):
            Spec.parse({"name": "t", "train": {"semi_supervised": {"type": name, **wrong}}})


class TestGuesses:
    def test_the_steps_of_an_epoch_are_added_up(self):
        small = Small("fixmatch", "abc", threshold=0.4, ratio=1)
        guesses, learned = Guesses(), [small.learn(step) for step in range(3)]
        for one in learned:
            guesses.add(one)
        record = guesses.record("abc")
        assert record.rows == 24
        assert record.labels == {name: sum(int(one.counts[at]) for one in learned) for at, name in enumerate("abc")}
        assert 0 < record.confident == pytest.approx(sum(record.labels.values()) / 24)
        assert record.loss == pytest.approx(sum(float(one.unlabelled_loss) for one in learned) / 3, rel=1e-5)

    def test_an_epoch_that_was_interrupted_ends_in_the_same_sums(self):
        small = Small("fixmatch", "abc", threshold=0.4)
        learned = [small.learn(step) for step in range(5)]
        whole, first, second = Guesses(), Guesses(), Guesses()
        for one in learned:
            whole.add(one)
        for one in learned[:2]:
            first.add(one)
        second.restore({name: value.clone() for name, value in first.sums.items()}, torch.device("cpu"))
        for one in learned[2:]:
            second.add(one)
        assert second.record("abc") == whole.record("abc")

    def test_without_a_step_there_is_nothing_to_say(self):
        assert Guesses().record("abc") is None


@pytest.mark.parametrize("name", METHODS)
def test_training_ends_in_the_same_weights_when_it_is_taken_up_in_the_middle(name):
    """Nothing is kept from step to step: weights and step are all that a checkpoint needs of a method."""

    def steps(small, start, stop):
        for step in range(start, stop):
            batch = next(iter(small.loader.epoch(0, step % 5)))
            small.learn(step, batch=batch)
            with torch.no_grad():
                for parameter in small.model.parameters():
                    parameter -= 0.1 * parameter.grad
        return {key: value.clone() for key, value in small.model.state_dict().items()}

    whole = steps(Small(name, "abc", threshold=0.4), 0, 12)
    half = steps(Small(name, "abc", threshold=0.4), 0, 7)
    resumed = Small(name, "abc", threshold=0.4)
    resumed.model.load_state_dict(half)
    assert all(torch.equal(value, whole[key]) for key, value in steps(resumed, 7, 12).items())


def answered(small, method, batch):
    """Train 60 steps; return which rows without a target are answered rightly, and how sure the answers are."""
    model = build(small.model_choice, small.fitted.describe(), small.task.output_size, 0).train()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for step in range(60):
        if method is None:
            small.task.forward(model, batch)["loss"].backward()
        else:
            method.backward(model, batch, method.batch(step), step, nullcontext)
        optimizer.step()
        optimizer.zero_grad()
    store, (_, names) = small.prepared.splits["unlabelled"], clouds(150, 1, "abc")
    with torch.inference_mode():
        inputs = small.fitted.collate(store.take(["numbers"], np.arange(150)), None)
        sure, answers = model.eval()(inputs).softmax(dim=1).max(dim=1)
    right = [small.task.labels[at] == name for at, name in zip(answers.tolist(), names, strict=True)]
    return float(np.mean(right)), float(sure.mean())


def test_fixmatch_tells_clouds_apart_that_a_label_each_does_not():
    small = Small("fixmatch", "abc", threshold=0.8, rows=150, model="mlp", steps=60)
    batch = small.loader.batch(np.array([0, 1, 2]))
    (without, _), (with_them, _) = answered(small, None, batch), answered(small, small.method, batch)
    assert with_them > without + 0.1


def test_pseudo_labels_push_rows_to_one_side():
    small = Small("pseudo_label", "abc", threshold=0.8, rows=150, model="mlp", steps=60)
    batch = small.loader.batch(np.arange(6))
    (right, unsure), (still_right, sure) = answered(small, None, batch), answered(small, small.method, batch)
    assert sure > unsure and still_right > right - 0.02


class TestKindsOfInput:
    """Labelled rows and both views of the others go through real families together."""

    def learn(self, source, unlabelled, inputs, target, model):
        data = {"source": source, "unlabelled": unlabelled, "inputs": inputs, "targets": {target: "category"}}
        data |= {"checks": {"near_duplicate_images": "keep", "near_duplicate_texts": "keep"}}
        train = {"semi_supervised": {"type": "fixmatch", "ratio": 2, "threshold": 0.0}}
        spec = Spec.parse({"name": "t", "data": data, "task": "classification", "model": model, "train": train})
        prepared = prepare(spec, table("family").find(spec.model.name).accepts)
        task = make_task(spec.replace(data=prepared.data), prepared.fitted)
        model = build(spec.model, prepared.fitted.describe(), task.output_size, 0).train()
        loader = Loader(prepared.splits["train"], prepared.fitted, 8, 0, True)
        entry = table("semi_supervised").find("fixmatch")
        method = entry(
            spec.train.semi_supervised.settings, task, prepared.fitted, prepared.splits["unlabelled"], 8, 0, 10
        )
        learned = method.backward(model, next(iter(loader.epoch(0))), method.batch(0), 0, nullcontext, 2)
        assert torch.isfinite(learned.total) and int(learned.counts.sum()) == 16
        assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())

    def test_pictures(self, digits):
        source = {name: values[:100] for name, values in digits.items()}
        self.learn(source, {"image": digits["image"][100:140]}, {"image": "image"}, "digit", "cnn")

    @pytest.mark.parametrize("family", ["rnn", "embedding", "linear"])
    def test_texts(self, sentences, family):
        more = [{"review": row["review"] + " again"} for row in sentences[:40]]
        self.learn(sentences, more, {"review": {"type": "text", "min_count": 1}}, "label", family)
