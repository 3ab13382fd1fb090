"""`Settings`, the base of everything a spec can say, and `Choice`, a named thing out of a table with its settings.

A modality, family, task, optimizer or source declares a `Settings` class beside its code. That one declaration is the
validation, the default, the documentation, the JSON schema and the command-line override.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

__all__ = ["Choice", "Of", "Settings", "SizedSettings"]

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """A group of settings: frozen, unknown keys refused, each field described by the docstring under it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, arbitrary_types_allowed=True
    )


class SizedSettings(Settings):
    """Settings whose dimensions can be given by a name: `size: small` fills what is not said otherwise."""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    size: str | None = None
    """Named size; fills every dimension that is not given."""

    @model_validator(mode="before")
    @classmethod
    def _fill_dimensions(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("size") is None:
            return values
        size = values["size"]
        if size not in cls.SIZES:
            raise ValueError(f"unknown size {size!r}; known: {', '.join(cls.SIZES) or 'none, give the dimensions'}")
        return {**cls.SIZES[size], **{key: value for key, value in values.items() if value is not None}}


class Of:
    """Marks a field of `Settings` that holds one or more choices out of the table `kind`."""

    def __init__(self, kind: str, key: str = "type") -> None:
        self.kind = kind
        self.key = key


class Choice(Generic[S]):
    """A thing named in a table, with its validated settings, such as family `cnn` with its layers."""

    __slots__ = ("key", "kind", "name", "settings")

    def __init__(self, kind: str, name: str, settings: S, key: str = "type") -> None:
        self.kind = kind
        self.name = name
        self.settings = settings
        self.key = key

    def as_dict(self) -> dict[str, Any]:
        """Return the choice as a spec writes it: `{"type": name, **settings}`."""
        return {self.key: self.name, **self.settings.model_dump(mode="json")}

    def with_settings(self, **changes: Any) -> Choice[S]:
        """Return the same choice with some settings replaced (validated again)."""
        values = {**{name: getattr(self.settings, name) for name in type(self.settings).model_fields}, **changes}
        return Choice(self.kind, self.name, type(self.settings).model_validate(values), self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and self.as_dict() == other.as_dict() and self.kind == other.kind

    def __hash__(self) -> int:
        return hash((self.kind, self.name))

    def __repr__(self) -> str:
        return f"Choice({self.kind}={self.name!r}, {self.settings!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(lambda choice: choice.as_dict())
        )
