"""The base of every configuration: frozen, and strict about keys."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Frozen settings of one thing. An unknown key is an error; every field has a type and most a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)
