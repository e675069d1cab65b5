"""The model of a bundle as ONNX models: f32 as an exporter writes it, fused, and quantized in several ways.

Nothing is exported by a framework: the graph of BERT is written node by node, in the shape that PyTorch's exporter
gives it, so that onnxruntime's own optimizer finds what it looks for. `scripts/compare-encoders` checks the vectors
against the golden ones.
"""
import itertools
import json
import logging
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

MASKED = -10000.0  # what BERT's exports add to the scores of padding


class Graph:
    def __init__(self):
        self.nodes, self.initializers, self.numbers = [], {}, itertools.count()

    def constant(self, value, name=None):
        name = name or f"constant_{next(self.numbers)}"
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def __call__(self, kind, *inputs, output=None, **attributes):
        output = output or f"{kind}_{next(self.numbers)}"
        inputs = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"node_{output}", **attributes))
        return output


def bert(weights, config):
    """ids and mask [texts, tokens] (int64) to pooled vectors [texts, width]: mean over the tokens, then L2."""
    prefix = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""
    weights = {name.removeprefix(prefix): value.astype(np.float32) for name, value in weights.items() if value.dtype.kind == "f"}
    heads, width, eps = config["num_attention_heads"], config["hidden_size"], config["layer_norm_eps"]
    size = width // heads
    ints = lambda *values: np.array(values, np.int64)
    g = Graph()

    def linear(x, name):
        kernel = g.constant(weights[f"{name}.weight"].T, f"{name}.weight")
        return g("Add", g("MatMul", x, kernel), g.constant(weights[f"{name}.bias"], f"{name}.bias"))

    def norm(x, name):
        scale, bias = (g.constant(weights[f"{name}.{part}"], f"{name}.{part}") for part in ("weight", "bias"))
        return g("LayerNormalization", x, scale, bias, axis=-1, epsilon=eps)

    def split(x, order):
        return g("Transpose", g("Reshape", x, ints(0, 0, heads, size)), perm=order)

    # All tokens are of type 0, so its row is added to the words once and for all: one lookup less than in an export.
    words = weights["embeddings.word_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    positions = weights["embeddings.position_embeddings.weight"][None]
    tokens = g("Gather", g("Shape", "ids"), ints(1), axis=0)
    positions = g("Slice", positions, ints(0), tokens, ints(1), ints(1))
    x = norm(g("Add", g("Gather", g.constant(words, "words"), "ids"), positions), "embeddings.LayerNorm")
    broad = g("Cast", g("Unsqueeze", g("Unsqueeze", "mask", ints(1)), ints(2)), to=TensorProto.FLOAT)
    masked = g("Mul", g("Sub", np.float32(1), broad), np.float32(MASKED))

    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        query = split(linear(x, f"{layer}.attention.self.query"), [0, 2, 1, 3])
        key = split(linear(x, f"{layer}.attention.self.key"), [0, 2, 3, 1])
        value = split(linear(x, f"{layer}.attention.self.value"), [0, 2, 1, 3])
        scores = g("Div", g("MatMul", query, key), np.float32(size**0.5))
        attended = g("MatMul", g("Softmax", g("Add", scores, masked), axis=-1), value)
        attended = g("Reshape", g("Transpose", attended, perm=[0, 2, 1, 3]), ints(0, 0, width))
        attended = linear(attended, f"{layer}.attention.output.dense")
        x = norm(g("Add", attended, x), f"{layer}.attention.output.LayerNorm")
        up = linear(x, f"{layer}.intermediate.dense")
        erf = g("Add", g("Erf", g("Div", up, np.float32(2**0.5))), np.float32(1))
        down = linear(g("Mul", g("Mul", up, erf), np.float32(0.5)), f"{layer}.output.dense")
        x = norm(g("Add", down, x), f"{layer}.output.LayerNorm")

    kept = g("Cast", g("Unsqueeze", "mask", ints(2)), to=TensorProto.FLOAT)
    total = g("ReduceSum", g("Mul", x, kept), ints(1), keepdims=0)
    # The length of the sum is the length of the mean but for a factor, which normalising removes.
    length = g("ReduceL2", total, axes=[1], keepdims=1)
    g("Div", total, length, output="pooled")
    shape = ["texts", "tokens"]
    graph = helper.make_graph(
        g.nodes, "bert",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("ids", "mask")],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["texts", width])],
        list(g.initializers.values()),
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model)


def fuse(path, config, whole_attention):
    """By onnxruntime's optimizer for BERT; exact operators only, so no tanh for erf.

    The operator for attention holds the products for query, key and value too, or (MultiHeadAttention) does not.
    """
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    options = FusionOptions("bert")
    options.enable_gelu_approximation = False
    options.use_multi_head_attention = not whole_attention
    model = optimizer.optimize_model(
        str(path), model_type="bert", num_heads=config["num_attention_heads"], hidden_size=config["hidden_size"],
        optimization_options=options, opt_level=0, use_gpu=False,
    )  # fmt: skip
    if all(opset.domain != "com.microsoft" for opset in model.model.opset_import):
        model.model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model.model


# Name: graph, further arguments of quantize_dynamic.
def quantizations():
    from onnxruntime.quantization import QuantType

    s8, u8 = dict(weight_type=QuantType.QInt8), dict(weight_type=QuantType.QUInt8)
    channels = dict(weight_type=QuantType.QInt8, per_channel=True)
    matrices = dict(op_types_to_quantize=["MatMul", "Attention"], extra_options={"MatMulConstBOnly": True})
    return {
        "plain s8": ("plain", s8 | matrices),
        "plain u8": ("plain", u8 | matrices),
        "plain s8 per channel": ("plain", channels | matrices),
        "plain s8, all products": ("plain", s8 | dict(op_types_to_quantize=["MatMul"], extra_options={"MatMulConstBOnly": False})),
        "fused s8": ("fused", s8 | matrices),
        "fused u8": ("fused", u8 | matrices),
        "fused s8 per channel": ("fused", channels | matrices),
        "fused s8, attention f32": ("fused", s8 | matrices | dict(op_types_to_quantize=["MatMul"])),
        "fused s8, defaults": ("fused", s8),
        "fused mha s8": ("fused mha", s8 | matrices),
        "fused mha s8 per channel": ("fused mha", channels | matrices),
    }  # fmt: skip


def build(weights, config, folder):
    """Writes every model into `folder`; name of each to (path, whether int8).

    `reduce_range` stays off: it gives up one of the weights' eight bits, for machines without VNNI.
    """
    from onnxruntime.quantization import quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    path = lambda name: folder / f"{name.replace(',', '').replace(' ', '-')}.onnx"
    onnx.save(bert(load_file(weights), config), path("plain"))
    onnx.save(fuse(path("plain"), config, True), path("fused"))
    onnx.save(fuse(path("plain"), config, False), path("fused mha"))
    models = {name: (str(path(name)), False) for name in ("plain", "fused", "fused mha")}
    for name, (graph, arguments) in quantizations().items():
        quantize_dynamic(path(graph), path(name), reduce_range=False, **arguments)
        models[name] = str(path(name)), True
    return models


if __name__ == "__main__":
    bundle, folder = map(Path, sys.argv[1:])
    models = build(bundle / "model.safetensors", json.loads((bundle / "config.json").read_text()), folder)
    (folder / "models.json").write_text(json.dumps(models))
