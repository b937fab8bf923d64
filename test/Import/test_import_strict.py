"""What changes values and is not understood is refused by name, with and without the import check; names of a file stay apart."""
import os
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
IMPORT = os.path.join(os.environ.get("LLMC_BUILD", os.path.join(ROOT, "build")), "bin", "llmc-import")
F32, I64, I32, I8, BOOL, F16 = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.INT8, TensorProto.BOOL,
                                TensorProto.FLOAT16)


def run_import(tmp_path, nodes, *flags, opset=20, outputs=("logits",), **weights):
    rng = np.random.default_rng(0)
    weights = {"embed": (8, 4), "head": (4, 8), **weights}
    tensors = [numpy_helper.from_array(v if isinstance(v, np.ndarray) else rng.standard_normal(v).astype(np.float32), n)
               for n, v in weights.items()]
    ids = helper.make_tensor_value_info("input_ids", I64, ["batch", "sequence"])
    results = [helper.make_tensor_value_info(name, F32, None) for name in outputs]
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph(nodes, "tiny", [ids], results, tensors), opset_imports=imports, ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    out = tmp_path / "out.mlir"
    return subprocess.run([IMPORT, *flags, str(tmp_path / "model.onnx"), "-o", str(out)], capture_output=True, text=True), out


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], name=f"the_{op}_{output}", **attributes)


def chain(*between):
    return [node("Gather", "embed input_ids", "x"), node("MatMul", "x head", "y"), *between]


@pytest.mark.parametrize("flags", [(), ("--no-verify",)], ids=["check", "no-check"])
@pytest.mark.parametrize("to", [I32, I64, I8, BOOL])
def test_casts_that_truncate_data_are_refused(to, flags, tmp_path):
    done, _ = run_import(tmp_path, chain(node("Cast", "y", "whole", to=to), node("Cast", "whole", "logits", to=F32)), *flags)
    assert done.returncode == 2 and "the_Cast_whole" in done.stderr and "is cast to" in done.stderr, done.stderr


def test_castlike_to_integers_is_refused(tmp_path):
    nodes = chain(node("CastLike", "y input_ids", "whole"), node("Cast", "whole", "logits", to=F32))
    done, _ = run_import(tmp_path, nodes, "--no-verify")
    assert done.returncode == 2 and "the_CastLike_whole" in done.stderr and "is cast to i64" in done.stderr, done.stderr


def test_casts_of_ids_and_between_floats_are_passed_over(tmp_path):
    nodes = [node("Cast", "input_ids", "narrow", to=I32), node("Cast", "narrow", "wide", to=I64),
             node("Gather", "embed wide", "x"), node("MatMul", "x head", "y"),
             node("Cast", "y", "same", to=F32), node("Identity", "same", "logits")]
    done, _ = run_import(tmp_path, nodes)
    assert done.returncode == 0, done.stderr


def test_ids_cast_to_a_type_too_small_for_them_are_refused(tmp_path):
    nodes = [node("Cast", "input_ids", "narrow", to=I8), node("Cast", "narrow", "wide", to=I64),
             node("Gather", "embed wide", "x"), node("MatMul", "x head", "logits")]
    done, _ = run_import(tmp_path, nodes, "--no-verify")
    assert done.returncode == 2 and "the_Cast_narrow" in done.stderr, done.stderr


DATA_NODES = {
    "Gather": node("Gather", "embed input_ids", "z"), "MatMul": node("MatMul", "x head", "z"),
    "Add": node("Add", "x x", "z"), "Relu": node("Relu", "x", "z"), "Identity": node("Identity", "x", "z"),
    "LayerNormalization": node("LayerNormalization", "x scale scale", "z"),
    "Concat": node("Concat", "x", "z", axis=-1), "Cast": node("Cast", "x", "z", to=F32),
    "Transpose": node("Transpose", "x", "z", perm=[0, 1, 2]), "Dropout": node("Dropout", "x", "z"),
    "SkipSimplifiedLayerNormalization": helper.make_node("SkipSimplifiedLayerNormalization", ["x", "x", "scale"], ["z"],
                                                         name="the_Skip_z", domain="com.microsoft")}


@pytest.mark.parametrize("op", DATA_NODES)
def test_unknown_attributes_and_inputs_on_data_are_refused(op, tmp_path):
    def attempt(change):
        changed = onnx.NodeProto()
        changed.CopyFrom(DATA_NODES[op])
        change(changed)
        finish = [node("Identity", "z", "logits")] if op == "MatMul" else \
            [node("MatMul", "z head", "logits")]
        first = [node("Gather", "embed input_ids", "x")]
        return run_import(tmp_path, [*first, changed, *finish], "--no-verify", scale=(4,), extra=(1,))[0]

    done = attempt(lambda changed: None)
    assert done.returncode == 0, done.stderr
    done = attempt(lambda changed: changed.attribute.append(helper.make_attribute("made_up", 7)))
    assert done.returncode == 2 and "attribute 'made_up' = 7 is not supported" in done.stderr, done.stderr
    if op != "Concat":
        most = onnx.defs.get_schema(op).max_input if onnx.defs.has(op) else 5
        done = attempt(lambda c: c.input.extend([""] * (most - len(c.input)) + ["extra"]))
        assert done.returncode == 2 and "the_" in done.stderr, done.stderr


def test_softmax_takes_the_default_of_its_opset(tmp_path):
    """Before opset 13 a softmax is over all dimensions from 1 on: no attention."""
    nodes = [node("Gather", "embed input_ids", "x"), node("Transpose", "x", "t", perm=[0, 2, 1]),
             node("MatMul", "x t", "scores"), node("Softmax", "scores", "p"), node("MatMul", "p x", "mixed"),
             node("MatMul", "mixed head", "logits")]
    done, _ = run_import(tmp_path, nodes, "--no-verify", opset=12)
    assert done.returncode == 2 and "the_Softmax_p" in done.stderr, done.stderr


def test_names_of_the_file_do_not_meet_names_of_the_importer(tmp_path):
    """A matrix that is read the other way round, and one that is called as the first was once."""
    shape = np.array([-1, 4])
    nodes = [node("Gather", "embed input_ids", "x"), node("MatMul", "x W", "a"), node("Shape", "a", "before"),
             node("Reshape", "a rows", "flat"),
             helper.make_node("Gemm", ["flat", "W transposed"], ["b"], transB=1),
             helper.make_node("Add", ["b", "b.addend"], ["c"], name="plus"),
             node("Reshape", "c before", "d"), node("MatMul", "d head", "logits")]
    done, out = run_import(tmp_path, nodes, rows=shape, W=(4, 4), **{"W transposed": (4, 4), "b.addend": (4,)})
    assert done.returncode == 0, done.stderr
    assert out.read_text().count('llmc.weight "') == 5


def test_two_vectors_made_on_the_way_stay_two(tmp_path):
    """Scale and bias of one norm, both sums of constants, have no initializer of their own."""
    nodes = [node("Gather", "embed input_ids", "x"), node("Add", "s t", "scale"), node("Sub", "s t", "bias"),
             node("LayerNormalization", "x scale bias", "n"), node("MatMul", "n head", "logits")]
    done, out = run_import(tmp_path, nodes, s=(4,), t=(4,))
    assert done.returncode == 0, done.stderr
    assert out.read_text().count('llmc.weight "') == 4
