"""Linear layers in float8: products exact where its numbers are, within the formats' rounding elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from modelyard.core.device import multiplies_float8
from modelyard.core.errors import SpecError
from modelyard.core.registry import table
from modelyard.data.kinds import Tokens
from modelyard.models.blocks import float8
from modelyard.models.blocks.checkpointing import checkpoint_blocks
from modelyard.models.blocks.float8 import float8_linear, float8_linears, large_linears
from modelyard.models.build import build
from modelyard.spec.settings import Choice

SIZES = (80, 64, 32)  # M rows, K input width, N output width


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def whole(*shape: int, seed: int) -> Tensor:
    """Whole numbers from −2 to 2: exact in every format, and so are sums of some dozens of their products."""
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed)).float()


def gradients(
    function: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, grad: Tensor
) -> list[Tensor]:
    """Return y and the gradients of x, weight and bias."""
    leaves = [one.clone().requires_grad_() for one in (x, weight, bias) if one is not None]
    y = function(*leaves)
    y.backward(grad.to(y.dtype))  # type: ignore[no-untyped-call]
    found = [one.grad for one in leaves]
    return [y.detach(), *(one for one in found if one is not None)]


def encoder(width: int = 32) -> nn.Module:
    settings = {"width": width, "layers": 2, "heads": 2, "feed_forward_size": 4 * width, "dropout": 0.0}
    chosen = Choice("family", "encoder", table("family").find("encoder").Settings(**settings), key="family")
    return build(chosen, [Tokens("review", ("review",), vocabulary_size=40, max_length=16)], 3, seed=1)


def tokens(rows: int = 8, length: int = 16) -> dict[str, Tensor]:
    ids = torch.randint(1, 40, (rows, length), generator=torch.Generator().manual_seed(5))
    return {"review.ids": ids, "review.length": torch.full((rows,), length)}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count small layers and few rows as large."""
    monkeypatch.setattr(float8, "_REUSE", 8)
    monkeypatch.setattr(float8, "_ROWS", 16)


@pytest.mark.parametrize("rows", [80, 83, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("biased", [True, False])
def test_whole_numbers_are_multiplied_exactly(rows: int, dtype: torch.dtype, biased: bool) -> None:
    x, weight = whole(rows, 64, seed=1).to(dtype), whole(32, 64, seed=2)
    bias, grad = whole(32, seed=3) if biased else None, whole(rows, 32, seed=4)
    found = gradients(float8_linear, x, weight, bias, grad)
    expected = gradients(functional.linear, x.float(), weight, bias, grad)
    types = [torch.bfloat16, dtype, torch.float32, torch.float32]
    for one, other, kind in zip(found, expected, types, strict=False):
        assert one.dtype == kind
        assert torch.equal(one.float(), other)
    assert len(found) == len(expected) == 3 + biased


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e5])
def test_errors_stay_within_the_rounding_of_the_formats(size: float) -> None:
    rows, width, results = SIZES
    x, weight = random(rows, width, seed=1) * size, random(results, width, seed=2)
    grad = random(rows, results, seed=3) * size
    found = gradients(float8_linear, x, weight, None, grad)
    expected = gradients(functional.linear, x, weight, None, grad)
    # Half a unit in the last place: 2⁻⁴ with the three bits of e4m3, 2⁻³ with the two of e5m2; 2⁻⁸ for the result.
    e4m3, e5m2, result = 2**-4, 2**-3, 2**-8
    magnitudes = [
        (x.abs() @ weight.abs().T, 2 * e4m3 + e4m3**2 + result),
        (grad.abs() @ weight.abs(), e4m3 + e5m2 + e4m3 * e5m2),
        (grad.abs().T @ x.abs(), e4m3 + e5m2 + e4m3 * e5m2),
    ]
    for one, other, (magnitude, share) in zip(found, expected, magnitudes, strict=True):
        # Numbers below the smallest normal one lose more, on the scale of the largest: nothing here comes near it.
        assert ((one.float() - other).abs() <= share * magnitude + 1e-3 * magnitude.mean()).all()
        typical = float((one.float() - other).norm() / other.norm())
        assert 0.01 < typical < 0.08  # not exact, or nothing was converted


def test_a_product_is_that_of_the_rounded_numbers() -> None:
    x, weight = random(*SIZES[:2], seed=1), random(SIZES[2], SIZES[1], seed=2)

    def rounded(matrix: Tensor) -> Tensor:
        scale = 2.0 ** torch.floor(torch.log2(448 / matrix.abs().max()))
        return (matrix * scale).to(torch.float8_e4m3fn).float() / scale

    expected = rounded(x) @ rounded(weight).T
    torch.testing.assert_close(float8_linear(x, weight).float(), expected, rtol=2**-8, atol=1e-4)


def test_nothing_overflows_and_zero_stays_zero() -> None:
    weight = torch.eye(16)
    for largest in (447.9, 448.0, 448.1, 3e38, 1e-20, 1e-38):
        x = torch.full((16, 16), largest)
        torch.testing.assert_close(float8_linear(x, weight).float(), x, rtol=0.07, atol=1e-31)
    assert torch.equal(float8_linear(torch.zeros(16, 16), weight), torch.zeros(16, 16, dtype=torch.bfloat16))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_not_hidden(bad: float) -> None:
    x = torch.ones(32, 16)
    x[3, 5] = bad
    assert float8_linear(x, torch.eye(16)).isnan().all()
    assert float8_linear(torch.ones(32, 16), x).isnan().all()


