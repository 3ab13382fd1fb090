"""The contract every family keeps, over every entry of the table and every kind of input it takes.

Legend: B batch, T time, O outputs.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from modelyard.data.kinds import Bag, Categories, Image, Input, Numbers, Tokens
from modelyard.models.build import build, count_parameters
from modelyard.models.table import FAMILIES
from modelyard.spec.settings import Choice

BATCH = 6
OUTPUTS = 3
NAMED = {
    "numbers": Numbers("numbers", ("a", "b"), width=5),
    "categories": Categories("categories", ("c", "d"), sizes=(4, 7)),
    "tokens": Tokens("review", ("review",), vocabulary_size=40, max_length=16),
    "bag": Bag("body", ("body",), vocabulary_size=50),
    "image": Image("photo", ("photo",), channels=3, height=16, width=12),
}


def tensors(one: Input, generator: torch.Generator) -> dict[str, Tensor]:
    """A batch's tensors for one input."""

    def whole(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    match one:
        case Numbers(width=width):
            return {"numbers": torch.randn(BATCH, width, generator=generator)}
        case Categories(sizes=sizes):
            return {"categories": torch.stack([whole(size, BATCH) for size in sizes], 1)}
        case Tokens(name=name, vocabulary_size=vocabulary, max_length=longest):
            length = torch.tensor([1, 2, 5, 9, 9, 3])
            ids = whole(vocabulary - 1, BATCH, 9) + 1
            assert longest >= 9
            return {f"{name}.ids": ids * (torch.arange(9) < length[:, None]), f"{name}.length": length}
        case Bag(name=name, vocabulary_size=vocabulary):
            offsets = torch.tensor([0, 3, 3, 8, 9, 12])  # the second row is empty
            weights = torch.rand(14, generator=generator)
            return {f"{name}.ids": whole(vocabulary, 14), f"{name}.offsets": offsets, f"{name}.weights": weights}
        case Image(name=name, channels=channels, height=height, width=width):
            pixels = torch.randn(BATCH, channels, height, width, generator=generator)
            return {f"{name}.pixels": pixels.to(memory_format=torch.channels_last)}
    raise AssertionError(f"no sample for {one.kind}")


def batch(inputs: tuple[Input, ...], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {key: value for one in inputs for key, value in tensors(one, generator).items()}


def family(name: str) -> Any:
    return FAMILIES.find(name)


def choice(name: str, **settings: Any) -> Choice[Any]:
    """The family in the first, smallest of its named sizes, unless said otherwise."""
    sizes = getattr(family(name).Settings, "SIZES", {})
    if sizes and "size" not in settings:
        settings["size"] = next(iter(sizes))
    return Choice("family", name, family(name).Settings(**settings), key="family")


def without_dropout(name: str) -> Choice[Any]:
    fields = family(name).Settings.model_fields
    return choice(name, **{field: 0.0 for field in fields if "drop" in field})


CASES = [
    pytest.param(name, inputs, id=f"{name}-{'+'.join(one.kind for one in inputs)}")
    for name in FAMILIES
    for inputs in [
        *((NAMED[kind],) for kind in family(name).accepts),
        *([tuple(NAMED[kind] for kind in family(name).accepts)] if family(name).several else []),
    ]
]
PADDED = [
    case
    for case in CASES
    if any(one.kind == "tokens" for one in case.values[1])  # type: ignore[attr-defined]
]
each_case = pytest.mark.parametrize(("name", "inputs"), CASES)


@each_case
def test_outputs_are_float32_finite_and_of_the_asked_shape(name: str, inputs: tuple[Input, ...]) -> None:
    model = build(choice(name), inputs, OUTPUTS, seed=1)
    assert model.training
    output = model(batch(inputs))
    assert output.shape == (BATCH, OUTPUTS)
    assert output.dtype == torch.float32
    assert output.isfinite().all()


@each_case
def test_after_a_step_every_parameter_has_a_gradient_that_is_not_zero(name: str, inputs: tuple[Input, ...]) -> None:
    model = build(choice(name), inputs, OUTPUTS, seed=1)
    target = torch.tensor([0, 1, 2, 0, 1, 2])
    # In the first step, what starts at zero (linear models, the last norm of a residual block) hides what is behind it.
    for _ in range(2):
        model.zero_grad()
        nn.functional.cross_entropy(model(batch(inputs)), target).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.count_nonzero() > 0, parameter_name


@each_case
def test_equal_seeds_build_equal_weights_and_leave_the_global_generator_alone(
    name: str, inputs: tuple[Input, ...]
) -> None:
    before = torch.get_rng_state()
    first = build(choice(name), inputs, OUTPUTS, seed=7).state_dict()
    torch.rand(3)
    second = build(choice(name), inputs, OUTPUTS, seed=7).state_dict()
    third = build(choice(name), inputs, OUTPUTS, seed=8).state_dict()
    torch.set_rng_state(before)
    build(choice(name), inputs, OUTPUTS, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], second[key]) for key in first)
    if name != "linear":  # which starts at zero whatever the seed
        assert any(not torch.equal(first[key], third[key]) for key in first)


