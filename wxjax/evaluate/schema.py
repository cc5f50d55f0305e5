"""JSON Schemas of what an evaluation or a restoration leaves behind, checked on writing."""

import functools
import json
import math
from collections.abc import Iterator
from importlib import resources

import jsonschema

from wxjax import errors

KINDS = ("row", "summary", "record")


@functools.cache
def schema(kind: str) -> dict:
    """The JSON Schema (draft 2020-12) of a row of `per_image.jsonl`, of `summary.json`,
    or of the record written beside a restored photograph.

    Raises:
      InputError: for a kind that is not one of `KINDS`.
    """
    if kind not in KINDS:
        raise errors.unknown("schema", kind, KINDS)
    text = resources.files("wxjax.evaluate").joinpath(f"schemas/{kind}.json").read_text("utf-8")
    return json.loads(text)


def validate(kind: str, value: object) -> None:
    """Returns if `value` is a legal `kind`.

    Raises:
      InputError: naming the path of the first wrong field, its value and the rule.
    """
    for path, number in _numbers(kind, value):
        if not math.isfinite(number):
            raise errors.bad(path, number, "expected a finite number, or null where there is none")
    validator = _validator(kind)
    # best_match prefers the shallowest error; inside it the deepest is the useful one.
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if error is not None:
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
        raise errors.InputError(f"{kind}{path}: {_rule(error)}.")


@functools.cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(kind))


def _rule(error: jsonschema.ValidationError) -> str:
    if error.validator in ("required", "additionalProperties", "minProperties"):
        return error.message
    shown = json.dumps(error.instance, default=str)
    return f"{shown if len(shown) < 80 else shown[:77] + '...'} is wrong, {_expected(error)}"


def _expected(error: jsonschema.ValidationError) -> str:
    rule = error.validator_value
    if error.validator == "enum":
        return f"expected one of {', '.join(map(str, rule))}"
    if error.validator == "type":
        return f"expected {rule if isinstance(rule, str) else ' or '.join(rule)}"
    return f"expected {error.validator} {json.dumps(rule)}"


def _numbers(path: str, value: object) -> Iterator[tuple[str, float]]:
    """Every float in a JSON tree with the path that leads to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(f"{path}.{key}", item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _numbers(f"{path}[{number}]", item)
    elif isinstance(value, float):
        yield path, value
