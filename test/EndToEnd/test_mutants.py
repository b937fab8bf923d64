"""One change to an export: it is imported as what it is now (ONNX Runtime's values, past the length where it tells too), or refused.

Forty mutants of the exports of this repository; all two hundred, of shared ones too, with LLMC_MUTANTS=200. The same by hand:
python3 python/mutants/make_mutants.py --count=200 --out=build/mutants --run
"""
import collections
import os
import sys

import pytest

from whole_way import HOST, SOURCE

sys.path.insert(0, str(SOURCE / "python" / "mutants"))
import exports  # noqa: E402
import make_mutants  # noqa: E402

COUNT = int(os.environ.get("LLMC_MUTANTS") or 40)
PARTS = 10
CPU = HOST[1].removeprefix("--cpu=")


@pytest.fixture(scope="module")
def mutants():
    """All mutants, made once: kinds in turn, so that a few already span kinds and exports."""
    return list(make_mutants.make(COUNT, shared=COUNT > 40, far=COUNT > 40))


def test_they_span_kinds_and_exports(mutants):
    kinds = collections.Counter(mutant.kind for mutant in mutants)
    assert len(mutants) == COUNT and len({mutant.export.name for mutant in mutants}) >= 10
    assert len(kinds) >= min(COUNT, 60) * 0.8 and max(kinds.values()) <= max(2, COUNT / 20)
    assert sum(mutant.length > 40 for mutant in mutants) >= COUNT / 8, "too few tell only far out"


def test_one_export_is_right_as_it_stands(tmp_path):
    """The export made here, unchanged: what ONNX Runtime says. So a refusal of its mutants is about the change."""
    export = exports.Export("llama-genai")
    mutant = make_mutants.Mutant("llama-genai", export, "none", "nothing", 60, export.copy())
    assert make_mutants.outcome(mutant, tmp_path, cpu=CPU)[0] == "right"


@pytest.mark.parametrize("part", range(PARTS))
def test_right_or_refused(mutants, tmp_path, part):
    found = []
    for mutant in mutants[part::PARTS]:
        verdict, detail = make_mutants.outcome(mutant, tmp_path, cpu=CPU)
        if verdict not in ("right", "refused"):
            found.append(f"{mutant.name} ({mutant.change}): {verdict}, {detail}")
    assert not found, "\n".join(found)


def test_a_wrong_answer_is_seen(tmp_path):
    """The comparison can fail: an import held against ONNX Runtime's answer to another graph is called wrong."""
    export = exports.Export("llama-genai")
    other = export.copy()
    for tensor in other.graph.initializer:
        if tensor.name == "lm_head.MatMul.weight":
            tensor.raw_data = tensor.raw_data[4:] + tensor.raw_data[:4]
    session = export.session(other)
    export.session = lambda model: session
    mutant = make_mutants.Mutant("other", export, "none", "nothing", 24, export.copy())
    assert make_mutants.outcome(mutant, tmp_path, cpu=CPU)[0] == "wrong"
