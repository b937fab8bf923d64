// What kernels need and upstream dialects do not say.
#ifndef LLMC_IR_KERNELOPS_TD
#define LLMC_IR_KERNELOPS_TD

include "llmc/IR/GraphOps.td"

class VectorOf1D<Type element> : VectorOfRankAndType<[1], [element]>;

def DotI8Op : LLMC_Op<"dot_i8", [Pure, AllTypesMatch<["acc", "result"]>, AllTypesMatch<["codes", "inputs"]>]> {
  let summary = "Add products of codes and signed bytes to integers, four to a lane";
  let description = [{
    `result[i] = acc[i] + codes[4 i] * inputs[4 i] + ... + codes[4 i + 3] * inputs[4 i + 3]`, exact, wrapping at 32 bits. Codes
    are unsigned, or signed with `signed_codes`, and at most `bound` in magnitude; inputs are signed and at least -127. What the instruction set has for it is decided in
    the Target room, where a chain of these on one accumulator may be summed in 16 bits first, if `bound` lets it.

    * C1: codes and inputs have four elements for each of acc.
    * C2: 1 <= bound <= 255, with `signed_codes` at most 128.

    Example:
    ```mlir
    %sum = llmc.dot_i8 %acc, %codes, %inputs {bound = 15 : i64} : vector<8xi32>, vector<32xi8>
    %both = llmc.dot_i8 %sum, %codes, %inputs {bound = 128 : i64, signed_codes} : vector<8xi32>, vector<32xi8>
    ```
  }];
  let arguments = (ins VectorOf1D<I32>:$acc, VectorOf1D<I8>:$codes, VectorOf1D<I8>:$inputs, I64Attr:$bound,
                       UnitAttr:$signed_codes);
  let results = (outs VectorOf1D<I32>:$result);
  let assemblyFormat = "$acc `,` $codes `,` $inputs attr-dict `:` type($acc) `,` type($codes)";
  let hasVerifier = 1;
}

class BufferOf<Type element, list<MemoryEffect> effects> : Arg<MemRefRankOf<[element], [1]>, "", effects>;

def BlockI8Op : LLMC_Op<"block_i8"> {
  let summary = "Add products of rows of signed bytes and a panel of codes to a block of integers";
  let description = [{
    With `s`, `x` and `w` the memory from the three given places on, for each r < `rows` and c < `columns`:

    ```
    s[r * sum_stride + c] = start + sum over i < inputs of x[r * input_stride + i] * w[i / 4 * code_stride + 4 * c + i % 4]
    ```

    exact, wrapping at 32 bits. `start` is zero, or with `accumulate` what `s` has there. Inputs are signed and at least -127, codes
    unsigned and at most `bound`. A matrix unit keeps the block in its registers and takes `depth` inputs at a time; elsewhere it is
    loops of `llmc.dot_i8`. The three memories do not overlap where they are used.

    * C1: rows and columns are 16 or 32.
    * C2: depth is 32 or 64 and divides inputs, which are not 0.
    * C3: sum_stride >= columns, input_stride >= inputs, code_stride >= 4 columns.
    * C4: 1 <= bound <= 255.

    Example:
    ```mlir
    llmc.block_i8 %sums[%s], %x[%i], %w[%c] {rows = 32 : i64, columns = 32 : i64, inputs = 128 : i64, depth = 64 : i64,
        sum_stride = 32 : i64, input_stride = 2176 : i64, code_stride = 256 : i64, bound = 15 : i64}
        : memref<?xi32>, memref<?xi8>, memref<?xi8>
    ```
  }];
  let arguments = (ins BufferOf<I32, [MemRead, MemWrite]>:$sums, Index:$sum_start, BufferOf<I8, [MemRead]>:$x, Index:$input_start,
                       BufferOf<I8, [MemRead]>:$codes, Index:$code_start, I64Attr:$rows, I64Attr:$columns, I64Attr:$inputs,
                       I64Attr:$depth, I64Attr:$sum_stride, I64Attr:$input_stride, I64Attr:$code_stride, I64Attr:$bound,
                       UnitAttr:$accumulate);
  let assemblyFormat = [{
    $sums `[` $sum_start `]` `,` $x `[` $input_start `]` `,` $codes `[` $code_start `]` attr-dict
    `:` type($sums) `,` type($x) `,` type($codes)
  }];
  let hasVerifier = 1;
}

def PickOp : LLMC_Op<"pick", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "In each lane one of the four values around it";
  let description = [{
    `result[i] = input[4 * (i / 4) + index[i] % 4]`: the input that a weight of a 2:4 pattern belongs to. Bits of the index above the
    lowest two say nothing, so an index need not be masked.

    * C1: the number of lanes is a multiple of 4 and the same in both operands.

    Example:
    ```mlir
    %kept = llmc.pick %four, %index : vector<8xf32>, vector<8xi32>
    ```
  }];
  let arguments = (ins VectorOf1D<F32>:$input, VectorOf1D<I32>:$index);
  let results = (outs VectorOf1D<F32>:$result);
  let assemblyFormat = "$input `,` $index attr-dict `:` type($input) `,` type($index)";
  let hasVerifier = 1;
}

def LookupOp : LLMC_Op<"lookup", [Pure]> {
  let summary = "In each element the entry of a table of 16";
  let description = [{
    `result[i] = table[index[i] % 16]`. Indices that are words may have other bits above the lowest four, which say
    nothing, so they need not be masked; indices that are bytes must be below 16.

    * C1: the table has 16 entries of the type of the result's elements.
    * C2: the index has as many elements as the result: words for f32, bytes for bytes.

    Example:
    ```mlir
    %levels = llmc.lookup %codes in dense<[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]> : tensor<16xi8>, vector<32xi8> to vector<32xi8>
    ```
  }];
  let arguments = (ins AnyTypeOf<[VectorOf1D<I8>, VectorOf1D<I32>]>:$index, ElementsAttr:$table);
  let results = (outs AnyTypeOf<[VectorOf1D<I8>, VectorOf1D<F32>]>:$result);
  let assemblyFormat = "$index `in` $table attr-dict `,` type($index) `to` type($result)";
  let hasVerifier = 1;
}

def TripleOp : LLMC_Op<"triple", [Pure, SameOperandsAndResultType]> {
  let summary = "Three times each byte, modulo 256";
  let description = [{
    `result[i] = 3 * input[i]`: the byte of packed ternary codes without its first. An operation of its own because a
    chain of these is cheap as additions and dear as products of bytes.

    Example:
    ```mlir
    %rest = llmc.triple %bytes : vector<32xi8>
    ```
  }];
  let arguments = (ins VectorOf1D<I8>:$input);
  let results = (outs VectorOf1D<I8>:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

def PickI8Op : LLMC_Op<"pick_i8", [Pure, AllTypesMatch<["index", "result"]>]> {
  let summary = "For each byte one of eight bytes";
  let description = [{
    `result[i] = input[index[i] % 8]`: the inputs that weights of two 2:4 patterns belong to. An index is not negative; its other bits above
    the lowest three say nothing, so it need not be masked.

    * C1: input has eight elements, index a multiple of 16.

    Example:
    ```mlir
    %kept = llmc.pick_i8 %eight, %index : vector<8xi8>, vector<32xi8>
    ```
  }];
  let arguments = (ins VectorOf1D<I8>:$input, VectorOf1D<I8>:$index);
  let results = (outs VectorOf1D<I8>:$result);
  let assemblyFormat = "$input `,` $index attr-dict `:` type($input) `,` type($index)";
  let hasVerifier = 1;
}

#endif // LLMC_IR_KERNELOPS_TD
