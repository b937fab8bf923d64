// Enumerations, attributes and types of the exec dialect.
#ifndef LLMC_EXEC_TYPES_TD
#define LLMC_EXEC_TYPES_TD

include "llmc/Exec/ExecDialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

class Exec_Enum<string name, string summary, list<I32EnumAttrCase> cases> : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::llmc::exec";
  let genSpecializedAttr = 0;
}

def Role : Exec_Enum<"Role", "what a program does", [
    I32EnumAttrCase<"Step", 0, "step">, I32EnumAttrCase<"Run", 1, "run">]>;
def RoleAttr : EnumAttr<Exec_Dialect, Role, "role"> {
  let assemblyFormat = "$value";
}

def Space : Exec_Enum<"Space", "whose memory a buffer is in", [
    I32EnumAttrCase<"Arena", 0, "arena">, I32EnumAttrCase<"Private", 1, "private">,
    I32EnumAttrCase<"Caller", 2, "caller">]>;

def Form : Exec_Enum<"Form", "what an array of the weight file is stored for", [
    I32EnumAttrCase<"Linear", 0, "linear">, I32EnumAttrCase<"Embedding", 1, "embedding">,
    I32EnumAttrCase<"Bias", 2, "bias">, I32EnumAttrCase<"Vector", 3, "vector">,
    I32EnumAttrCase<"Rows", 4, "rows">, I32EnumAttrCase<"Rope", 5, "rope">]>;

def BinaryKind : Exec_Enum<"BinaryKind", "pointwise operation of two operands", [
    I32EnumAttrCase<"Add", 0, "add">, I32EnumAttrCase<"Sub", 1, "sub">, I32EnumAttrCase<"Mul", 2, "mul">,
    I32EnumAttrCase<"Div", 3, "div">, I32EnumAttrCase<"Max", 4, "max">, I32EnumAttrCase<"Min", 5, "min">]>;
def BinaryKindAttr : EnumAttr<Exec_Dialect, BinaryKind, "binary_kind"> {
  let assemblyFormat = "$value";
}

def Each : Exec_Enum<"Each", "what a body computes at a time", [
    I32EnumAttrCase<"Row", 0, "row">, I32EnumAttrCase<"Sequence", 1, "sequence">]>;
def EachAttr : EnumAttr<Exec_Dialect, Each, "each"> {
  let assemblyFormat = "$value";
}

class Exec_Attr<string name, string mnemonic_> : AttrDef<Exec_Dialect, name> {
  let mnemonic = mnemonic_;
  let assemblyFormat = "`<` struct(params) `>`";
}

def ShareAttr : Exec_Attr<"Share", "share"> {
  let summary = "which columns of a kernel one worker computes";
  let description = [{
    Columns are shared out in a chain of kernels of which each computes a column of its result from the same column of the one before.
    Worker t of n has the columns of a chain of `width` from `total * t / n - first` on, rounded up to whole `unit`s and kept within [0,
    `width`]. Those of this kernel lie from `column` of the chain on. Chains with one `total` are shared out as if they were one
    matrix, in which this one begins at `first`.

    Example:
    ```mlir
    #exec.share<unit = 32, total = 172, first = 0, width = 172, column = 0>
    ```
  }];
  let parameters = (ins "int64_t":$unit, "int64_t":$total, "int64_t":$first, "int64_t":$width, "int64_t":$column);
  let genVerifyDecl = 1;
}

def ObservationAttr : Exec_Attr<"Observation", "observation"> {
  let summary = "rows of the arena that outlive a call";
  let description = [{
    The rows of the last call that an `exec.observe` named, from byte `offset` of the arena on, with `stride` floats from one to the next: one for each token,
    or with `per_sequence` for each sequence.
  }];
  let parameters = (ins "::mlir::StringAttr":$name, "int64_t":$offset, "int64_t":$width, "int64_t":$stride,
                        DefaultValuedParameter<"bool", "false">:$per_sequence);
}

