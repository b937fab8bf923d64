// RUN: llmc-opt %s --lower-bodies --split-input-file --verify-diagnostics

module {
  exec.program @a run rows = 16 {
    %0 = exec.buffer : !exec.buffer<?x8xf32>
    %1 = exec.buffer : !exec.buffer<?x8xf32>
    exec.stage {
      exec.generic "math.sin" each row (%0) to (%1) : (!exec.buffer<?x8xf32>) to (!exec.buffer<?x8xf32>) {
      ^bb0(%x: tensor<1x1x8xf32>):
        %e = tensor.empty() : tensor<1x1x8xf32>
        %y = linalg.map ins(%x : tensor<1x1x8xf32>) outs(%e : tensor<1x1x8xf32>) (%a: f32, %b: f32) {
          // expected-error @+1 {{has no expansion, and a model imports no library of such functions}}
          %s = math.sin %a : f32
          linalg.yield %s : f32
        }
        exec.yield %y : tensor<1x1x8xf32>
      }
    }
  }
}

// -----

// What grows with a value that no operand has has no place in the plan of memory.
module {
  exec.program @a run rows = 16 {
    %0 = exec.buffer : !exec.buffer<?x1xi32>
    %1 = exec.buffer : !exec.buffer<?x1xf32>
    exec.stage {
      exec.generic "odd" each row (%0) to (%1) : (!exec.buffer<?x1xi32>) to (!exec.buffer<?x1xf32>) {
      ^bb0(%x: tensor<1x1xi32>):
        %c0 = arith.constant 0 : index
        %n = tensor.extract %x[%c0, %c0] : tensor<1x1xi32>
        %size = arith.index_cast %n : i32 to index
        // expected-error @+1 {{needs memory of a size that is none of its operands'}}
        %e = tensor.empty(%size) : tensor<?xf32>
        %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%e : tensor<?xf32>) {
        ^bb0(%b: f32):
          %i = linalg.index 0 : index
          %j = arith.index_cast %i : index to i32
          %f = arith.sitofp %j : i32 to f32
          linalg.yield %f : f32
        } -> tensor<?xf32>
        %y = tensor.extract %r[%size] : tensor<?xf32>
        %z = tensor.from_elements %y : tensor<1x1x1xf32>
        exec.yield %z : tensor<1x1x1xf32>
      }
    }
  }
}

// -----

// Neither has what upstream does not bufferize.
module {
  exec.program @a run rows = 16 {
    %0 = exec.buffer : !exec.buffer<?x8xf32>
    %1 = exec.buffer : !exec.buffer<?x8xf32>
    exec.stage {
      // expected-error @+1 {{has a body that cannot be bufferized}}
      exec.generic "math.exp" each row (%0) to (%1) : (!exec.buffer<?x8xf32>) to (!exec.buffer<?x8xf32>) {
      ^bb0(%x: tensor<1x1x8xf32>):
        // expected-error @+1 {{op was not bufferized}}
        %y = math.exp %x : tensor<1x1x8xf32>
        exec.yield %y : tensor<1x1x8xf32>
      }
    }
  }
}

// -----

module {
  // expected-error @-1 {{module has no exec.program; --fuse-stages makes one of a function}}
}
