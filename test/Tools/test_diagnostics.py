"""What MLIR has to say is printed by the tool's name and the layer's, and as FILE:LINE:COLUMN only where there is such a place."""
import pytest

TEXT = """#file = loc("somewhere.mlir":7:3)
module {{
  func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> attributes {{llmc.role = "run"}} {{
    %w = llmc.weight "w.weight" {{values = dense<[[0.5, 2.0]]> : tensor<1x2xf32>}} : tensor<1x2xf32>
    %y = llmc.linear %x, %w : tensor<?x?x2xf32>, tensor<1x2xf32> loc({location})
    %z = llmc.softmax %y : tensor<?x?x1xf32>
    return %z : tensor<?x?x1xf32>
  }} loc("main")
}} loc({module})
"""
SAYS = 'awq-quantize: weight "w.weight" has no calibration statistics'


@pytest.mark.parametrize("location,begins", [
    ('"model.layers.0.up_proj"', "llmc-opt: error: model.layers.0.up_proj: "),
    ('"up_proj"(#file)', "somewhere.mlir:7:3: error: "),
    ("#file", "somewhere.mlir:7:3: error: "),
    ('fused["q_proj", "k_proj"]', "llmc-opt: error: q_proj: "),
    ('fused<"merged">["q_proj", #file]', "somewhere.mlir:7:3: error: "),
    ('callsite("inner" at "outer")', "llmc-opt: error: inner: "),
    ("unknown", "llmc-opt: error: "),
    ('"model.mlirbc":0:0', "model.mlirbc: error: ")])
@pytest.mark.parametrize("suffix", [".mlir", ".mlirbc"])
def test_locations(tools, tmp_path, location, begins, suffix):
    (tmp_path / "text.mlir").write_text(TEXT.format(location=location, module='"model.onnx"'))
    tools.ok("llmc-opt", "text.mlir", "-o", f"m{suffix}", cwd=tmp_path)
    said = tools.refused(2, "llmc-opt", "--awq-quantize", f"m{suffix}", "-o", "x.mlirbc", cwd=tmp_path)
    assert begins + SAYS in said, said
    assert 'llmc-opt: remark: model.onnx: awq-quantize: 1 weight is selected' in said


def test_a_place_in_the_file_shows_the_line(tools, tmp_path):
    text = TEXT.format(location='"y"', module='"m"').replace("llmc.softmax %y", "llmc.softmax %nothing")
    (tmp_path / "text.mlir").write_text(text)
    for command in (["llmc-opt", "text.mlir"], ["llmc-compile", *tools.target, "text.mlir", "-o", "x"]):
        said = tools.refused(2, *command, cwd=tmp_path)
        assert said.startswith("text.mlir:6:23: error: use of undeclared SSA value name\n    %z = llmc.softmax %nothing"), said


def test_compile(tools, model, tmp_path):
    said = tools.refused(2, "llmc-compile", *tools.target, "--chunk=0", model, "-o", "x", cwd=tmp_path)
    assert "llmc-compile: error: model.onnx: chunk of 0 asked for, expected at least 1\n" in said


def test_bytecode_that_does_not_verify(tools, tmp_path):
    """Bytecode is verified when it is read, before there is any pass."""
    (tmp_path / "bad.mlir").write_text("""func.func @f(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %y = llmc.rope %x {heads = 3 : i64, frequencies = array<f64: 1.0>, layout = #llmc.rope_layout<half>} : tensor<?x4xf32> loc("rope")
  return %y : tensor<?x4xf32>
}
""")
    tools.ok("llmc-opt", "--mlir-very-unsafe-disable-verifier-on-parsing", "--verify-each=0", "bad.mlir", "-o", "bad.mlirbc", cwd=tmp_path)
    for command, name in ((["llmc-opt", "bad.mlirbc"], "llmc-opt"),
                          (["llmc-compile", *tools.target, "bad.mlirbc", "-o", "x"], "llmc-compile")):
        said = tools.refused(2, *command, cwd=tmp_path)
        assert said.startswith(f"{name}: error: rope: 'llmc.rope' op expects heads to divide the row, got 3 and 4\n"), said


def test_verify_diagnostics_still_sees_all(tools, tmp_path):
    """The handler for people does not take diagnostics from the one that compares them."""
    text = TEXT.format(location='"y"', module='"m"').replace("%y = ", "// expected-error @+1 {{has no calibration statistics}}\n    %y = ")
    (tmp_path / "text.mlir").write_text(text.replace(' loc("y")', "").replace(' loc("m")', "").replace(' loc("main")', ""))
    said_by, said = tools("llmc-opt", "--awq-quantize", "--verify-diagnostics", "text.mlir", cwd=tmp_path)
    assert "expected error" not in said and "unexpected remark" in said and said_by == 2
