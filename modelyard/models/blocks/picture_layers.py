"""The list of layers a user writes for a convolutional network, and what each entry may say.

    layers:
      - conv 32 3x3                       {conv: 32, kernel: 3}
      - conv 64 5x5 stride 2 same batch   {conv: 64, kernel: 5, stride: 2, padding: same, norm: batch}
      - pool 2                            {pool: max, size: 2}
      - pool average 3 stride 2           {pool: average, size: 3, stride: 2}
      - flatten                           {flatten: true}
      - global_average                    {global_average: true}
      - dense 128 tanh                    {dense: 128, activation: tanh}
      - dropout 0.5                       {dropout: 0.5}

Both columns say the same. In the short form, the number (or kind) comes first; the rest may stand in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from modelyard.core.errors import nearest
from modelyard.models.blocks.activation import ACTIVATIONS, Activation
from modelyard.models.blocks.dense import DenseNorm
from modelyard.spec.settings import Settings

__all__ = ["Conv", "Dense", "Dropout", "Flatten", "GlobalAverage", "GlobalMax", "Layer", "Layers", "Pool"]

Window = PositiveInt | tuple[PositiveInt, PositiveInt]


def sides(window: int | tuple[int, int]) -> tuple[int, int]:
    """Return a window's height and width; one number means a square."""
    return (window, window) if isinstance(window, int) else window


class Conv(Settings):
    """A convolution, an optional batch norm, and an activation."""

    keyword: ClassVar[str] = "conv"

    conv: PositiveInt
    """Filters: how many maps the layer makes."""
    kernel: Window = 3
    """Pixels a filter sees: one number for a square, or [height, width]."""
    stride: Window = 1
    """Pixels a filter moves by: one number, or [down, across]."""
    padding: Literal["valid", "same"] | Annotated[int, Field(ge=0)] = "valid"
    """Zeros around the picture: `valid` none, `same` so many on each side that only the stride makes it smaller, or a
    number of pixels for each side."""
    norm: Literal["none", "batch"] = "none"
    """Normalisation between the convolution and its activation."""
    activation: Activation = "relu"
    """Function after the convolution."""

    @model_validator(mode="after")
    def _check_same(self) -> Conv:
        if self.padding == "same" and any(side % 2 == 0 for side in sides(self.kernel)):
            raise ValueError(
                f"padding 'same' needs an odd kernel, to pad both sides alike; got {self.kernel}. Use 3, 5 or 7, or "
                "give the padding as a number"
            )
        return self

    @property
    def margins(self) -> tuple[int, int]:
        """Zeros on each vertical and each horizontal side."""
        if self.padding == "same":
            height, width = sides(self.kernel)
            return height // 2, width // 2
        return (0, 0) if self.padding == "valid" else (self.padding, self.padding)