@each_case
def test_stored_and_loaded_weights_give_the_same_answers_to_the_last_bit(name: str, inputs: tuple[Input, ...]) -> None:
    model = build(choice(name), inputs, OUTPUTS, seed=1)
    model(batch(inputs, seed=3))  # moves the running statistics of batch norms
    stored = safetensors.torch.save({key: value.contiguous() for key, value in model.state_dict().items()})
    loaded = build(choice(name), inputs, OUTPUTS, seed=2)
    loaded.load_state_dict(safetensors.torch.load(stored))
    assert torch.equal(model.eval()(batch(inputs)), loaded.eval()(batch(inputs)))


@each_case
def test_training_differs_from_evaluation_by_dropout_and_batch_statistics_alone(
    name: str, inputs: tuple[Input, ...]
) -> None:
    model = build(without_dropout(name), inputs, OUTPUTS, seed=1)
    training = model(batch(inputs))
    assert torch.equal(model(batch(inputs)), training)
    if any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in model.modules()):
        return
    assert torch.equal(model.eval()(batch(inputs)), training)


@pytest.mark.parametrize(
    ("name", "setting"),
    [(name, field) for name in FAMILIES for field in family(name).Settings.model_fields if "drop" in field],
)
def test_each_dropout_setting_acts_in_training_and_only_there(name: str, setting: str) -> None:
    inputs = tuple(NAMED[kind] for kind in family(name).accepts[: None if family(name).several else 1])
    model = build(without_dropout(name).with_settings(**{setting: 0.5}), inputs, OUTPUTS, seed=1)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        _unhide(model)
        draws = [model(batch(inputs)) for _ in range(4)]
        assert any(not torch.equal(draws[0], other) for other in draws[1:])
        model.eval()
        assert torch.equal(model(batch(inputs)), model(batch(inputs)))


