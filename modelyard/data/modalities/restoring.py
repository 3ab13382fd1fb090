"""States come out of files that a stranger could have written: their shape is checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from modelyard.core.errors import BundleError

__all__ = ["Checked", "Written", "checked", "require_state"]


def _encodable(text: str) -> str:
    text.encode()  # half a surrogate pair is legal in JSON, and no text; the error it raises is a ValueError
    return text


Written = Annotated[str, AfterValidator(_encodable)]
"""Text that can be stored as UTF-8."""


class Checked(BaseModel):
    """Base of the shapes a state may have: exact JSON types, finite numbers, no other keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())


C = TypeVar("C", bound=Checked)


def checked(shape: type[C], value: Mapping[str, Any], column: str) -> C:
    """Return a JSON value as `shape`.

    Raises:
        BundleError: It has another shape; names the first place that does not fit.
    """
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"the stored state of column {column!r} cannot be used: {place}: {first['msg']}") from error


def require_state(holds: bool, column: str, message: str) -> None:
    """Refuse a state that does not hold together.

    Raises:
        BundleError: `holds` is false.
    """
    if not holds:
        raise BundleError(f"the stored state of column {column!r} cannot be used: {message}")
