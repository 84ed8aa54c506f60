"""What every section of the configuration is made of.

Rule: a section is frozen, strict, and refuses a key that it does not know.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=0, le=65535)]
OptionalPort = Annotated[int | None, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
_REFERENCE: Final = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"
SecretReference = Annotated[str, Field(pattern=_REFERENCE)]
OptionalSecretReference = Annotated[str | None, Field(pattern=_REFERENCE)]


class Section(BaseModel):
    """One mapping of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
