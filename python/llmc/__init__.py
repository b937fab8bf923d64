"""llmc: import, compress, compile and run transformers as native code.

Pure standard library. Everything is done by the tools (`llmc-import`, `llmc-opt`, `llmc-compile`), which are called as
programs, and by the compiled model itself, which `Model` calls through its C interface.

    llmc.import_onnx("model.onnx", "model.mlirbc")
    llmc.compress("model.mlirbc", ["awq-quantize"], calibration="calib.npy", out="small.mlirbc")
    llmc.compile("small.mlirbc", "build/small", target="x86_64-linux-gnu", cpu="native")
    llmc.Model("build/small").generate([1, 42, 7], 64)
"""

from .errors import Error, ToolError
from .model import Model
from .tools import compile, compress, find_tool, host_target, import_onnx

__version__ = "0.1.0"
__all__ = [
    "Error", "Model", "ToolError", "compile", "compress", "find_tool", "host_target", "import_onnx"
]
