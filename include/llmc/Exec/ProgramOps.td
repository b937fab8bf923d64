// The program of the exec dialect and what it declares.
#ifndef LLMC_EXEC_PROGRAMOPS_TD
#define LLMC_EXEC_PROGRAMOPS_TD

include "llmc/Exec/ExecTypes.td"
include "llmc/Exec/KernelInterface.td"
include "llmc/IR/LLMCAttrs.td"
include "llmc/IR/LLMCTypes.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Exec_Op<string mnemonic, list<Trait> traits = []> : Op<Exec_Dialect, mnemonic, traits>;

class BufferThat<string condition, string summary> : Type<
    And<[CPred<"::llvm::isa<::llmc::exec::BufferType>($_self)">,
         CPred<"[](::llmc::exec::BufferType buffer) { return " # condition #
               "; }(::llvm::cast<::llmc::exec::BufferType>($_self))">]>, summary, "::llmc::exec::BufferType">;
def AnyBuffer : BufferThat<"true", "a buffer">;
def F32Buffer : BufferThat<"buffer.getElementType().isF32()", "a buffer of f32">;
def CodeBuffer : BufferThat<"buffer.getElementType().isInteger(8)", "a buffer of i8">;
def IdBuffer : BufferThat<"buffer.getElementType().isInteger(32) && buffer.getWidth() == 1",
                          "a buffer of one i32 in each row">;
def OutcomeBuffer : BufferThat<"buffer.getElementType().isInteger(32) && buffer.getWidth() == 3 && "
                               "buffer.getRows() == 1", "a buffer of one row of three i32">;
