// RUN: llmc-opt %s --split-input-file --verify-diagnostics --cache-quantize="type=i4"

// expected-error @below {{cache-quantize: expected type f32, f16, bf16 or i8, got 'i4'}}
module {
  llmc.cache @kv : tensor<1x4xf32>
}
