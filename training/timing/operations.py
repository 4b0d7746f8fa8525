"""The floating-point operations of a run, from the model's shape, the config and the data's sizes.

Only useful ones count. For one token, P being the weights of all linear layers but the head, A those of
the adapters, V the vocabulary, H the hidden size and t the share of layers that are trained:

                        adapters        all or some layers
    forward             2P + 2A         2P
    gradient of inputs  2P + 2A         2P t
    gradient of weights      2A         2P t
    head, at a label    2VH + 2VH       2VH + 2VH, and 2VH more where the head is trained

Attention over a row of n tokens takes 2n²D in each layer forward, D being the width of all its query
heads, of which a causal mask needs half; its gradient takes twice that.
"""

from dataclasses import dataclass

from training.config import TrainingConfig, TrainingType
from training.methods.targets import adapted_layers
from training.models.facts import ModelFacts, ModelShape
from training.steps.expected import ExpectedRows


@dataclass(frozen=True)
class Operations:
    """Of an average row: to train on it, and to score it."""

    training: float
    scoring: float


def operations(facts: ModelFacts, config: TrainingConfig, rows: ExpectedRows) -> Operations:
    """What a row takes. Of a model whose shape is not known, attention and head are left out."""
    layers, shape = facts.layer_count, facts.shape
    if shape is None or layers is None:
        return _by_parameters(facts, config, rows)
    weights = float(sum(each.inputs * each.outputs for each in shape.linears) * layers)
    adapters = _adapters(shape, config, layers) if config.adapts else 0.0
    share = _trained_layers(config, layers) / layers
    labels = rows.mean * (1.0 if rows.trained_share is None else rows.trained_share)
    head = 2.0 * shape.vocabulary_size * shape.hidden_size * labels
    squares = rows.mean**2 + rows.deviation**2
    attention = 2.0 * layers * shape.heads * shape.head_size * squares
    forward = 2 * (weights + adapters) * rows.mean + attention + head
    if config.adapts:
        backward = (2 * weights + 4 * adapters) * rows.mean + 2 * attention + head
    else:
        passed = _passed_layers(config, layers) / layers
        backward = 2 * (passed + share) * weights * rows.mean + 2 * passed * attention + head
        backward += head if _trains_head(config) else 0.0
    return Operations(training=forward + backward, scoring=forward)


def _by_parameters(facts: ModelFacts, config: TrainingConfig, rows: ExpectedRows) -> Operations:
    weights = float(facts.linear_parameters or facts.parameter_count)
    forward = 2 * weights * rows.mean
    times = 3 if config.training_type is TrainingType.FULL else 2
    return Operations(training=times * forward, scoring=forward)


def _adapters(shape: ModelShape, config: TrainingConfig, layers: int) -> float:
    return config.lora_rank * float(
        sum(
            (each.inputs + each.outputs) * adapted_layers(each.name, config.target_modules, layers)
            for each in shape.linears
        )
    )


def _trained_layers(config: TrainingConfig, layers: int) -> int:
    """Those whose weights get a gradient."""
    if config.training_type is TrainingType.FREEZE:
        return min(layers, config.trainable_layers)
    return layers


def _passed_layers(config: TrainingConfig, layers: int) -> int:
    """Those that a gradient passes."""
    return layers if _trains_head(config) else _trained_layers(config, layers)


def _trains_head(config: TrainingConfig) -> bool:
    """Whether embeddings and head are trained too."""
    return config.training_type is TrainingType.FULL or (
        config.training_type is TrainingType.FREEZE and config.train_embeddings
    )
