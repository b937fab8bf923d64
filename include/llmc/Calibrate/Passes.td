// The pass that runs the model to see its activations.
#ifndef LLMC_CALIBRATE_PASSES_TD
#define LLMC_CALIBRATE_PASSES_TD

include "mlir/Pass/PassBase.td"

def Calibrate : Pass<"calibrate", "::mlir::ModuleOp"> {
  let summary = "Run the model on tokens and keep statistics of what its linears read";
  let description = [{
    Goes block by block (a layer, what is in front of the first, what is behind the last): compiles the block for this
    machine with an `llmc.observe` on each distinct input of linears, runs it on what the block before made of the token
    file, and attaches `llmc.statistics` to each linear: count, mean, mean |x|, max |x|, sum of x^2 and, with
    `hessian=true`, the sum of x x^T. The model itself is not changed. All data-aware passes read this one store.

    The file is a .npy array of int32 or int64 ids, [rows, n] with each row a sequence of its own, or [n], which is cut
    into sequences of the model's context. Encoders get the ids as `input_ids` with a mask of ones. Sums run in the order
    of the file, so the result does not depend on the number of threads: moments in double precision, the Hessian in
    f32.

    Some 10,000 ids of text like that of the application are enough for most methods. Fewer than 4096, or ids that are
    nearly all the same, give a warning here, and a remark wherever such statistics decide something later. The Hessian of a linear with K
    inputs takes 2 K^2 bytes, and rows that wait 512 K while it is collected; a block whose statistics are over `max-memory`
    is refused with the size they need. Hidden states between blocks lie in a file without a name in TMPDIR.
  }];
  let options = [
    Option<"tokens", "tokens", "std::string", /*default=*/"\"\"", "the token file (.npy); required. A path with spaces, quotes or braces is quoted: tokens='my ids.npy'">,
    Option<"hessian", "hessian", "bool", /*default=*/"true", "also keep the sum of x x^T">,
    Option<"maxMemory", "max-memory", "int64_t", /*default=*/"8192", "most MiB that the statistics of a block may take">,
    Option<"blocks", "blocks", "bool", /*default=*/"true", "one block at a time in memory; false: the whole model at once, which gives the same bits">,
    Option<"threads", "threads", "int64_t", /*default=*/"0", "threads to run on; 0: one for each processor">,
  ];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

def StripStatistics : Pass<"strip-statistics", "::mlir::ModuleOp"> {
  let summary = "Drop the statistics of --calibrate";
  let description = [{
    Removes `llmc.statistics` from every operation, and with it the numbers from the file that is written. They are larger
    than the model: the Hessian of a linear with K inputs takes 2 K^2 bytes. What was done with them stays in the module's
    `llmc.provenance`.

    llmc-opt does this by itself behind the last pass that compresses weights, all of which read statistics, unless a
    later `--calibrate` collects new ones or `--keep-statistics` is given: for a later run that needs them.
  }];
}

#endif // LLMC_CALIBRATE_PASSES_TD
