"""Every operator of the evaluator against the ONNX backend node tests.

The `onnx` package generates the tests; llmc-evaluate runs and compares them. Tests of operators or element types that the
evaluator does not have are skipped and counted; the floor of passing tests keeps the coverage from shrinking unseen.
"""
import collections
import os
import subprocess

import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

EVALUATE = os.path.join(os.environ.get("LLMC_BUILD", "build"), "bin", "llmc-evaluate")

FEWEST_PASSING = 1100


def write_tensor(value, path):
    if not isinstance(value, onnx.TensorProto):
        value = numpy_helper.from_array(value)
    with open(path, "wb") as file:
        file.write(value.SerializeToString())


def generate(folder):
    """Writes each node test that has only tensors as a folder in the backend layout; returns the folders."""
    from onnx.backend.test.case.node import collect_testcases
    folders = []
    for case in collect_testcases(None):
        model = case.model
        values = list(model.graph.input) + list(model.graph.output)
        if not all(v.type.HasField("tensor_type") for v in values) or not case.data_sets:
            continue
        inputs, outputs = case.data_sets[0]
        target = os.path.join(folder, case.name)
        data = os.path.join(target, "test_data_set_0")
        os.makedirs(data)
        onnx.save(model, os.path.join(target, "model.onnx"))
        try:
            for i, value in enumerate(inputs):
                write_tensor(value, os.path.join(data, f"input_{i}.pb"))
            for i, value in enumerate(outputs):
                write_tensor(value, os.path.join(data, f"output_{i}.pb"))
        except (TypeError, ValueError, KeyError):
            continue
        folders.append(target)
    return folders


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    folders = generate(str(tmp_path_factory.mktemp("node")))
    done = subprocess.run([EVALUATE, "--node-tests"], input="\n".join(folders) + "\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t", 1) for line in done.stdout.splitlines()]
    assert len(rows) == len(folders)
    return {os.path.basename(folder): verdict for folder, verdict in rows}


def test_operators_agree_with_the_node_tests(verdicts):
    failed = {name: v for name, v in verdicts.items() if v.startswith("fail")}
    counts = collections.Counter(v.split()[0] for v in verdicts.values())
    print(dict(counts))
    assert not failed, "\n".join(f"{name}: {v}" for name, v in sorted(failed.items()))
    assert counts["ok"] >= FEWEST_PASSING, dict(counts)
