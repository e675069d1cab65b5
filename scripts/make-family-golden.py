#!/usr/bin/env python3
"""Golden vectors for BERT's relatives: what Hugging Face's transformers compute, in f64, for small models of every family.

The weights are made from the names of their tensors, so the models need not be kept: `models/tests/families.rs` makes the
same. Writes `models/golden/families.json`.

    pip install torch transformers
    scripts/make-family-golden.py
"""

import json
import pathlib

import torch
import transformers

OUT = pathlib.Path(__file__).resolve().parent.parent / "models/golden/families.json"
MASK = (1 << 64) - 1
# The longest is beyond the distance from which MPNet takes all keys for equally far.
LENGTHS = [1, 2, 9, 33, 150]
VOCAB = 90

COMMON = {"vocab_size": VOCAB, "max_position_embeddings": 160}
BERT = COMMON | {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "hidden_act": "gelu",
}
MODELS = {
    "bert": (transformers.BertModel, BERT | {"layer_norm_eps": 1e-12, "type_vocab_size": 2}),
    "roberta": (transformers.RobertaModel, BERT | {"layer_norm_eps": 1e-5, "type_vocab_size": 1, "pad_token_id": 1}),
    "mpnet": (
        transformers.MPNetModel,
        BERT | {"layer_norm_eps": 1e-5, "relative_attention_num_buckets": 32, "pad_token_id": 1},
    ),
    "distilbert": (
        transformers.DistilBertModel,
        COMMON | {"dim": 64, "n_layers": 2, "n_heads": 2, "hidden_dim": 128, "activation": "gelu"},
    ),
}


def seed_of(name: str) -> int:
    """FNV-1a of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & MASK
    return seed


def noise(seed: int, i: int) -> float:
    """From -1 to 1, in steps that f32 holds exactly: splitmix64."""
    z = (seed + (i + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return ((z ^ (z >> 31)) >> 44) / (1 << 19) - 1


def values(name: str, shape: torch.Size) -> torch.Tensor:
    """A power of two times noise; a norm's factors lie around 1."""
    is_norm = "norm" in name.lower()
    scale = 1 if "embeddings.weight" in name or "relative" in name else 1 / 4
    count = shape.numel()
    numbers = [scale * noise(seed_of(name), i) + (1 if is_norm and name.endswith("weight") else 0) for i in range(count)]
    return torch.tensor(numbers, dtype=torch.float64).reshape(shape)


def ids_of(length: int) -> list[int]:
    """No padding among them: RoBERTa would not count its place."""
    return [2 + (i * 37 + length * 11) % (VOCAB - 2) for i in range(length)]


def main() -> None:
    families = {}
    for name, (make, keys) in MODELS.items():
        config = make.config_class(**keys, attn_implementation="eager")
        model = make(config, **({} if name == "distilbert" else {"add_pooling_layer": False})).double().eval()
        with torch.no_grad():
            for tensor, parameter in model.named_parameters():
                parameter.copy_(values(tensor, parameter.shape))
            texts = []
            for length in LENGTHS:
                ids = torch.tensor([ids_of(length)])
                states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
                kept = {"mean": states.mean(0), "first": states[0], "last": states[-1]}
                texts.append({"length": length} | {k: [round(x, 7) for x in v.tolist()] for k, v in kept.items()})
        tensors = {tensor: list(parameter.shape) for tensor, parameter in model.named_parameters()}
        families[name] = {"config": keys | {"model_type": name}, "tensors": tensors, "texts": texts}
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    OUT.write_text(json.dumps({"made_with": versions, "families": families}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
