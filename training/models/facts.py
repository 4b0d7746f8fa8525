"""What is known of a base model once its files were inspected."""

from training.config import Frozen


class ModelFacts(Frozen):
    """A model that can be loaded, described from its files without reading a weight's values."""

    architecture: str
    """The Hugging Face class, such as `LlamaForCausalLM`."""
    parameter_count: int
    """Distinct parameters: a tied output head counts once."""
    layer_count: int | None = None
    """Decoder layers, where they can be found."""
    linear_parameters: int | None = None
    """Weights of the decoder's linear layers, which are all that 4 bits make smaller."""
    context_length: int | None
    """The longest input in tokens, where the configuration names one."""
    licence: str | None
    has_chat_template: bool
    dtype: str
    """The element type most weights are stored in, such as `bfloat16`."""
    size_bytes: int
    """Of the weight files."""
    sha256: str
    """Of the configuration and the headers of the weight files: cheap, and enough to tell that a
    folder was exchanged for a model of another shape."""
