"""The parts of a causal language model, found in any architecture by what they are."""

from torch.nn import Linear, Module, ModuleList
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D


def decoder_layers(model: PreTrainedModel) -> ModuleList:
    """The stack of decoder layers, first to last: the list of modules that holds most weights.

    The longest list would be wrong where each layer has a long list of experts. Empty where the
    model has no such list.
    """
    lists = [each for each in model.modules() if isinstance(each, ModuleList)]
    return max(lists, key=_size, default=ModuleList())


def head_and_embeddings(model: PreTrainedModel) -> list[Module]:
    """The token embeddings and the output head; tied or not, both are named."""
    found = (model.get_input_embeddings(), model.get_output_embeddings())  # type: ignore[no-untyped-call]
    return [each for each in found if isinstance(each, Module)]


def linear_layers(model: PreTrainedModel) -> dict[str, Linear | Conv1D]:
    """Every linear layer but the output head, by name; in 4 bits or not."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return {
        name: each
        for name, each in model.named_modules()
        if isinstance(each, Linear | Conv1D) and each is not head
    }


def linear_parameters(model: PreTrainedModel) -> int:
    """Weights of the linear layers without the output head."""
    return sum(each.weight.numel() for each in linear_layers(model).values())


def has_fused_experts(model: PreTrainedModel) -> bool:
    """Whether the experts of a mixture are held in one parameter, and so are no linear layers."""
    return any(each.ndim == 3 and "experts" in name for name, each in model.named_parameters())


def inputs_first(module: Module) -> bool:
    """Whether a linear layer holds its weight as (inputs, outputs), as GPT-2 does."""
    return isinstance(module, Conv1D) or getattr(module, "source_cls", None) is Conv1D


def _size(module: Module) -> int:
    return sum(each.numel() for each in module.parameters())
