"""What is known of a base model once its files were inspected."""

from training.config import Frozen
from training.templates.named import NamedTemplate


class Linear(Frozen):
    """A linear layer that every decoder layer has."""

    name: str
    """Within the decoder layer, such as `self_attn.q_proj`."""
    inputs: int
    outputs: int
    biased: bool


class ModelShape(Frozen):
    """The sizes that a run's memory follows from."""

    model_type: str
    """As the configuration names it, such as `llama`."""
    hidden_size: int
    intermediate_size: int
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary_size: int
    head_is_tied: bool
    """Whether the output head is the token embeddings."""
    embedding_parameters: int
    """Of the token embeddings alone."""
    layer_parameters: int
    """All those of one decoder layer."""
    linears: tuple[Linear, ...]
    activation: str
    """Of the feed-forward part, such as `silu`."""
    attention_dropout: float
    squashes_logits: bool = False
    """Whether logits go through a tanh that bounds them."""

    @property
    def head_parameters(self) -> int:
        """Of the output head, where it is not the token embeddings."""
        return 0 if self.head_is_tied else self.vocabulary_size * self.hidden_size


class TokenizerFacts(Frozen):
    """How much of a text makes a token, measured on a text that is always the same."""

    bytes_per_token: float
    """Of text in UTF-8: some 4 in the languages that the tokenizer was made for."""
    tokens_per_message: float
    """What the chat template adds for each message, or 0 without one."""


class ModelFacts(Frozen):
    """A model that can be loaded, described from its files without reading a weight's values."""

    architecture: str
    """The Hugging Face class, such as `LlamaForCausalLM`."""
    parameter_count: int
    """Distinct parameters: a tied output head counts once."""
    layer_count: int | None = None
    """Decoder layers, where they can be found."""
    fused_experts: bool | None = None
    """Whether each layer holds the experts of a mixture in one parameter; None for a model
    inspected before this was noted."""
    linear_parameters: int | None = None
    """Weights of the decoder's linear layers, which are all that 4 bits make smaller."""
    shape: ModelShape | None = None
    """None for an architecture that is not known, and for a model inspected before this was noted."""
    tokenizer: TokenizerFacts | None = None
    """None for a model inspected before this was noted."""
    context_length: int | None
    """The longest input in tokens, where the configuration names one."""
    licence: str | None
    has_chat_template: bool
    chat_templates: tuple[NamedTemplate, ...] | None = None
    """Those templates that can be chosen by name whose end of a turn is one token of the tokenizer;
    None for a model inspected before this was noted."""
    stop_tokens: tuple[str, ...] | None = None
    """The tokens at which generation stops; None for a model inspected before this was noted."""
    dtype: str
    """The element type most weights are stored in, such as `bfloat16`."""
    size_bytes: int
    """Of the weight files."""
    sha256: str
    """Of the configuration and the headers of the weight files: cheap, and enough to tell that a
    folder was exchanged for a model of another shape."""
    content_sha256: str | None = None
    """Of the names and checksums of the configuration, the tokenizer's files and the weight files: what a
    run started from, to the bit. None for a model inspected before this was noted."""
