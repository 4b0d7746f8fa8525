"""A mixture whose router transformers keeps in fp32."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, Ernie4_5_MoeConfig, PreTrainedModel

from tests.training.engine.models import VOCABULARY

ROUTER = "model.layers.1.mlp.gate.weight"
BIAS = "model.layers.1.mlp.gate.moe_statics.e_score_correction_bias"


def make_mixture(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Ernie4_5_MoeConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        moe_intermediate_size=32,
        moe_num_experts=4,
        moe_k=2,
        moe_layer_start_index=1,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def load(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