def CheckAttr : Exec_Attr<"Check", "check"> {
  let summary = "where the outcome of a check lies";
  let description = [{
    At byte `offset` of the arena: 1 + the index of the first element (row * width + column) that does not agree, or 0, as i32; then what was
    there and what was expected, as f32. `expected` names the weight that was expected, or is empty; `source` says where the check stands.
  }];
  let parameters = (ins "::mlir::StringAttr":$kind, "::mlir::StringAttr":$expected, "::mlir::StringAttr":$source,
                        "int64_t":$offset, "int64_t":$width);
}

def ArtifactAttr : Exec_Attr<"Artifact", "artifact"> {
  let summary = "what lowered code needs of who runs it";
  let description = [{
    Bytes of the arena (without scratch), of scratch for each thread, and of 16 positions of all caches; ids of the vocabulary (0: no logits), rows of the
    table that ids select (0: no ids), the longest sequence of a run (0: a step), and what can be read from the arena after a call.

    Example:
    ```mlir
    #exec.artifact<arena_bytes = 4096, scratch_bytes = 256, kv_block_bytes = 0, vocabulary = 0, id_limit = 8, longest_sequence = 16,
        observations = [#exec.observation<name = "x", offset = 0, width = 4, stride = 64>],
        checks = [#exec.check<kind = "expect_eq", expected = "w", source = "a.mlir:1", offset = 64, width = 4>]>
    ```
  }];
  let parameters = (ins "int64_t":$arena_bytes, "int64_t":$scratch_bytes, "int64_t":$kv_block_bytes,
                        "int64_t":$vocabulary, "int64_t":$id_limit, "int64_t":$longest_sequence,
                        "::mlir::ArrayAttr":$observations, "::mlir::ArrayAttr":$checks);
  let genVerifyDecl = 1;
}

class Exec_Type<string name, string mnemonic_> : TypeDef<Exec_Dialect, name> {
  let mnemonic = mnemonic_;
}

def BufferType : Exec_Type<"Buffer", "buffer"> {
  let summary = "rows of numbers in memory";
  let description = [{
    `rows` rows (`?`: as many as a call has, or with `sequences` as many as it has sequences) of `width` elements, `stride` elements from one row to
    the next; without it they lie side by side. The memory is in the `arena` of a call if nothing is said, `private` to each worker, or the `caller`'s.

    Example:
    ```mlir
    !exec.buffer<?x172xf32, stride = 192>
    !exec.buffer<?x64xf32, private>
    !exec.buffer<?x1xi32>
    !exec.buffer<?x64xf32, sequences>
    ```
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$width, "::mlir::Type":$elementType, "int64_t":$stride,
                        "::llmc::exec::Space":$space, "bool":$perSequence);
  let builders = [
    TypeBuilder<(ins "int64_t":$rows, "int64_t":$width, "::mlir::Type":$elementType, "int64_t":$stride,
                     "::llmc::exec::Space":$space), [{
      return $_get($_ctxt, rows, width, elementType, stride, space, /*perSequence=*/false);
    }]>];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Bytes from one row to the next.
    int64_t getRowBytes() const { return getStride() * getElementType().getIntOrFloatBitWidth() / 8; }
    bool isPrivate() const { return getSpace() == Space::Private; }
    /// The same with another width, from another column on.
    BufferType withWidth(int64_t width) const {
      return get(getContext(), getRows(), width, getElementType(), getStride(), getSpace(), getPerSequence());
    }
  }];
}

def PackedType : Exec_Type<"Packed", "packed"> {
  let summary = "an array of the weight file";
  let description = [{
    `content` (a tensor or `!llmc.compressed`), in the form that its readers want: `linear` for products and rows by id, `embedding` for rows by
    id only, `bias`, `vector` (scales of norms), `rows` (read like rows of a buffer), `rope` (cosines, then sines, of each position). How the
    bytes of a form lie is the target's business.

    Example:
    ```mlir
    !exec.packed<linear, tensor<172x64xf32>>
    ```
  }];
  let parameters = (ins "::llmc::exec::Form":$form, "::mlir::Type":$content);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

#endif // LLMC_EXEC_TYPES_TD
