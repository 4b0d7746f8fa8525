"""What all answers of the API have in common."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

__all__ = ["Record"]


class Record(BaseModel):
    """An immutable answer; what a newer server says beyond it is passed over."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)
