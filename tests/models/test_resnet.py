"""Residual networks: shapes, starts and skips."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from modelyard.data.kinds import Image
from modelyard.models.blocks.drop import DropPath
from modelyard.models.build import build
from modelyard.models.resnet import ResNet
from modelyard.spec.settings import Choice


def resnet(side: int, **settings: Any) -> Any:
    image = Image("image", ("image",), channels=3, height=side, width=side)
    return build(Choice("family", "resnet", ResNet.Settings(**settings), key="family"), [image], 2, seed=0)


@pytest.mark.parametrize(
    ("side", "stem", "sides"),
    [(32, "small", [32, 32, 16, 8, 4]), (64, "auto", [64, 64, 32, 16, 8]), (65, "auto", [17, 17, 9, 5, 3])],
)
def test_the_stem_and_the_stages_reduce_the_picture(side: int, stem: str, sides: list[int]) -> None:
    model = resnet(side, width=2, stem=stem)
    x = model.stem(torch.randn(1, 3, side, side))
    seen = [x.shape[3]]
    for stage in model.stages:
        x = stage(x)
        seen.append(x.shape[3])
    assert seen == sides


@pytest.mark.parametrize("depth", [18, 50])
def test_a_block_that_keeps_its_shape_starts_as_the_identity(depth: int) -> None:
    block = resnet(32, width=4, depth=depth).stages[1][1]
    x = torch.rand(2, 8 if depth == 18 else 32, 6, 6)
    assert torch.equal(block(x), x)


def test_pictures_of_one_pixel_pass() -> None:
    model = resnet(1, width=2, stem="imagenet").eval()
    assert model({"image.pixels": torch.randn(2, 3, 1, 1)}).isfinite().all()


def test_drop_path_rises_from_block_to_block() -> None:
    model = resnet(32, width=2, drop_path=0.7)
    rates = [module.probability for module in model.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


def test_drop_path_keeps_or_drops_whole_rows_and_the_mean() -> None:
    drop = DropPath(0.25)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        result = drop(torch.ones(4000, 3, 2))
    per_row = result.flatten(1)
    assert per_row.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (per_row.amin(1) == per_row.amax(1)).all()
    assert result.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(drop.eval()(result), result)


def test_channels_last_is_kept_to_the_end() -> None:
    model = resnet(16, width=4)
    kept: list[bool] = []
    for stage in model.stages:
        stage.register_forward_hook(
            lambda _, __, output: kept.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    model({"image.pixels": torch.randn(2, 3, 16, 16).to(memory_format=torch.channels_last)})
    assert kept == [True] * 4
