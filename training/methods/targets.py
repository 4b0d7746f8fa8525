"""Which linear layers get an adapter, by the names that are asked for."""

from collections.abc import Sequence


def adapted_layers(name: str, targets: Sequence[str] | None, layers: int) -> int:
    """In how many of so many decoder layers the linear layer of this name within one gets an adapter.

    A target names it in part (`q_proj`), or in full and then in one layer alone
    (`model.layers.3.self_attn.q_proj`); without targets every linear layer is adapted.
    """
    if targets is None or any(f".{name}".endswith(f".{target}") for target in targets):
        return layers
    return sum(target.endswith(f".{name}") for target in set(targets))
