"""What records can be found to be, and what can be done with them, as enums."""

from schema.enums import describe
from training.data.doctor.checks import CHECKS, Code, Strategy

__all__ = ["Code", "Strategy"]

describe(
    Code,
    "What records of a dataset, or the tokens they become, were found to be.",
    {code.name: f"{check.message}." for code, check in CHECKS.items()},
    name="DataFindingCode",
)
describe(
    Strategy,
    "What may be done with the records of a finding; without one they are kept, and reported.",
    {
        "ERROR": "The data is refused.",
        "DROP": "They are left out, counted, with their lines.",
        "TRUNCATE": "They are cut at the end to fit.",
    },
    name="DataStrategy",
)
