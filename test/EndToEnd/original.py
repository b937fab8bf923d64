"""What the original says: ONNX Runtime without its optimizer, fed as a decoder or an encoder."""
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

NUMPY = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64,
         TensorProto.INT64: np.int64, TensorProto.INT32: np.int32, TensorProto.BOOL: np.bool_}
TOLERANCE = {TensorProto.FLOAT: 1e-4, TensorProto.DOUBLE: 1e-4, TensorProto.FLOAT16: 5e-3, TensorProto.BFLOAT16: 3e-2}


def widened(path):
    """The model with every bf16 as f32, its values the same: ONNX Runtime has no bf16 on this processor."""
    model = onnx.load(path)

    def visit(graph):
        for tensor in graph.initializer:
            if tensor.data_type == TensorProto.BFLOAT16:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
        for value in [*graph.input, *graph.output, *graph.value_info]:
            if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.BFLOAT16:
                    attribute.i = TensorProto.FLOAT
                if attribute.HasField("t") and attribute.t.data_type == TensorProto.BFLOAT16:
                    wide = numpy_helper.to_array(attribute.t).astype(np.float32)
                    attribute.t.CopyFrom(numpy_helper.from_array(wide, attribute.t.name))
                if attribute.HasField("g"):
                    visit(attribute.g)
    visit(model.graph)
    return model.SerializeToString()


class Original:
    def __init__(self, path):
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        model = onnx.load(path, load_external_data=False)
        self.inputs = [(i.name, i.type.tensor_type.elem_type,
                        [d.dim_value or None for d in i.type.tensor_type.shape.dim]) for i in model.graph.input]
        self.outputs = [o.name for o in model.graph.output]
        self.tables = [(t.name, t.dims) for t in model.graph.initializer]
        branches = [a.g for node in model.graph.node for a in node.attribute if a.HasField("g")]
        self.tables += [(t.name, t.dims) for g in branches for t in g.initializer]
        self.tables += [(node.output[0], a.t.dims) for g in branches for node in g.node for a in node.attribute if a.HasField("t")]
        types = {t.data_type for t in model.graph.initializer}
        types |= {i[1] for i in self.inputs} | {o.type.tensor_type.elem_type for o in model.graph.output}
        self.type = next(t for t in (TensorProto.BFLOAT16, TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE)
                         if t in types)
        self.tolerance = TOLERANCE[self.type]
        source = widened(path) if self.type == TensorProto.BFLOAT16 else str(path)
        self.session = ort.InferenceSession(source, options, ["CPUExecutionProvider"])

    def past(self):
        """The inputs that are caches: [batch, heads, past, size]."""
        return [name for name, _, dims in self.inputs if len(dims) == 4]

    def feed(self, ids, mask=None, past=None, positions=None):
        """Feeds by what the names of exporters say; a mask of ones and positions from 0 on where not given."""
        batch, length = ids.shape
        before = 0 if past is None else next(iter(past.values())).shape[2]
        feeds, sizes = {}, {name: dims for name, _, dims in self.inputs}
        for name, kind, dims in self.inputs:
            dtype = NUMPY.get(kind, np.float32)
            if len(dims) == 4:
                shape = (batch, dims[1], 0, dims[3] or self.head_size())
                feeds[name] = past[name] if past else np.zeros(shape, dtype)
            elif "mask" in name:
                feeds[name] = (np.ones((batch, before + length)) if mask is None else mask).astype(dtype)
            elif "position" in name and len(dims) == 2:
                row = np.arange(before, before + length) if positions is None else positions
                feeds[name] = np.broadcast_to(row, ids.shape).astype(dtype)
            elif "position" in name:
                feeds[name] = np.arange(before, before + length).astype(dtype)
            elif "token_type" in name:
                feeds[name] = np.zeros_like(ids, dtype)
            elif kind == TensorProto.BOOL:
                feeds[name] = np.ones([d or 1 for d in dims], dtype)
            else:
                feeds[name] = ids.astype(dtype)
        return feeds

    def head_size(self):
        """GenAI leaves the size of a head open; its rotation tables have a column for two features."""
        return 2 * next(dims[1] for name, dims in self.tables if "cos" in name and len(dims) == 2)

    def run(self, ids, wanted=None, **how):
        return self.session.run([wanted] if wanted else None, self.feed(ids, **how))

    def longest(self, wanted):
        """A length that the graph takes: its own where it is fixed, else `wanted`."""
        pasts = [dims[2] for _, _, dims in self.inputs if len(dims) == 4 and dims[2]]
        lengths = [dims[1] for name, _, dims in self.inputs if name == "input_ids" and dims[1]]
        if pasts:
            return 2 * pasts[0]
        if lengths:
            return lengths[0]
        return wanted

    def logits_of(self, ids):
        """Logits [n, vocabulary] of a decoder for one sequence."""
        lengths = [dims[1] for name, _, dims in self.inputs if name == "input_ids"]
        fixed = [dims for name, _, dims in self.inputs if len(dims) == 4 and dims[2]]
        name = "logits" if "logits" in self.outputs else self.outputs[0]
        if fixed:
            return self.fixed_logits(ids, name, fixed[0])
        if lengths and lengths[0] and lengths[0] < len(ids):
            return self.run(np.array([ids[:lengths[0]]]), name)[0][0]
        return self.run(np.array([ids]), name)[0][0]

    def stepped_logits(self, ids, prefill):
        """As logits_of, but `prefill` ids in one call and each of the others in one of its own behind the cache."""
        rows, past = [], None
        for begin, end in [(0, prefill), *((i, i + 1) for i in range(prefill, len(ids)))]:
            outputs = dict(zip(self.outputs, self.run(np.array([ids[begin:end]]), past=past)))
            past = {name: outputs[name.replace("past_key_values", "present")] for name in self.past()}
            rows.append(outputs["logits"][0])
        return np.concatenate(rows)

    def fixed_logits(self, ids, name, shape):
        """A graph of fixed sizes, twice: behind a past that the mask hides, then behind what the first run left."""
        batch, _, past, _ = shape
        zeros = {n: np.zeros(d, NUMPY[t]) for n, t, d in self.inputs if len(d) == 4}
        first, second = np.array([ids[:past]] * batch), np.array([ids[past:2 * past]] * batch)
        hidden = np.concatenate([np.zeros((batch, past)), np.ones((batch, past))], 1)
        outputs = dict(zip(self.outputs, self.run(first, mask=hidden, past=zeros, positions=np.arange(past))))
        kept = {n: outputs[n.replace("past_key_values", "present")][:, :, past:] for n in zeros}
        behind = self.run(second, name, past=kept)[0]
        return np.concatenate([outputs[name][0], behind[0]])