class Pool(Settings):
    """The largest or the mean value of each window of a picture."""

    keyword: ClassVar[str] = "pool"

    pool: Literal["max", "average"] = "max"
    """What stands for a window: its largest value or its mean."""
    size: Window = 2
    """Pixels of a window: one number for a square, or [height, width]."""
    stride: Window = 2
    """Pixels a window moves by; not given, it is the size: windows touch and do not overlap."""

    @model_validator(mode="before")
    @classmethod
    def _fill_stride(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "stride" not in values and "size" in values:
            return {**values, "stride": values["size"]}
        return values


class Flatten(Settings):
    """All values of all maps in one vector. Done by itself where a dense layer or the output meets maps."""

    keyword: ClassVar[str] = "flatten"

    flatten: Literal[True]
    """Always true."""


class GlobalAverage(Settings):
    """The mean of each map: a vector as long as there are maps, whatever the picture's size."""

    keyword: ClassVar[str] = "global_average"

    global_average: Literal[True]
    """Always true."""


class GlobalMax(Settings):
    """The largest value of each map."""

    keyword: ClassVar[str] = "global_max"

    global_max: Literal[True]
    """Always true."""


class Dense(Settings):
    """A fully connected layer, an optional norm, and an activation."""

    keyword: ClassVar[str] = "dense"

    dense: PositiveInt
    """Units."""
    norm: DenseNorm = "none"
    """Normalisation between the layer and its activation."""
    activation: Activation = "relu"
    """Function after the layer."""


class Dropout(Settings):
    """Values dropped while training."""

    keyword: ClassVar[str] = "dropout"

    dropout: float = Field(ge=0.0, lt=1.0)
    """Share of values that is dropped."""


_LAYERS = {layer.keyword: layer for layer in (Conv, Pool, Flatten, GlobalAverage, GlobalMax, Dense, Dropout)}
_NAMED = {"conv": ("stride", "padding"), "pool": ("stride",)}


def _read(value: Any) -> Any:
    """Bring the short form to the long one, and refuse what is no layer."""
    if isinstance(value, Settings):
        return value
    if isinstance(value, str):
        return _read_words(value)
    if not isinstance(value, Mapping):
        raise ValueError(f"a layer is a text such as 'conv 32 3x3' or a mapping such as {{conv: 32}}; got {value!r}")
    named = [key for key in value if key in _LAYERS]
    if len(named) != 1:
        first = str(next(iter(value), ""))
        raise ValueError(
            f"a layer has exactly one of the keys {', '.join(_LAYERS)}; got {dict(value)}{nearest(first, _LAYERS)}"
        )
    if named == ["pool"] and type(value["pool"]) is int and "size" not in value:
        return {**value, "pool": "max", "size": value["pool"]}
    return dict(value)


def _read_words(text: str) -> dict[str, Any]:
    name, *words = text.split() or [""]
    if name not in _LAYERS:
        raise ValueError(f"unknown layer {name!r} in {text!r}{nearest(name, _LAYERS)}; known: {', '.join(_LAYERS)}")
    if name in ("flatten", "global_average", "global_max"):
        if words:
            raise ValueError(f"{name} stands alone; got {text!r}")
        return {name: True}
    entry: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        key, meaning = (word, next(rest, None)) if word in _NAMED.get(name, ()) else _meaning(name, word)
        if key is None or meaning is None:
            raise ValueError(f"cannot read {word!r} in {text!r}; {name} is written like {_EXAMPLES[name]!r}")
        if key in entry:
            raise ValueError(f"{text!r} gives {key} twice")
        entry[key] = meaning
    if name == "pool":
        return {"pool": "max", **entry}
    if name not in entry:
        raise ValueError(f"{text!r} lacks its number; {name} is written like {_EXAMPLES[name]!r}")
    return entry


_EXAMPLES = {
    "conv": "conv 64 3x3 stride 2 same batch relu",
    "pool": "pool max 2 stride 2",
    "dense": "dense 128 relu",
    "dropout": "dropout 0.5",
}


def _meaning(layer: str, word: str) -> tuple[str | None, Any]:
    """Say which setting a bare word gives, and its value."""
    height, cross, width = word.partition("x")
    if cross and height.isdigit() and width.isdigit() and layer in ("conv", "pool"):
        window = int(height) if height == width else (int(height), int(width))
        return ("kernel" if layer == "conv" else "size"), window
    if layer in ("conv", "dense") and word in ACTIVATIONS:
        return "activation", word
    if layer == "conv" and word in ("valid", "same"):
        return "padding", word
    if (layer == "conv" and word == "batch") or (layer == "dense" and word in ("batch", "layer")):
        return "norm", word
    if layer == "pool" and not word.isdigit():
        return "pool", word
    number = word.lstrip("-").replace(".", "", 1).isdigit()
    return (("size" if layer == "pool" else layer) if number else None), word


def _keyword(value: Any) -> str | None:
    if isinstance(value, Settings):
        return getattr(value, "keyword", None)
    return next((key for key in value if key in _LAYERS), None)


Layer = Annotated[
    Annotated[Conv, Tag("conv")]
    | Annotated[Pool, Tag("pool")]
    | Annotated[Flatten, Tag("flatten")]
    | Annotated[GlobalAverage, Tag("global_average")]
    | Annotated[GlobalMax, Tag("global_max")]
    | Annotated[Dense, Tag("dense")]
    | Annotated[Dropout, Tag("dropout")],
    Discriminator(_keyword),
    BeforeValidator(
        _read, json_schema_input_type=str | Conv | Pool | Flatten | GlobalAverage | GlobalMax | Dense | Dropout
    ),
]


def _read_all(values: Any) -> Any:
    """Read every layer, and tell all that is wrong at once, each with the layer's index counted from 0."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"expected a list of layers such as ['conv 32 3x3', 'pool 2', 'dense 128'], got {values!r}")
    layers, problems = [], []
    for index, value in enumerate(values):
        try:
            layers.append(_ADAPTER.validate_python(value))
        except ValidationError as error:
            problems.append(f"layer {index}: {_explain(error)}")
    if problems:
        raise ValueError("; ".join(problems))
    return layers


def _explain(error: ValidationError) -> str:
    """Say what is wrong with one layer, a part for each of its settings."""
    parts: dict[str, str] = {}
    for detail in error.errors():
        location = [str(part) for part in detail["loc"]]  # the keyword, the setting, the branch of a union
        setting = location[1] if len(location) > 1 else ""
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            known = _LAYERS[location[0]].model_fields
            message = f"no such setting{nearest(setting, known)}; {location[0]} has: {', '.join(known)}"
        elif detail["type"] != "value_error":
            message = f"{message[0].lower()}{message[1:]}, got {detail['input']!r}"
        parts[setting] = f"{parts[setting]}, or {message}" if setting in parts else message
    return ", ".join(f"{setting}: {message}" if setting else message for setting, message in parts.items())


_ADAPTER = TypeAdapter[Any](Layer)

Layers = Annotated[tuple[Layer, ...], BeforeValidator(_read_all), Field(min_length=1)]
