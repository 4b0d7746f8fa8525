"""What an export can be, as GraphQL enums with every value described."""

from schema.enums import describe
from training.export.spec import ExportFormat, MergeBase, WeightType

__all__ = ["ExportFormat", "MergeBase", "WeightType"]

describe(
    ExportFormat,
    "A file format that a model version can be exported in.",
    {
        "SAFETENSORS": "A Hugging Face folder with safetensors weights.",
        "PYTORCH": "A state_dict that torch.load reads with weights_only, its configuration beside it.",
        "ONNX": "A graph in fp32 with a cache of keys and values, for onnxruntime.",
        "GGUF": "One file for llama.cpp and what is built on it, with a Modelfile for Ollama.",
    },
)
describe(
    MergeBase,
    "What an adapter is merged into that QLORA trained beside a base in 4 bits.",
    {
        "QUANTISED": "The values that the 4 bits stand for: the model as it was trained.",
        "ORIGINAL": "The weights that the 4 bits were made of: another model than was trained, though near "
        "it.",
    },
)
describe(
    WeightType,
    "What an export can store weights in, where that is not left to its format.",
    {
        "INT8": "8 bits for each weight of a linear layer and 32 for each block of 32, the rest in fp32.",
        "F32": "GGUF: 32-bit floats.",
        "BF16": "GGUF: 16-bit floats of 8 significant bits, for any size of number.",
        "F16": "GGUF: 16-bit floats of 11 significant bits, for numbers up to 65504.",
        "Q8_0": "GGUF: 8.5 bits per weight, in blocks of 32.",
        "Q6_K": "GGUF: 6.6 bits per weight, in blocks of 256.",
        "Q5_K_M": "GGUF: some 5.7 bits per weight; more for what suffers most.",
        "Q4_K_M": "GGUF: some 4.9 bits per weight; more for what suffers most.",
        "Q4_0": "GGUF: some 4.6 bits per weight, in blocks of 32; the coarsest.",
    },
)