def _unhide(model: nn.Module) -> None:
    """Give norms that start with scale zero a scale, so that the branches before them count."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)


@pytest.mark.parametrize(("name", "inputs"), PADDED)
def test_more_padding_changes_no_answer(name: str, inputs: tuple[Input, ...]) -> None:
    model = build(without_dropout(name), inputs, OUTPUTS, seed=1).eval()
    short = batch(inputs)
    longer = {**short, "review.ids": nn.functional.pad(short["review.ids"], (0, 7))}
    torch.testing.assert_close(model(longer), model(short), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in FAMILIES if "tokens" in family(name).accepts])
def test_a_text_alone_gets_the_answer_it_gets_in_a_batch(name: str) -> None:
    model = build(without_dropout(name), (NAMED["tokens"],), OUTPUTS, seed=1).eval()
    together = batch((NAMED["tokens"],))
    expected = model(together)
    for row, length in enumerate(together["review.length"].tolist()):
        alone = {"review.ids": together["review.ids"][row : row + 1, :length], "review.length": torch.tensor([length])}
        torch.testing.assert_close(model(alone), expected[row : row + 1], rtol=0, atol=1e-6)


@each_case
def test_bfloat16_autocast_trains(name: str, inputs: tuple[Input, ...]) -> None:
    model = build(choice(name), inputs, OUTPUTS, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch(inputs))
    output.float().square().sum().backward()
    assert output.isfinite().all()
    assert all(parameter.grad is not None for parameter in model.parameters())


@each_case
def test_exports_to_a_graph_that_gives_the_same_answers(name: str, inputs: tuple[Input, ...]) -> None:
    model = build(choice(name), inputs, OUTPUTS, seed=1).eval()
    example = batch(inputs)
    program = torch.export.export(model, (example,), strict=False)
    torch.testing.assert_close(program.module()(example), model(example))


@pytest.mark.parametrize("name", list(FAMILIES))
def test_defaults_are_small_and_named_sizes_grow(name: str) -> None:
    kind = family(name).accepts[0]
    with torch.device("meta"):
        default = Choice("family", name, family(name).Settings(), key="family")
        assert count_parameters(build(default, (NAMED[kind],), OUTPUTS, seed=0)) < 15_000_000
        sizes = list(getattr(family(name).Settings, "SIZES", {}))
        counts = [count_parameters(build(choice(name, size=size), (NAMED[kind],), OUTPUTS, seed=0)) for size in sizes]
    assert counts == sorted(set(counts)), dict(zip(sizes, counts, strict=True))
    assert all(count < 400_000_000 for count in counts)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_settings_are_complete_documented_and_survive_being_written(name: str) -> None:
    settings = family(name).Settings
    made = settings()
    undecided = [field for field in settings.model_fields if field != "size" and getattr(made, field) is None]
    assert undecided == []
    assert [field for field, info in settings.model_fields.items() if not info.description] == []
    written = made.model_dump(mode="json")
    assert settings.model_validate(written) == made


def test_an_empty_bag_is_answered_by_the_bias_alone() -> None:
    model = build(choice("linear"), (NAMED["bag"],), OUTPUTS, seed=0)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    empty = {
        "body.ids": torch.zeros(0, dtype=torch.int64),
        "body.offsets": torch.zeros(2, dtype=torch.int64),
        "body.weights": torch.zeros(0),
    }
    assert model(empty).tolist() == [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]


def test_a_copy_of_a_model_is_independent_of_it() -> None:
    model = build(choice("mlp"), (NAMED["numbers"],), OUTPUTS, seed=0)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.output.weight.zero_()
    assert model.output.weight.count_nonzero() > 0


@each_case
def test_the_head_gets_the_features_and_the_blocks_hold_every_parameter_once(
    name: str, inputs: tuple[Input, ...]
) -> None:
    model = build(choice(name), inputs, OUTPUTS, seed=1).eval()
    blocks = model.blocks()
    assert blocks[-1][0] == "output" and len({block for block, _ in blocks}) == len(blocks)
    held = [id(parameter) for _, modules in blocks for module in modules for parameter in module.parameters()]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
    tensors = batch(inputs)
    if not model.has_features:
        assert len(blocks) == 1
        with pytest.raises(NotImplementedError, match="no features"):
            model.features(tensors)
        return
    assert len(blocks) > 1
    assert torch.equal(model(tensors), model.output(model.features(tensors)))
    assert model.features(tensors).shape == (BATCH, model.output.in_features)
    maps = model.maps(tensors)
    if name in ("cnn", "resnet"):
        assert maps is not None and maps.ndim == 4 and len(maps) == BATCH
    else:
        assert maps is None


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("mlp", {"hidden_sizes": [8, 8]}, ["hidden.layers.0", "hidden.layers.1", "output"]),
        ("cnn", {"layers": ["conv 4", "pool 2", "dense 8"]}, ["layers.0", "layers.3", "output"]),
        ("resnet", {"size": "tiny"}, ["stem.0", "stages.0", "stages.1", "stages.2", "stages.3", "output"]),
        ("encoder", {"size": "tiny"}, ["embedding", "layers.0", "layers.1", "output"]),
        ("rnn", {"layers": 2}, ["embedding", "recurrences.0", "recurrences.1", "output"]),
    ],
)
def test_blocks_run_from_the_inputs_to_the_head(name: str, settings: dict[str, Any], expected: list[str]) -> None:
    one = NAMED[family(name).accepts[0] if name != "mlp" else "numbers"]
    model = build(Choice("family", name, family(name).Settings(**settings), key="family"), (one,), OUTPUTS, seed=1)
    assert [block for block, _ in model.blocks()] == expected
