"""What an export can be, as GraphQL enums with every value described."""

from schema.enums import describe
from training.export.spec import ExportFormat, WeightType

__all__ = ["ExportFormat", "WeightType"]

describe(
    ExportFormat,
    "A file format that a model version can be exported in.",
    {
        "SAFETENSORS": "A Hugging Face folder with safetensors weights.",
        "PYTORCH": "A state_dict that torch.load reads with weights_only, its configuration beside it.",
        "ONNX": "A graph in fp32 with a cache of keys and values, for onnxruntime.",
    },
)
describe(
    WeightType,
    "What an export can store weights in, where that is not left to its format.",
    {
        "INT8": "8 bits for each weight of a linear layer and 32 for each block of 32, the rest in fp32.",
    },
)