def test_shapes_and_orders_of_memory() -> None:
    x, weight = whole(4, 5, 64, seed=1), whole(32, 64, seed=2)
    expected = functional.linear(x, weight)
    assert torch.equal(float8_linear(x, weight).float(), expected)
    columns = x.transpose(0, 2).contiguous().transpose(0, 2)  # the same numbers, in another order of memory
    assert torch.equal(float8_linear(columns, weight.T.contiguous().T).float(), expected)
    leaf = x.clone().requires_grad_()
    float8_linear(leaf, weight).sum().backward()  # type: ignore[no-untyped-call]  # one number, repeated without memory
    assert leaf.grad is not None and torch.equal(leaf.grad, weight.sum(0).expand_as(x))


def test_frozen_weights_get_no_gradient_and_pass_one_on() -> None:
    x, weight, bias = whole(16, 32, seed=1).requires_grad_(), whole(16, 32, seed=2), whole(16, seed=3)
    float8_linear(x, weight, bias).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and weight.grad is None and bias.grad is None


def test_large_layers_are_found_and_the_head_is_left() -> None:
    class Subclass(nn.Linear):
        pass

    model = nn.Module()
    model.wide = nn.Linear(1024, 1024)
    model.long = nn.Linear(640, 2560)
    model.narrow = nn.Linear(4096, 512 - 16)
    model.odd = nn.Linear(2048, 2040)
    model.other = Subclass(1024, 1024)
    model.outputs = nn.Sequential(nn.Linear(1024, 1024))
    model.output = nn.Sequential(nn.Linear(1024, 1024))
    assert [name for name, _ in large_linears(model)] == ["wide", "long", "outputs.0"]
    assert [name for name, _ in large_linears(encoder())] == []


def test_a_model_without_large_layers_is_refused() -> None:
    with pytest.raises(SpecError, match=r"this encoder has none\. Use bfloat16") as caught:
        float8_linears(encoder())
    assert caught.value.problems[0].place == "train.precision"


@pytest.mark.usefixtures("small")
def test_a_model_changes_under_autocast_alone() -> None:
    plain = encoder()
    model = copy.deepcopy(plain)
    names = float8_linears(model)
    parts = ("attention.query_key_value", "attention.output", "feed_forward.hidden", "feed_forward.output")
    assert names == [f"layers.{layer}.{part}" for layer in range(2) for part in parts]
    assert list(model.state_dict()) == list(plain.state_dict())
    batch = tokens()
    assert torch.equal(model(batch), plain(batch))
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(model(batch), plain(batch))
    with torch.autocast("cpu", torch.bfloat16):
        one, other = model(batch).float(), plain(batch).float()
        assert torch.equal(model(tokens(1, 15)), plain(tokens(1, 15)))  # fewer rows than 16
    assert not torch.equal(one, other)
    assert float((one - other).detach().norm() / other.detach().norm()) < 0.1


@pytest.mark.usefixtures("small")
def test_copies_multiply_by_their_own_weights() -> None:
    model = encoder()
    float8_linears(model)
    twin = copy.deepcopy(model)
    for network in (model, twin):
        assert all(getattr(linear.forward, "__self__") is linear for _, linear in large_linears(network))  # noqa: B009


def step(model: nn.Module, runner: nn.Module | None = None) -> list[Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        loss = (runner or model)(tokens()).float().square().sum()
    loss.backward()
    return [loss.detach(), *(one.grad for one in model.parameters() if one.grad is not None)]


@pytest.mark.usefixtures("small")
def test_blocks_that_are_computed_twice_give_the_same_gradients() -> None:
    model = encoder()
    float8_linears(model)
    saving = copy.deepcopy(model)
    assert len(checkpoint_blocks(saving)) >= 2
    for one, other in zip(step(model), step(saving), strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("small")
def test_compiled_it_is_the_same_in_one_graph() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))
    float8_linears(model)
    twin = copy.deepcopy(model)
    runner = torch.compile(twin, backend="aot_eager", fullgraph=True)
    x = random(35, 32, seed=1)
    for network in (model, runner):
        with torch.autocast("cpu", torch.bfloat16):
            network(x).float().square().sum().backward()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        assert torch.equal(one.grad, other.grad)


@pytest.mark.usefixtures("small")
def test_operations_are_counted() -> None:
    def count(model: nn.Module) -> int:
        with FlopCounterMode(display=False) as counter:
            step(model)
        return int(counter.get_total_flops())

    model = encoder()
    plain = count(copy.deepcopy(model))
    float8_linears(model)
    assert count(model) == plain > 0


@pytest.mark.gpu
def test_an_accelerator_multiplies_as_the_processor_does() -> None:
    device = torch.device("cuda")
    if not (torch.cuda.is_available() and multiplies_float8(device)):
        pytest.skip("no accelerator that multiplies float8")
    for rows in (2048, 2051):
        exact = (whole(rows, 64, seed=1), whole(32, 64, seed=2), whole(32, seed=3), whole(rows, 32, seed=4))
        rough = tuple(random(*one.shape, seed=index) for index, one in enumerate(exact))
        for case, tolerance in ((exact, 0.0), (rough, 2**-7)):
            x, weight, bias, grad = case
            there = [one.to(device) for one in case]
            found = gradients(float8_linear, *there)
            expected = gradients(float8_linear, x, weight, bias, grad)
            for one, other in zip(found, expected, strict=True):
                scale = float(other.abs().max())
                torch.testing.assert_close(one.cpu(), other, rtol=tolerance, atol=tolerance * scale)
