// Passes from what kernels need of an instruction set to the LLVM dialect, in the order they run.
#ifndef LLMC_TARGET_PASSES_TD
#define LLMC_TARGET_PASSES_TD

include "mlir/Pass/PassBase.td"

class TargetPass<string flag> : Pass<flag, "::mlir::ModuleOp"> {
  let options = [
    Option<"target", "target", "std::string", /*default=*/"\"\"", "target triple; empty: this machine's">,
    Option<"cpu", "cpu", "std::string", /*default=*/"\"\"",
           "CPU as LLVM names it, or native; empty: what every machine of the triple has">,
    Option<"features", "features", "std::string", /*default=*/"\"\"", "features added or removed: +avx512vnni,-amx-int8">];
  let dependentDialects = ["::llmc::LLMCDialect", "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def LowerLookups : TargetPass<"lower-lookups"> {
  let summary = "Tables of 16 entries as shuffles of a register";
  let description = [{
    Replaces every `llmc.lookup` and `llmc.triple`: by a shuffle or a permutation where the target has one by index, else by four levels of
    selections.

    (* example test/Target/lower-lookups.mlir *)
  }];
}

def LowerBlocks : TargetPass<"lower-blocks"> {
  let summary = "Blocks of byte products in tile registers";
  let description = [{
    Replaces every `llmc.block_i8`: by AMX where the target has it, else by loops of `llmc.dot_i8`.

    (* example test/Target/lower-blocks.mlir *)
  }];
}

def LowerDots : TargetPass<"lower-dots"> {
  let summary = "Products of four bytes by the target's instruction";
  let description = [{
    Replaces every `llmc.dot_i8`: by `vpdpbusd`, `vpmaddubsw` or `sdot`, or where there is none by shifts and 32-bit products.

    (* example test/Target/lower-dots.mlir *)
  }];
}

def LowerPicks : TargetPass<"lower-picks"> {
  let summary = "Elements picked by index as permutations";
  let description = [{
    Replaces every `llmc.pick` and `llmc.pick_i8`: by a permutation within 128 bits where the target has one by index, else by selections.

    (* example test/Target/lower-picks.mlir *)
  }];
}

def WriteCpuChecks : TargetPass<"write-cpu-checks"> {
  let summary = "Write the code that asks a machine for what the target needs";
  let description = [{
    Declarations marked `llmc.any_machine` get their body. They take where to say why not (NULL: nowhere), and return `LLMC_OK` or `LLMC_BAD_CPU`.

    (* example test/Target/write-cpu-checks.mlir *)
  }];
}

def LimitToAnyMachine : TargetPass<"limit-to-any-machine"> {
  let summary = "Compile some functions for every processor of the architecture";
  let description = [{
    Functions of the LLVM dialect marked `llmc.any_machine` run before it is known what the machine has, so they get the CPU and the features that all have.

    (* example test/Target/limit-to-any-machine.mlir *)
  }];
}

def VerifyLowered : Pass<"verify-lowered", "::mlir::ModuleOp"> {
  let summary = "Refuse what is not in the LLVM dialect";
  let description = [{
    What conversions leave is an error that names it, never a silent fallback.

    (* example test/Target/verify-lowered.mlir *)
  }];
}

#endif // LLMC_TARGET_PASSES_TD
