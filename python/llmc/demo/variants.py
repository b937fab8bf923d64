"""What the demo compares: one entry for each way to compress the model."""

from dataclasses import dataclass

from ..tools import pass_argument


@dataclass(frozen=True)
class Variant:
    """A row of the table. `name` is what it is called, `file` the base name of its artifact, `passes` what llmc-opt runs,
    `calibrated` whether it starts from the model with statistics.
    """
    name: str
    file: str
    passes: tuple
    calibrated: bool = False

    def source(self):
        """Base name of the model that the passes read."""
        return "calibrated" if self.calibrated else "model"

    def command(self):
        """The passes as one would type them, None for the model as imported."""
        if not self.passes:
            return None

        def quoted(argument):
            return '{}="{}"'.format(*argument.split("=", 1)) if " " in argument else argument

        arguments = " ".join(quoted(pass_argument(entry)) for entry in self.passes)
        return f"llmc-opt {arguments} {self.source()}.mlirbc -o {self.file}.mlirbc"


INT4 = {"bits": 4, "group": 32}

VARIANTS = (
    Variant("f16, as imported", "full", ()),
    Variant("rtn int8", "rtn8", (("rtn-quantize", {"bits": 8, "group": 32}),)),
    Variant("rtn int8, i8 inputs", "rtn8_i8", (("rtn-quantize", {"bits": 8, "group": 32, "activations": "i8-token"}),)),
    Variant("rtn int4", "rtn4", (("rtn-quantize", INT4),)),
    Variant("rtn int4, i8 inputs", "rtn4_i8", (("rtn-quantize", {**INT4, "activations": "i8-token"}),)),
    Variant("nf4, groups of 64", "nf4", (("nf4-quantize", {"group": 64}),)),
    Variant("awq int4", "awq4", (("awq-quantize", INT4),), calibrated=True),
    Variant("awq int4, i8 inputs", "awq4_i8", (("awq-quantize", {**INT4, "activations": "i8-token"}),), calibrated=True),
    Variant("awq int4, then 2:4", "awq4_24", (("awq-quantize", INT4), "sparsify-2-4"), calibrated=True),
    Variant("2:4, then awq int4", "s24_awq4", ("sparsify-2-4", ("awq-quantize", INT4)), calibrated=True),
    Variant("magnitude 2:4", "mag24", (("magnitude-prune", {"pattern": "2:4"}),)),
    Variant("wanda 2:4", "wanda24", ("sparsify-2-4",), calibrated=True),
    Variant("magnitude 50 %", "mag50", (("magnitude-prune", {"sparsity": 0.5}),)),
    Variant("svd 75 %, plain", "svd", (("low-rank-decompose", {"ratio": 0.75}),)),
    Variant("svd 75 %, whitened", "svd_white", (("low-rank-decompose", {"ratio": 0.75}),), calibrated=True),
    Variant("ternary", "ternary", ("ternarize",)),
    Variant("i8 cache", "cache8", (("cache-quantize", {"type": "i8"}),)),
    Variant("i8 cache, i8 attn.", "cache8_i8", (("cache-quantize", {"type": "i8", "products": "i8"}),)),
)
