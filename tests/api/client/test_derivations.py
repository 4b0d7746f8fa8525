"""What the client sends for a derivation, beside the schema that is served."""

import pytest
from graphql import coerce_input_value

from api.client.dataset_versions import Derivation, Lines
from api.client.uploads import Upload
from tests.api.client.test_documents import SCHEMA
from training.data.doctor.checks import Code, Strategy

UPLOAD = Upload(id="upload_x", name="f", size_bytes=1, received_bytes=1, sha256=None, url="/x")


@pytest.mark.parametrize(
    ("add", "sent"),
    [
        (None, None),
        ((), None),
        (({"text": "It rains."},), {"records": [{"text": "It rains."}]}),
        (UPLOAD, {"uploadId": "upload_x"}),
        ("dataset_x", {"datasetId": "dataset_x"}),
    ],
)
def test_a_derivation_fits_the_input_of_the_schema(add: object, sent: object) -> None:
    wanted = Derivation.model_validate(
        {
            "remove": (Lines(first=1, last=2),),
            "strategies": {Code.NOT_NFC: Strategy.DROP, Code.DUPLICATE: Strategy.ERROR},
            "add": add,
        }
    )
    given = coerce_input_value(wanted.as_input("dataset_p"), SCHEMA.get_type("DeriveDatasetInput"))
    assert given["add"] == sent
    assert given["remove"] == {
        "lines": [{"first": 1, "last": 2}],
        "strategies": [
            {"finding": "NOT_NFC", "strategy": "DROP"},
            {"finding": "DUPLICATE", "strategy": "ERROR"},
        ],
        "duplicates": False,
        "tokenExaminationId": None,
    }