class PackedAs<string form> : Type<
    And<[CPred<"::llvm::isa<::llmc::exec::PackedType>($_self)">,
         CPred<"::llvm::cast<::llmc::exec::PackedType>($_self).getForm() == ::llmc::exec::Form::" # form>]>,
    "an array of the weight file in the form " # form, "::llmc::exec::PackedType">;
def AnyPacked : Type<CPred<"::llvm::isa<::llmc::exec::PackedType>($_self)">, "an array of the weight file",
                     "::llmc::exec::PackedType">;
def PackedTable : AnyTypeOf<[PackedAs<"Linear">, PackedAs<"Embedding">], "a table that can be read by id">;
def RowsLike : AnyTypeOf<[F32Buffer, PackedAs<"Rows">], "rows of f32, in a buffer or in the weight file">;
def WeightLikeType : AnyTypeOf<[RankedTensorOf<[F32, F16, BF16, F64]>, CompressedType]>;

def ProgramOp : Exec_Op<"program", [Symbol, IsolatedFromAbove, SingleBlock, NoTerminator]> {
  let summary = "An entry function, as stages on buffers";
  let description = [{
    A `step` appends its rows to the caches and gives the logits of those rows that are wanted; a `run` has no state. A call has at most `rows`
    rows (batch x sequence). The body declares weights and buffers, then lists stages; behind the stages of a step, `exec.tail` has those that
    run for wanted rows only. `weight_bytes` is there once weights have places, `arena_bytes` and `private_bytes` once buffers have.

    * C1: there is at most one tail; it belongs to a step, and no stage comes after it.
    * C2: sizes are not negative, and a call may have a row.
    * C3: nothing else is in it: declarations (`llmc.weight` among them), stages, repeated stages, outputs, observations and the tail.

    Example:
    ```mlir
    exec.program @main run rows = 16 {
      %0 = exec.input 0 : !exec.buffer<?x1xi32>
      %1 = exec.buffer : !exec.buffer<?x1xi32>
      exec.stage {
        exec.positions to %1 {offset = 2 : i64} : !exec.buffer<?x1xi32>
      }
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, RoleAttr:$role, I64Attr:$rows, OptionalAttr<I64Attr>:$weight_bytes,
                       OptionalAttr<I64Attr>:$arena_bytes, OptionalAttr<I64Attr>:$private_bytes);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name custom<Word>($role) `rows` `=` $rows attr-dict-with-keyword $body";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The stages that run for wanted rows only, or null.
    TailOp getTail();
  }];
}

def InputOp : Exec_Op<"input"> {
  let summary = "Rows that the caller gave";
  let description = [{
    Argument `index` of the call, as the C interface has put it into the arena: ids and masks as i32, rows of floats as f32.

    * C1: the index is not negative. C2: the rows are as many as a call has, in the arena. C3: an offset is a multiple of 64.

    Example:
    ```mlir
    %0 = exec.input 0 : !exec.buffer<?x1xi32>
    %1 = exec.input 1 at 128 : !exec.buffer<?x1xi32>
    ```
  }];
  let arguments = (ins I64Attr:$index, OptionalAttr<I64Attr>:$offset);
  let results = (outs AnyBuffer:$result);
  let assemblyFormat = "$index (`at` $offset^)? attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def BufferOp : Exec_Op<"buffer", [MemoryEffects<[MemAlloc]>]> {
  let summary = "Memory for rows";
  let description = [{
    Rows of its region: all rows of a call, or in `exec.tail` those of a block. Planned memory starts `at` an offset of the arena, or of what each
    worker has to itself.

    * C1: an offset is a multiple of 64, and the caller's memory has none.

    Example:
    ```mlir
    %0 = exec.buffer : !exec.buffer<?x40xf32, stride = 64>
    %1 = exec.buffer at 4096 : !exec.buffer<?x64xf32, private>
    ```
  }];
  let arguments = (ins OptionalAttr<I64Attr>:$offset);
  let results = (outs Res<AnyBuffer, "", [MemAlloc]>:$result);
  let assemblyFormat = "(`at` $offset^)? attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def ViewOp : Exec_Op<"view", [Pure]> {
  let summary = "Some columns of a buffer";
  let description = [{
    * C1: the columns lie within the row. C2: rows, element type, stride and space are those of the buffer.

    Example:
    ```mlir
    %1 = exec.view %0[8] : !exec.buffer<?x40xf32, stride = 64> -> !exec.buffer<?x16xf32, stride = 64>
    ```
  }];
  let arguments = (ins AnyBuffer:$source, I64Attr:$column);
  let results = (outs AnyBuffer:$result);
  let assemblyFormat = "$source `[` $column `]` attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
}

def WeightOp : Exec_Op<"weight", [Pure, TypesMatchWith<"the content is the weight", "result", "weight",
                                                       "::llvm::cast<::llmc::exec::PackedType>($_self).getContent()">]> {
  let summary = "A weight in a form of the weight file";
  let description = [{
    The data is that of the `llmc.weight`. With a place, the form lies `at` an offset of the file's data and takes so many `bytes`.

    * C1: the weight is made by `llmc.weight`. C2: it has a place whole or not at all, at a multiple of 64.
    * C3: a table of a rotation is no weight.

    Example:
    ```mlir
    %p = exec.weight %w : !exec.packed<linear, tensor<172x64xf32>>
    %q = exec.weight %w at 0 bytes 45056 : !exec.packed<linear, tensor<172x64xf32>>
    ```
  }];
  let arguments = (ins WeightLikeType:$weight, OptionalAttr<I64Attr>:$offset, OptionalAttr<I64Attr>:$bytes);
  let results = (outs AnyPacked:$result);
  let assemblyFormat = "$weight (`at` $offset^)? (`bytes` $bytes^)? attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def RopeTableOp : Exec_Op<"rope_table", [Pure]> {
  let summary = "Cosines and sines of a rotation, in the weight file";
  let description = [{
    Of each position the cosines, then the sines, of position * frequency, times `attention_factor`. Rotations of equal frequencies share one.

    * C1: the content is a tensor of f32 with a row of 2 * frequencies for each position.
    * C2: it has a place whole or not at all, at a multiple of 64.

    Example:
    ```mlir
    %t = exec.rope_table [1.0, 0.01] : !exec.packed<rope, tensor<16x4xf32>>
    %u = exec.rope_table [1.0, 0.01] at 704 bytes 256 {attention_factor = 2.0 : f64} : !exec.packed<rope, tensor<16x4xf32>>
    ```
  }];
  let arguments = (ins DenseF64ArrayAttr:$frequencies, DefaultValuedAttr<F64Attr, "1.0">:$attention_factor,
                       OptionalAttr<I64Attr>:$offset, OptionalAttr<I64Attr>:$bytes);
  let results = (outs PackedAs<"Rope">:$result);
  let assemblyFormat = "$frequencies (`at` $offset^)? (`bytes` $bytes^)? attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def OutputOp : Exec_Op<"output", [HasParent<"ProgramOp">]> {
  let summary = "Rows that the caller gets from a run";
  let description = [{
    The n-th output of a program is the n-th result of the call, copied by the C interface when the stages are done: [batch, sequence, width], where
    the sequence is 1 for rows of sequences, or [batch, width] with `rank` 2.

    * C1: it is an output of a run, of f32 rows in the arena. C2: the rank is 3, or 2 for rows of sequences.

    Example:
    ```mlir
    exec.output %0 : !exec.buffer<?x40xf32, stride = 64>
    exec.output %p {rank = 2 : i64} : !exec.buffer<?x64xf32, sequences>
    ```
  }];
  let arguments = (ins F32Buffer:$input, DefaultValuedAttr<I64Attr, "3">:$rank);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def ObserveOp : Exec_Op<"observe"> {
  let summary = "Keep rows for whoever runs the program";
  let description = [{
    The rows stay where they are until the next call; `exec.artifact` says where.

    * C1: the rows are in the arena.

    Example:
    ```mlir
    exec.observe "model.layers.0.self_attn.q_proj" %0 : !exec.buffer<?x40xf32, stride = 64>
    ```
  }];
  let arguments = (ins StrAttr:$observer, F32Buffer:$input);
  let assemblyFormat = "$observer $input attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def StageOp : Exec_Op<"stage", [SingleBlock, NoTerminator, ParentOneOf<["ProgramOp", "RepeatOp", "TailOp"]>]> {
  let summary = "Kernels between which no worker waits";
  let description = [{
    Each worker runs the kernels in order, its part of each. What one worker writes, another may read in a later stage only.

    * C1: it holds kernels.
    * C2: what a kernel reads of a buffer that the stage has written is private, or in columns of the same worker: both kernels have shares of one
      chain, the reader needs the same columns only, and they are those that were written.
    * C3: attention does not read a cache that the stage stores to.

    Example:
    ```mlir
    exec.stage {
      exec.scale %0 to %1 {factor = 8.0 : f64, share = #exec.share<unit = 16, total = 64, first = 0, width = 64, column = 0>}
          : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
      exec.softmax %3 to %4 : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
    ```
  }];
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

def RepeatOp : Exec_Op<"repeat", [SingleBlock, NoTerminator, HasParent<"ProgramOp">,
                                  DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Stages that run several times, with other weights each time";
  let description = [{
    The stages run `turns` times, as if they stood there so often: layers of a model that differ in their weights have one body. An argument of the body is
    in each turn the next of the values it is bound to: arrays of the weight file, or buffers. A cache that the body names is the first of a list in
    `caches`; in later turns it stands for the others. Other values and caches are the same in every turn.

    * C1: there are at least two turns, and an argument has a value of its own type for each.
    * C2: what is bound is made by `exec.weight`, `exec.rope_table` or `exec.buffer` and is not the caller's, and in no turn one buffer is bound to two arguments, or bound and
      named in the body as well.
    * C3: it holds views and stages, of which none is in connection with the caller (`exec.embedding`, `exec.positions`, `exec.copy`, `exec.expect`).
    * C4: a list of caches has one for each turn, all of one type; in no turn one cache stands in two lists, or in a list and in the body by its own name.

    Example:
    ```mlir
    exec.repeat 2 (%w = [%w0, %w1] : !exec.packed<linear, tensor<64x64xf32>>) caches [[@kv.0, @kv.1]] {
      exec.stage {
        exec.linear %x, %w to %k : !exec.buffer<?x64xf32>, !exec.packed<linear, tensor<64x64xf32>>, !exec.buffer<?x64xf32>
        exec.cache_store %v in @kv.0 {heads = 8 : i64, part = #llmc.cache_part<values>} : !exec.buffer<?x64xf32>
      }
      exec.stage {
        exec.softmax %k to %x : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
      }
    }
    ```
  }];
  let arguments = (ins I64Attr:$turns, Variadic<AnyTypeOf<[AnyBuffer, AnyPacked]>>:$values, OptionalAttr<ArrayAttr>:$caches);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// What an argument of the body is bound to, in the order of turns.
    ::mlir::OperandRange getBound(::mlir::BlockArgument argument) {
      const unsigned count = static_cast<unsigned>(getTurns());
      return getValues().slice(argument.getArgNumber() * count, count);
    }
    /// The caches that `name` stands for, in the order of turns, or null if it is itself in all of them.
    ::mlir::ArrayAttr getCachesOf(::llvm::StringRef name);
  }];
}

def TailOp : Exec_Op<"tail", [SingleBlock, NoTerminator, HasParent<"ProgramOp">]> {
  let summary = "Stages that run for the rows whose logits are wanted";
  let description = [{
    The wanted rows are the last of the call. They are taken in blocks of at most `rows`: buffers that are declared here hold the rows of a block, in
    others the kernels find the same rows from where the block begins.

    * C1: a block has a row. C2: it holds declarations of buffers, views and stages.

    Example:
    ```mlir
    exec.tail rows = 64 {
      %1 = exec.buffer : !exec.buffer<?x64xf32>
      exec.stage {
        exec.softmax %0 to %1 : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
      }
    }
    ```
  }];
  let arguments = (ins I64Attr:$rows);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`rows` `=` $rows attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

#endif // LLMC_EXEC_PROGRAMOPS_TD
