"""Mixup and CutMix: what comes out is exactly what `mix` says went in."""

import numpy as np
import pytest
import torch

from modelyard.core.errors import UsageError
from modelyard.data.batch import Batch
from modelyard.data.images.mixing import mix_batch
from modelyard.data.modalities.base import Draw


def batch(rows=16, height=10, width=14, ids=None):
    """Row i's pixels are all i, its target is i: every output pixel tells whose it was."""
    value = torch.arange(rows, dtype=torch.float32)
    pixels = value[:, None, None, None].expand(rows, 3, height, width).contiguous(memory_format=torch.channels_last)
    inputs = {"photo.pixels": pixels, "numbers": value[:, None]}
    return Batch(inputs, {"label": torch.arange(rows)}, np.arange(rows) if ids is None else ids)


def mixed(whole=None, mixup=None, cutmix=None, probability=1.0, seed=1, epoch=0, images=("photo.pixels",)):
    whole = batch() if whole is None else whole
    return mix_batch(whole, list(images), mixup, cutmix, probability, Draw(seed, epoch, whole.ids))


def test_off_is_the_batch_itself():
    whole = batch()
    assert mixed(whole) is whole


def test_mixup_adds_up_own_and_partners_pixels():
    result = mixed(mixup=1.0)
    own, partner, share = torch.arange(16.0), result.mix.targets["label"].float(), result.mix.share
    expected = own * share + partner * (1 - share)
    torch.testing.assert_close(result.inputs["photo.pixels"], expected[:, None, None, None].expand(16, 3, 10, 14))
    assert share.dtype == torch.float32 and share.min() >= 0 and share.max() <= 1
    assert sorted(partner.tolist()) == own.tolist()  # a permutation
    assert result.targets["label"].tolist() == list(range(16))


def test_cutmix_puts_in_one_box_whose_share_is_exact():
    result = mixed(cutmix=1.0)
    partner, share = result.mix.targets["label"], result.mix.share
    boxes = 0
    for row in range(16):
        pixels = result.inputs["photo.pixels"][row]
        foreign = pixels[0] != row
        assert (pixels == pixels[:1]).all()  # all channels alike
        if partner[row] == row:
            assert share[row] == 1 and not foreign.any()
            continue
        assert (pixels[0][foreign] == partner[row]).all()
        assert int(foreign.sum()) == foreign.any(0).sum() * foreign.any(1).sum()  # a rectangle
        assert float(share[row]) == np.float32(1 - int(foreign.sum()) / 140)
        boxes += bool(foreign.any())
    assert boxes > 5


def test_cutmix_boxes_have_the_drawn_area_where_the_border_does_not_cut():
    # Beta(1, 1) is uniform: without the border half of the area would change hands on average; the border takes some.
    shares = torch.cat([mixed(batch(64), cutmix=1.0, epoch=epoch).mix.share for epoch in range(20)])
    assert 0.6 < float(shares.mean()) < 0.75


def test_both_use_each_about_half_the_time():
    result = mixed(batch(400), mixup=1.0, cutmix=1.0)
    pixels = result.inputs["photo.pixels"][:, 0].flatten(1)
    blended = (pixels == pixels[:, :1]).all(dim=1)
    assert 150 < int(blended.sum()) < 280
    partner, share = result.mix.targets["label"].float(), result.mix.share
    torch.testing.assert_close(
        pixels.mean(dim=1), torch.arange(400.0) * share + partner * (1 - share), atol=1e-3, rtol=1e-5
    )


def test_probability_decides_how_many_rows_are_mixed():
    result = mixed(batch(1000), mixup=1.0, probability=0.3)
    alone = result.mix.share == 1
    assert 640 < int(alone.sum()) < 760
    assert torch.equal(result.mix.targets["label"][alone], torch.arange(1000)[alone])
    assert torch.equal(result.inputs["photo.pixels"][alone], batch(1000).inputs["photo.pixels"][alone])
    assert (mixed(mixup=1.0, probability=0.0).mix.share == 1).all()


def test_same_draw_same_mix_and_each_part_of_it_counts():
    first = mixed(mixup=0.4, cutmix=1.0)
    again = mixed(mixup=0.4, cutmix=1.0)
    assert torch.equal(first.inputs["photo.pixels"], again.inputs["photo.pixels"])
    assert torch.equal(first.mix.share, again.mix.share)
    for other in (mixed(mixup=0.4, cutmix=1.0, seed=2), mixed(mixup=0.4, cutmix=1.0, epoch=1)):
        assert not torch.equal(first.mix.share, other.mix.share)
    elsewhere = mixed(batch(ids=np.arange(16) + 100), mixup=0.4, cutmix=1.0)
    assert not torch.equal(first.mix.share, elsewhere.mix.share)


def test_other_inputs_memory_format_and_the_batch_handed_in_stay():
    whole = batch()
    result = mixed(whole, mixup=1.0, cutmix=1.0)
    assert torch.equal(result.inputs["numbers"], whole.inputs["numbers"])
    assert result.inputs["photo.pixels"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(whole.inputs["photo.pixels"], batch().inputs["photo.pixels"])
    assert whole.mix is None
    assert np.array_equal(result.ids, whole.ids)


def test_two_images_of_a_row_share_partner_and_amount():
    whole = batch()
    inputs = {**whole.inputs, "xray.pixels": whole.inputs["photo.pixels"] + 100}
    result = mixed(
        Batch(inputs, whole.targets, whole.ids), mixup=1.0, cutmix=1.0, images=("photo.pixels", "xray.pixels")
    )
    torch.testing.assert_close(result.inputs["xray.pixels"], result.inputs["photo.pixels"] + 100)


@pytest.mark.parametrize("rows", [0, 1])
def test_tiny_batches(rows):
    result = mixed(batch(rows), mixup=1.0, cutmix=1.0)
    assert torch.equal(result.inputs["photo.pixels"], batch(rows).inputs["photo.pixels"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mixup": 0.0}, "mixup is 0.0; expected a positive number"),
        ({"cutmix": -1.0}, "cutmix is -1.0"),
        ({"mixup": 1.0, "probability": 1.5}, "probability of mixing is 1.5"),
        ({"mixup": 1.0, "images": ()}, "the batch has none"),
        (
            {"mixup": 1.0, "images": ("scan.pixels",)},
            "no images scan.pixels in the batch; it holds: photo.pixels, numbers",
        ),
        ({"mixup": 1.0, "images": ("numbers",)}, "numbers: expected float tensors"),
    ],
)
def test_what_cannot_be_mixed_is_refused(arguments, said):
    with pytest.raises(UsageError) as caught:
        mixed(**arguments)
    assert said in str(caught.value)


def test_mixing_twice_and_cutmix_over_two_sizes_are_refused():
    with pytest.raises(UsageError, match="mixed before"):
        mixed(mixed(mixup=1.0), mixup=1.0)
    whole = batch()
    inputs = {**whole.inputs, "small.pixels": whole.inputs["photo.pixels"][:, :, :5, :5]}
    both = Batch(inputs, whole.targets, whole.ids)
    names = ("photo.pixels", "small.pixels")
    with pytest.raises(UsageError, match="one size"):
        mixed(both, cutmix=1.0, images=names)
    assert mixed(both, mixup=1.0, images=names).mix is not None
