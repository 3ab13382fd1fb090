"""CIFAR-100: tiny colour pictures of a hundred kinds of things."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.images import read_cifar
from modelyard.data.catalog.origins import Url
from modelyard.data.catalog.write import write_npz

_COARSE = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes "
    "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees "
    "vehicles_1 vehicles_2"
)
_FINE = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
    "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
    "maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)


def convert(raw: Path, out: Path) -> None:
    """The binary version: a coarse label, a fine label and 3,072 bytes a picture."""
    for split in ("train", "test"):
        images, labels = read_cifar([raw / f"{split}.bin"], labels=2)
        write_npz(out / f"{split}.npz", image=images, label=labels[:, 1], coarse_label=labels[:, 0])


ENTRY = Entry(
    name="cifar100",
    title="CIFAR-100",
    description="Colour pictures of 32×32 pixels: tell which of a hundred kinds of thing it shows.",
    task="classification",
    rows={"train": 50_000, "test": 10_000},
    columns={
        "image": "32×32 pixels, red green blue, 0 to 255",
        "label": "the kind of thing, 0 to 99",
        "coarse_label": "its group, 0 to 19",
    },
    files={"train": "train.npz", "test": "test.npz"},
    labels={"label": tuple(_FINE.split()), "coarse_label": tuple(_COARSE.split())},
    licence="No licence stated; free for research as its authors use it",
    publisher="Alex Krizhevsky, Vinod Nair and Geoffrey Hinton, University of Toronto",
    reference="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    download_bytes=168_513_733,
    origins=(
        Url(
            urls={
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz": (
                    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
                )
            },
            root="cifar-100-binary/",
            take=("train.bin", "test.bin"),
        ),
    ),
    convert=convert,
)
