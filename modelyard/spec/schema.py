"""The JSON schema of a spec, for editors that complete and check YAML as it is written."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from modelyard.core.registry import table
from modelyard.spec.parse import choice_container, choice_mark, settings_class
from modelyard.spec.settings import Of, Settings
from modelyard.spec.spec import Spec

__all__ = ["schema"]


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a spec: every setting of every table entry, described."""
    definitions: dict[str, Any] = {}
    root = _object(Spec, definitions)
    data = root["properties"]["data"]["properties"]
    data["format"] = {"enum": [*sorted(table("source")), None], "description": data["format"]["description"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "modelyard spec",
        **root,
        "$defs": definitions,
    }


def _object(kind: type[Settings], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a settings class; choices refer to `definitions`, which this fills."""
    plain = kind.model_json_schema(mode="validation") if not _has_choices(kind) else _without_choices(kind)
    for name, inner in plain.pop("$defs", {}).items():
        definitions.setdefault(name, inner)
    properties = plain.setdefault("properties", {})
    for name, field in kind.model_fields.items():
        mark, nested = choice_mark(field), settings_class(field)
        if mark is not None:
            properties[name] = _described(_choices(mark, field, definitions), field)
        elif nested is not None and _has_choices(nested):
            properties[name] = _described(_object(nested, definitions), field)
    plain.pop("title", None)
    # Settings that depend on a size may be left out whatever their own default.
    return {**plain, "type": "object", "additionalProperties": False}


def _choices(mark: Of, field: FieldInfo, definitions: dict[str, Any]) -> dict[str, Any]:
    key = f"{mark.kind}_choice"
    if key not in definitions:
        definitions[key] = {}
        names = sorted(table(mark.kind))
        options: list[dict[str, Any]] = [{"type": "string", "enum": names}]
        for name in names:
            inner = _object(table(mark.kind).find(name).Settings, definitions)
            inner["properties"] = {mark.key: {"const": name}, **inner.get("properties", {})}
            inner["required"] = [mark.key, *inner.get("required", [])]
            options.append(inner)
        definitions[key] = {"anyOf": options}
    one = {"$ref": f"#/$defs/{key}"}
    shape = choice_container(field.annotation)
    if shape is dict:
        return {
            "anyOf": [
                {"type": "object", "additionalProperties": {"anyOf": [one, {"type": "null"}]}},
                {"type": "array", "items": {"type": "string"}},
                {"type": "null"},
            ]
        }
    if shape is list:
        return {"type": "array", "items": one}
    return {"anyOf": [one, {"type": "null"}]}


def _without_choices(kind: type[Settings]) -> dict[str, Any]:
    """Return the schema of a class's ordinary fields; pydantic cannot describe choices, which are ours."""
    properties: dict[str, Any] = {}
    required = []
    definitions: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        nested = settings_class(field)
        if field.is_required():
            required.append(name)
        if choice_mark(field) is not None or (nested is not None and _has_choices(nested)):
            continue
        from_pydantic = _field_schema(field)
        definitions.update(from_pydantic.pop("$defs", {}))
        properties[name] = _described(from_pydantic, field)
    schema: dict[str, Any] = {"properties": properties, "$defs": definitions}
    return {**schema, "required": required} if required else schema


def _field_schema(field: FieldInfo) -> dict[str, Any]:
    from_pydantic: dict[str, Any] = TypeAdapter[Any](
        Annotated[field.annotation, field]  # type: ignore[arg-type]
    ).json_schema()
    if not field.is_required() and not field.default_factory_takes_validated_data:
        default = field.get_default(call_default_factory=True)
        if default is None or isinstance(default, str | int | float | bool | list | dict):
            from_pydantic["default"] = default
    return from_pydantic


def _has_choices(kind: type[Settings]) -> bool:
    return any(
        choice_mark(field) is not None or ((nested := settings_class(field)) is not None and _has_choices(nested))
        for field in kind.model_fields.values()
    )


def _described(inner: dict[str, Any], field: FieldInfo) -> dict[str, Any]:
    return {**inner, "description": field.description} if field.description else inner
