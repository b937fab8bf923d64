//===- EmitInterface.cpp - the C interface around the step ------------------------------===//
//
// The functions of include/llmc/Runtime/llmc.h, written as MLIR text with the model's numbers
// filled in: argument checks, the loop over chunks, the worker every thread runs, and the barrier.
// Struct layouts are those of llmc.h on a 64-bit target.
//
#include "Interface.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;
using namespace llmc;

// A job: arena, weights, kv, threads, rows, sequence, past, wanted, logits.
// A model: arena, weights, threads. A state: kv, length, context. A tensor: data, bytes, type,
// rank, shape.
static constexpr const char *kAliases = R"mlir(
!ptr = !llvm.ptr
!memory = memref<?xi8>
!descriptor = !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>
!job = !llvm.struct<(ptr, ptr, ptr, ptr, i64, i64, i64, i64, ptr)>
!model = !llvm.struct<(ptr, ptr, ptr, array<5 x i64>)>
!state = !llvm.struct<(ptr, i64, i64, array<5 x i64>)>
!threads = !llvm.struct<(i32, ptr, ptr, ptr)>
!tensor = !llvm.struct<(ptr, i64, i32, i32, array<8 x i64>)>
)mlir";

static constexpr const char *kCommon = R"mlir(
func.func private @{P}_step(!memory, !memory, !memory, index, index, index, index, index, index, !ptr, memref<?xf32>)

func.func private @{P}_memory(%pointer: !ptr) -> !memory attributes {llvm.linkage = #llvm.linkage<internal>} {
  %none = llvm.mlir.poison : !descriptor
  %zero = llvm.mlir.constant(0 : i64) : i64
  %one = llvm.mlir.constant(1 : i64) : i64
  %size = llvm.mlir.constant(1152921504606846976 : i64) : i64
  %0 = llvm.insertvalue %pointer, %none[0] : !descriptor
  %1 = llvm.insertvalue %pointer, %0[1] : !descriptor
  %2 = llvm.insertvalue %zero, %1[2] : !descriptor
  %3 = llvm.insertvalue %size, %2[3, 0] : !descriptor
  %4 = llvm.insertvalue %one, %3[4, 0] : !descriptor
  %memory = builtin.unrealized_conversion_cast %4 : !descriptor to !memory
  return %memory : !memory
}

func.func private @{P}_floats(%pointer: !ptr) -> memref<?xf32> attributes {llvm.linkage = #llvm.linkage<internal>} {
  %bytes = call @{P}_memory(%pointer) : (!ptr) -> !memory
  %zero = arith.constant 0 : index
  %size = arith.constant 1099511627776 : index
  %floats = memref.view %bytes[%zero][%size] : !memory to memref<?xf32>
  return %floats : memref<?xf32>
}

func.func private @{P}_barrier(%job: !ptr, %thread: index) attributes {llvm.linkage = #llvm.linkage<internal>} {
  %slot = llvm.getelementptr %job[0, 3] : (!ptr) -> !ptr, !job
  %threads = llvm.load %slot : !ptr -> !ptr
  %null = llvm.mlir.zero : !ptr
  %parallel = llvm.icmp "ne" %threads, %null : !ptr
  scf.if %parallel {
    %0 = llvm.getelementptr %threads[0, 1] : (!ptr) -> !ptr, !threads
    %context = llvm.load %0 : !ptr -> !ptr
    %1 = llvm.getelementptr %threads[0, 3] : (!ptr) -> !ptr, !threads
    %barrier = llvm.load %1 : !ptr -> !ptr
    %index = arith.index_cast %thread : index to i32
    llvm.call %barrier(%context, %index) : !ptr, (!ptr, i32) -> ()
  }
  return
}

func.func private @{P}_worker(%job: !ptr, %index: i32, %count: i32) attributes {llvm.linkage = #llvm.linkage<internal>} {
  %0 = llvm.getelementptr %job[0, 0] : (!ptr) -> !ptr, !job
  %1 = llvm.getelementptr %job[0, 1] : (!ptr) -> !ptr, !job
  %2 = llvm.getelementptr %job[0, 2] : (!ptr) -> !ptr, !job
  %4 = llvm.getelementptr %job[0, 4] : (!ptr) -> !ptr, !job
  %5 = llvm.getelementptr %job[0, 5] : (!ptr) -> !ptr, !job
  %6 = llvm.getelementptr %job[0, 6] : (!ptr) -> !ptr, !job
  %7 = llvm.getelementptr %job[0, 7] : (!ptr) -> !ptr, !job
  %8 = llvm.getelementptr %job[0, 8] : (!ptr) -> !ptr, !job
  %arenaAt = llvm.load %0 : !ptr -> !ptr
  %weightsAt = llvm.load %1 : !ptr -> !ptr
  %kvAt = llvm.load %2 : !ptr -> !ptr
  %rows64 = llvm.load %4 : !ptr -> i64
  %sequence64 = llvm.load %5 : !ptr -> i64
  %past64 = llvm.load %6 : !ptr -> i64
  %wanted64 = llvm.load %7 : !ptr -> i64
  %logitsAt = llvm.load %8 : !ptr -> !ptr
  %arena = call @{P}_memory(%arenaAt) : (!ptr) -> !memory
  %weights = call @{P}_memory(%weightsAt) : (!ptr) -> !memory
  %kv = call @{P}_memory(%kvAt) : (!ptr) -> !memory
  %logits = call @{P}_floats(%logitsAt) : (!ptr) -> memref<?xf32>
  %rows = arith.index_cast %rows64 : i64 to index
  %sequence = arith.index_cast %sequence64 : i64 to index
  %past = arith.index_cast %past64 : i64 to index
  %wanted = arith.index_cast %wanted64 : i64 to index
  %thread = arith.index_cast %index : i32 to index
  %threads = arith.index_cast %count : i32 to index
  call @{P}_step(%arena, %weights, %kv, %rows, %sequence, %past, %wanted, %thread, %threads, %job, %logits)
    : (!memory, !memory, !memory, index, index, index, index, index, index, !ptr, memref<?xf32>) -> ()
  return
}

func.func private @{P}_dispatch(%model: !ptr, %kv: !ptr, %rows: i64, %sequence: i64, %past: i64, %wanted: i64, %logits: !ptr)
    attributes {llvm.linkage = #llvm.linkage<internal>} {
  %one = llvm.mlir.constant(1 : i64) : i64
  %job = llvm.alloca %one x !job : (i64) -> !ptr
  %a = llvm.getelementptr %model[0, 0] : (!ptr) -> !ptr, !model
  %b = llvm.getelementptr %model[0, 1] : (!ptr) -> !ptr, !model
  %c = llvm.getelementptr %model[0, 2] : (!ptr) -> !ptr, !model
  %arena = llvm.load %a : !ptr -> !ptr
  %weights = llvm.load %b : !ptr -> !ptr
  %threads = llvm.load %c : !ptr -> !ptr
  %0 = llvm.getelementptr %job[0, 0] : (!ptr) -> !ptr, !job
  %1 = llvm.getelementptr %job[0, 1] : (!ptr) -> !ptr, !job
  %2 = llvm.getelementptr %job[0, 2] : (!ptr) -> !ptr, !job
  %3 = llvm.getelementptr %job[0, 3] : (!ptr) -> !ptr, !job
  %4 = llvm.getelementptr %job[0, 4] : (!ptr) -> !ptr, !job
  %5 = llvm.getelementptr %job[0, 5] : (!ptr) -> !ptr, !job
  %6 = llvm.getelementptr %job[0, 6] : (!ptr) -> !ptr, !job
  %7 = llvm.getelementptr %job[0, 7] : (!ptr) -> !ptr, !job
  %8 = llvm.getelementptr %job[0, 8] : (!ptr) -> !ptr, !job
  llvm.store %arena, %0 : !ptr, !ptr
  llvm.store %weights, %1 : !ptr, !ptr
  llvm.store %kv, %2 : !ptr, !ptr
  llvm.store %threads, %3 : !ptr, !ptr
  llvm.store %rows, %4 : i64, !ptr
  llvm.store %sequence, %5 : i64, !ptr
  llvm.store %past, %6 : i64, !ptr
  llvm.store %wanted, %7 : i64, !ptr
  llvm.store %logits, %8 : !ptr, !ptr
  %null = llvm.mlir.zero : !ptr
  %parallel = llvm.icmp "ne" %threads, %null : !ptr
  scf.if %parallel {
    %p5 = llvm.getelementptr %threads[0, 1] : (!ptr) -> !ptr, !threads
    %context = llvm.load %p5 : !ptr -> !ptr
    %p6 = llvm.getelementptr %threads[0, 2] : (!ptr) -> !ptr, !threads
    %run = llvm.load %p6 : !ptr -> !ptr
    %body = func.constant @{P}_worker : (!ptr, i32, i32) -> ()
    %worker = builtin.unrealized_conversion_cast %body : (!ptr, i32, i32) -> () to !ptr
    llvm.call %run(%context, %worker, %job) : !ptr, (!ptr, !ptr, !ptr) -> ()
  } else {
    %first = arith.constant 0 : i32
    %single = arith.constant 1 : i32
    func.call @{P}_worker(%job, %first, %single) : (!ptr, i32, i32) -> ()
  }
  return
}

// True if the pointer is null or not a multiple of 64 bytes.
func.func private @{P}_misaligned(%pointer: !ptr) -> i1 attributes {llvm.linkage = #llvm.linkage<internal>} {
  %address = llvm.ptrtoint %pointer : !ptr to i64
  %mask = arith.constant 63 : i64
  %zero = arith.constant 0 : i64
  %low = arith.andi %address, %mask : i64
  %odd = arith.cmpi ne, %low, %zero : i64
  %null = arith.cmpi eq, %address, %zero : i64
  %bad = arith.ori %odd, %null : i1
  return %bad : i1
}

func.func @{P}_abi() -> i32 {
  %0 = arith.constant 1 : i32
  return %0 : i32
}

llvm.mlir.global internal constant @{P}_info("{}\00") {addr_space = 0 : i32}

llvm.func @{P}_info_json() -> !ptr {
  %0 = llvm.mlir.addressof @{P}_info : !ptr
  llvm.return %0 : !ptr
}

func.func @{P}_sizes(%context: i64, %chunk: i64, %threads: i32, %arena: !ptr, %kv: !ptr) -> i32 {
  %zero = arith.constant 0 : i64
  %none = llvm.mlir.zero : !ptr
  %least = arith.constant 1 : i32
  %mostContext = arith.constant {CONTEXT} : i64
  %mostChunk = arith.constant {ROWS} : i64
  %0 = arith.cmpi ult, %mostContext, %context : i64
  %1 = arith.cmpi ult, %mostChunk, %chunk : i64
  %2 = arith.cmpi slt, %threads, %least : i32
  %3 = llvm.icmp "eq" %arena, %none : !ptr
  %4 = llvm.icmp "eq" %kv, %none : !ptr
  %5 = arith.ori %0, %1 : i1
  %6 = arith.ori %5, %2 : i1
  %7 = arith.ori %6, %3 : i1
  %bad = arith.ori %7, %4 : i1
  %code = scf.if %bad -> i32 {
    %argument = arith.constant 1 : i32
    scf.yield %argument : i32
  } else {
    %default = arith.cmpi eq, %context, %zero : i64
    %positions = arith.select %default, %mostContext, %context : i64
    %fixed = arith.constant {ARENA} : i64
    %scratch = arith.constant {SCRATCH} : i64
    %wide = arith.extsi %threads : i32 to i64
    %all = arith.muli %wide, %scratch : i64
    %arenaBytes = arith.addi %fixed, %all : i64
    %fifteen = arith.constant 15 : i64
    %sixteen = arith.constant 16 : i64
    %up = arith.addi %positions, %fifteen : i64
    %blocks = arith.divui %up, %sixteen : i64
    %block = arith.constant {KVBLOCK} : i64
    %kvBytes = arith.muli %blocks, %block : i64
    llvm.store %arenaBytes, %arena : i64, !ptr
    llvm.store %kvBytes, %kv : i64, !ptr
    %ok = arith.constant 0 : i32
    scf.yield %ok : i32
  }
  return %code : i32
}

func.func @{P}_init(%model: !ptr, %arena: !ptr, %weights: !ptr, %threads: !ptr) -> i32 {
  %none = llvm.mlir.zero : !ptr
  %0 = llvm.icmp "eq" %model, %none : !ptr
  %1 = call @{P}_misaligned(%arena) : (!ptr) -> i1
  %2 = call @{P}_misaligned(%weights) : (!ptr) -> i1
  %3 = arith.ori %0, %1 : i1
  %bad = arith.ori %3, %2 : i1
  %code = scf.if %bad -> i32 {
    %argument = arith.constant 1 : i32
    scf.yield %argument : i32
  } else {
    %a = llvm.getelementptr %model[0, 0] : (!ptr) -> !ptr, !model
    %b = llvm.getelementptr %model[0, 1] : (!ptr) -> !ptr, !model
    %c = llvm.getelementptr %model[0, 2] : (!ptr) -> !ptr, !model
    llvm.store %arena, %a : !ptr, !ptr
    llvm.store %weights, %b : !ptr, !ptr
    llvm.store %threads, %c : !ptr, !ptr
    %ok = arith.constant 0 : i32
    scf.yield %ok : i32
  }
  return %code : i32
}
)mlir";

static constexpr const char *kStep = R"mlir(
func.func @{P}_state_init(%state: !ptr, %kv: !ptr) -> i32 {
  %none = llvm.mlir.zero : !ptr
  %0 = llvm.icmp "eq" %state, %none : !ptr
  %1 = call @{P}_misaligned(%kv) : (!ptr) -> i1
  %bad = arith.ori %0, %1 : i1
  %code = scf.if %bad -> i32 {
    %argument = arith.constant 1 : i32
    scf.yield %argument : i32
  } else {
    %a = llvm.getelementptr %state[0, 0] : (!ptr) -> !ptr, !state
    %b = llvm.getelementptr %state[0, 1] : (!ptr) -> !ptr, !state
    %c = llvm.getelementptr %state[0, 2] : (!ptr) -> !ptr, !state
    %zero = arith.constant 0 : i64
    %context = arith.constant {CONTEXT} : i64
    llvm.store %kv, %a : !ptr, !ptr
    llvm.store %zero, %b : i64, !ptr
    llvm.store %context, %c : i64, !ptr
    %ok = arith.constant 0 : i32
    scf.yield %ok : i32
  }
  return %code : i32
}

func.func private @{P}_tokens(%model: !ptr, %state: !ptr, %ids: !ptr, %n: i64, %logits: !ptr, %all: i1) -> i32
    attributes {llvm.linkage = #llvm.linkage<internal>} {
  %none = llvm.mlir.zero : !ptr
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %0 = llvm.icmp "eq" %model, %none : !ptr
  %1 = llvm.icmp "eq" %state, %none : !ptr
  %2 = llvm.icmp "eq" %ids, %none : !ptr
  %3 = arith.cmpi slt, %n, %one : i64
  %4 = arith.ori %0, %1 : i1
  %5 = arith.ori %4, %2 : i1
  %bad = arith.ori %5, %3 : i1
  %code = scf.if %bad -> i32 {
    %argument = arith.constant 1 : i32
    scf.yield %argument : i32
  } else {
    %kvAt = llvm.getelementptr %state[0, 0] : (!ptr) -> !ptr, !state
    %lengthAt = llvm.getelementptr %state[0, 1] : (!ptr) -> !ptr, !state
    %contextAt = llvm.getelementptr %state[0, 2] : (!ptr) -> !ptr, !state
    %kv = llvm.load %kvAt : !ptr -> !ptr
    %length = llvm.load %lengthAt : !ptr -> i64
    %context = llvm.load %contextAt : !ptr -> i64
    %most = arith.constant {CONTEXT} : i64
    %6 = arith.cmpi ult, %most, %context : i64
    %7 = arith.cmpi ult, %context, %length : i64
    %8 = func.call @{P}_misaligned(%kv) : (!ptr) -> i1
    %9 = arith.ori %6, %7 : i1
    %badState = arith.ori %9, %8 : i1
    %inner = scf.if %badState -> i32 {
      %argument = arith.constant 1 : i32
      scf.yield %argument : i32
    } else {
      %free = arith.subi %context, %length : i64
      %full = arith.cmpi ult, %free, %n : i64
      %fits = scf.if %full -> i32 {
        %contextFull = arith.constant 3 : i32
        scf.yield %contextFull : i32
      } else {
        %begin = arith.constant 0 : index
        %next = arith.constant 1 : index
        %count = arith.index_cast %n : i64 to index
        %true = arith.constant true
        %limit = arith.constant {LIMIT} : i32
        %valid = scf.for %i = %begin to %count step %next iter_args(%so = %true) -> i1 {
          %i64 = arith.index_cast %i : index to i64
          %at = llvm.getelementptr %ids[%i64] : (!ptr, i64) -> !ptr, i32
          %id = llvm.load %at : !ptr -> i32
          %inside = arith.cmpi ult, %id, %limit : i32
          %both = arith.andi %so, %inside : i1
          scf.yield %both : i1
        }
        %done = scf.if %valid -> i32 {
          func.call @{P}_chunks(%model, %kv, %length, %ids, %n, %logits, %all) : (!ptr, !ptr, i64, !ptr, i64, !ptr, i1) -> ()
          %longer = arith.addi %length, %n : i64
          llvm.store %longer, %lengthAt : i64, !ptr
          %ok = arith.constant 0 : i32
          scf.yield %ok : i32
        } else {
          %token = arith.constant 2 : i32
          scf.yield %token : i32
        }
        scf.yield %done : i32
      }
      scf.yield %fits : i32
    }
    scf.yield %inner : i32
  }
  return %code : i32
}

func.func private @{P}_chunks(%model: !ptr, %kv: !ptr, %length: i64, %ids: !ptr, %n: i64, %logits: !ptr, %all: i1)
    attributes {llvm.linkage = #llvm.linkage<internal>} {
  %none = llvm.mlir.zero : !ptr
  %a = llvm.getelementptr %model[0, 0] : (!ptr) -> !ptr, !model
  %arena = llvm.load %a : !ptr -> !ptr
  %target = llvm.getelementptr %arena[{IDS}] : (!ptr) -> !ptr, i8
  %begin = arith.constant 0 : index
  %next = arith.constant 1 : index
  %chunk = arith.constant {ROWS} : index
  %count = arith.index_cast %n : i64 to index
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %width = arith.constant {VOCAB} : i64
  %asked = llvm.icmp "ne" %logits, %none : !ptr
  scf.for %start = %begin to %count step %chunk {
    %left = arith.subi %count, %start : index
    %rows = arith.minui %left, %chunk : index
    %rows64 = arith.index_cast %rows : index to i64
    %start64 = arith.index_cast %start : index to i64
    scf.for %i = %begin to %rows step %next {
      %i64 = arith.index_cast %i : index to i64
      %from = arith.addi %start64, %i64 : i64
      %source = llvm.getelementptr %ids[%from] : (!ptr, i64) -> !ptr, i32
      %id = llvm.load %source : !ptr -> i32
      %at = llvm.getelementptr %target[%i64] : (!ptr, i64) -> !ptr, i32
      llvm.store %id, %at : i32, !ptr
    }
    %end = arith.addi %start, %rows : index
    %last = arith.cmpi eq, %end, %count : index
    %lastRow = arith.select %last, %one, %zero : i64
    %some = arith.select %all, %rows64, %lastRow : i64
    %wanted = arith.select %asked, %some, %zero : i64
    %skipped = arith.muli %start64, %width : i64
    %offset = arith.select %all, %skipped, %zero : i64
    %out = llvm.getelementptr %logits[%offset] : (!ptr, i64) -> !ptr, f32
    %past = arith.addi %length, %start64 : i64
    func.call @{P}_dispatch(%model, %kv, %rows64, %rows64, %past, %wanted, %out)
      : (!ptr, !ptr, i64, i64, i64, i64, !ptr) -> ()
  }
  return
}

func.func @{P}_prefill(%model: !ptr, %state: !ptr, %ids: !ptr, %n: i64, %logits: !ptr) -> i32 {
  %all = arith.constant false
  %code = call @{P}_tokens(%model, %state, %ids, %n, %logits, %all) : (!ptr, !ptr, !ptr, i64, !ptr, i1) -> i32
  return %code : i32
}

func.func @{P}_prefill_all(%model: !ptr, %state: !ptr, %ids: !ptr, %n: i64, %logits: !ptr) -> i32 {
  %all = arith.constant true
  %code = call @{P}_tokens(%model, %state, %ids, %n, %logits, %all) : (!ptr, !ptr, !ptr, i64, !ptr, i1) -> i32
  return %code : i32
}

func.func @{P}_decode(%model: !ptr, %states: !ptr, %ids: !ptr, %n: i64, %logits: !ptr) -> i32 {
  %none = llvm.mlir.zero : !ptr
  %one = arith.constant 1 : i64
  %missing = llvm.icmp "eq" %states, %none : !ptr
  %few = arith.cmpi slt, %n, %one : i64
  %bad = arith.ori %missing, %few : i1
  %code = scf.if %bad -> i32 {
    %argument = arith.constant 1 : i32
    scf.yield %argument : i32
  } else {
    %single = arith.cmpi eq, %n, %one : i64
    %inner = scf.if %single -> i32 {
      %state = llvm.load %states : !ptr -> !ptr
      %all = arith.constant false
      %0 = func.call @{P}_tokens(%model, %state, %ids, %n, %logits, %all) : (!ptr, !ptr, !ptr, i64, !ptr, i1) -> i32
      scf.yield %0 : i32
    } else {
      %unsupported = arith.constant 4 : i32
      scf.yield %unsupported : i32
    }
    scf.yield %inner : i32
  }
  return %code : i32
}
)mlir";

// P_run: every check is one more condition on the same result, so that the text stays flat.
static constexpr const char *kRunHead = R"mlir(
func.func private @{P}_convert(%tensor: !ptr, %rows: i64, %target: !ptr, %limit: i64) -> i1
    attributes {llvm.linkage = #llvm.linkage<internal>} {
  %0 = llvm.getelementptr %tensor[0, 0] : (!ptr) -> !ptr, !tensor
  %1 = llvm.getelementptr %tensor[0, 2] : (!ptr) -> !ptr, !tensor
  %data = llvm.load %0 : !ptr -> !ptr
  %type = llvm.load %1 : !ptr -> i32
  %begin = arith.constant 0 : index
  %next = arith.constant 1 : index
  %count = arith.index_cast %rows : i64 to index
  %true = arith.constant true
  %zero = arith.constant 0 : i64
  %long = arith.constant 2 : i32
  %wide = arith.cmpi eq, %type, %long : i32
  %isMask = arith.cmpi eq, %limit, %zero : i64
  %valid = scf.for %i = %begin to %count step %next iter_args(%so = %true) -> i1 {
    %i64 = arith.index_cast %i : index to i64
    %value = scf.if %wide -> i64 {
      %at = llvm.getelementptr %data[%i64] : (!ptr, i64) -> !ptr, i64
      %v = llvm.load %at : !ptr -> i64
      scf.yield %v : i64
    } else {
      %at = llvm.getelementptr %data[%i64] : (!ptr, i64) -> !ptr, i32
      %v = llvm.load %at : !ptr -> i32
      %x = arith.extsi %v : i32 to i64
      scf.yield %x : i64
    }
    %set = arith.cmpi ne, %value, %zero : i64
    %bit = arith.extui %set : i1 to i64
    %kept = arith.select %isMask, %bit, %value : i64
    %short = arith.trunci %kept : i64 to i32
    %to = llvm.getelementptr %target[%i64] : (!ptr, i64) -> !ptr, i32
    llvm.store %short, %to : i32, !ptr
    %inside = arith.cmpi ult, %value, %limit : i64
    %fine = arith.ori %inside, %isMask : i1
    %both = arith.andi %so, %fine : i1
    scf.yield %both : i1
  }
  return %valid : i1
}

func.func private @{P}_copy_out(%arena: !ptr, %rows: i64, %tensor: !ptr, %s0: i64, %s1: i64, %width: i64, %stride: i64)
    attributes {llvm.linkage = #llvm.linkage<internal>} {
  %0 = llvm.getelementptr %tensor[0, 0] : (!ptr) -> !ptr, !tensor
  %1 = llvm.getelementptr %tensor[0, 2] : (!ptr) -> !ptr, !tensor
  %2 = llvm.getelementptr %tensor[0, 3] : (!ptr) -> !ptr, !tensor
  %3 = llvm.getelementptr %tensor[0, 4, 0] : (!ptr) -> !ptr, !tensor
  %4 = llvm.getelementptr %tensor[0, 4, 1] : (!ptr) -> !ptr, !tensor
  %5 = llvm.getelementptr %tensor[0, 4, 2] : (!ptr) -> !ptr, !tensor
  %f32 = arith.constant 0 : i32
  %rank = arith.constant 3 : i32
  llvm.store %f32, %1 : i32, !ptr
  llvm.store %rank, %2 : i32, !ptr
  llvm.store %s0, %3 : i64, !ptr
  llvm.store %s1, %4 : i64, !ptr
  llvm.store %width, %5 : i64, !ptr
  %data = llvm.load %0 : !ptr -> !ptr
  %begin = arith.constant 0 : index
  %next = arith.constant 1 : index
  %count = arith.index_cast %rows : i64 to index
  %columns = arith.index_cast %width : i64 to index
  scf.for %i = %begin to %count step %next {
    %row = arith.index_cast %i : index to i64
    %from = arith.muli %row, %stride : i64
    %to = arith.muli %row, %width : i64
    scf.for %j = %begin to %columns step %next {
      %column = arith.index_cast %j : index to i64
      %a = arith.addi %from, %column : i64
      %b = arith.addi %to, %column : i64
      %source = llvm.getelementptr %arena[%a] : (!ptr, i64) -> !ptr, f32
      %target = llvm.getelementptr %data[%b] : (!ptr, i64) -> !ptr, f32
      %value = llvm.load %source : !ptr -> f32
      llvm.store %value, %target : f32, !ptr
    }
  }
  return
}

// Nonzero dims [s0, s1] of an id tensor that is well formed, else 0.
func.func private @{P}_shape(%tensor: !ptr) -> (i64, i64) attributes {llvm.linkage = #llvm.linkage<internal>} {
  %0 = llvm.getelementptr %tensor[0, 0] : (!ptr) -> !ptr, !tensor
  %1 = llvm.getelementptr %tensor[0, 1] : (!ptr) -> !ptr, !tensor
  %2 = llvm.getelementptr %tensor[0, 2] : (!ptr) -> !ptr, !tensor
  %3 = llvm.getelementptr %tensor[0, 3] : (!ptr) -> !ptr, !tensor
  %4 = llvm.getelementptr %tensor[0, 4, 0] : (!ptr) -> !ptr, !tensor
  %5 = llvm.getelementptr %tensor[0, 4, 1] : (!ptr) -> !ptr, !tensor
  %data = llvm.load %0 : !ptr -> !ptr
  %bytes = llvm.load %1 : !ptr -> i64
  %type = llvm.load %2 : !ptr -> i32
  %rank = llvm.load %3 : !ptr -> i32
  %s0 = llvm.load %4 : !ptr -> i64
  %s1 = llvm.load %5 : !ptr -> i64
  %none = llvm.mlir.zero : !ptr
  %two = arith.constant 2 : i32
  %int = arith.constant 1 : i32
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %most = arith.constant {ROWS} : i64
  %four = arith.constant 4 : i64
  %eight = arith.constant 8 : i64
  %hasData = llvm.icmp "ne" %data, %none : !ptr
  %matrix = arith.cmpi eq, %rank, %two : i32
  %i64 = arith.cmpi eq, %type, %two : i32
  %i32 = arith.cmpi eq, %type, %int : i32
  %typed = arith.ori %i64, %i32 : i1
  %less0 = arith.subi %s0, %one : i64
  %less1 = arith.subi %s1, %one : i64
  %fits0 = arith.cmpi ult, %less0, %most : i64
  %fits1 = arith.cmpi ult, %less1, %most : i64
  %a = arith.andi %hasData, %matrix : i1
  %b = arith.andi %typed, %fits0 : i1
  %c = arith.andi %a, %b : i1
  %d = arith.andi %c, %fits1 : i1
  %width = arith.select %i64, %eight, %four : i64
  %count = arith.muli %s0, %s1 : i64
  %size = arith.muli %count, %width : i64
  %enough = arith.cmpi uge, %bytes, %size : i64
  %good = arith.andi %d, %enough : i1
  %r0 = arith.select %good, %s0, %zero : i64
  %r1 = arith.select %good, %s1, %zero : i64
  return %r0, %r1 : i64, i64
}
)mlir";

static void replaceAll(std::string &text, StringRef key, const std::string &value) {
  for (size_t at = text.find(key.str()); at != std::string::npos;
       at = text.find(key.str(), at + value.size()))
    text.replace(at, key.size(), value);
}

// The body of P_run, spelled for this model's inputs and outputs.
static std::string runFunction(const InterfaceFacts &facts) {
  std::string s;
  llvm::raw_string_ostream o(s);
  o << "func.func @{P}_run(%model: !ptr, %inputs: !ptr, %outputs: !ptr) -> i32 {\n"
    << "  %none = llvm.mlir.zero : !ptr\n  %zero = arith.constant 0 : i64\n"
    << "  %argument = arith.constant 1 : i32\n"
    << "  %good0 = llvm.icmp \"ne\" %model, %none : !ptr\n";
  std::string indent = "  ";
  int64_t nesting = 0;
  auto openIf = [&](const std::string &condition) {
    o << indent << "%r" << nesting << " = scf.if " << condition << " -> i32 {\n";
    ++nesting;
    indent += "  ";
  };
  openIf("%good0");
  if (facts.inputs.empty()) {
    o << indent << "%s0 = arith.constant "
      << facts.fixedRows / std::max<int64_t>(1, facts.fixedSequence) << " : i64\n"
      << indent << "%s1 = arith.constant " << facts.fixedSequence << " : i64\n";
  } else {
    o << indent << "%in = llvm.icmp \"ne\" %inputs, %none : !ptr\n";
    openIf("%in");
    for (size_t i = 0; i < facts.inputs.size(); ++i) {
      o << indent << "%t" << i << " = llvm.getelementptr %inputs[" << i
        << "] : (!ptr) -> !ptr, !tensor\n";
      o << indent << "%d" << i << ":2 = func.call @{P}_shape(%t" << i
        << ") : (!ptr) -> (i64, i64)\n";
      o << indent << "%same0_" << i << " = arith.cmpi eq, %d0#0, %d" << i << "#0 : i64\n";
      o << indent << "%same1_" << i << " = arith.cmpi eq, %d0#1, %d" << i << "#1 : i64\n";
      o << indent << "%some_" << i << " = arith.cmpi ne, %d" << i << "#0, %zero : i64\n";
      o << indent << "%a_" << i << " = arith.andi %same0_" << i << ", %same1_" << i << " : i1\n";
      o << indent << "%ok_" << i << " = arith.andi %a_" << i << ", %some_" << i << " : i1\n";
      openIf("%ok_" + std::to_string(i));
    }
    o << indent << "%s0 = arith.addi %d0#0, %zero : i64\n"
      << indent << "%s1 = arith.addi %d0#1, %zero : i64\n";
  }
  o << indent << "%rows = arith.muli %s0, %s1 : i64\n"
    << indent << "%mostRows = arith.constant {ROWS} : i64\n"
    << indent << "%mostSequence = arith.constant {SEQUENCE} : i64\n"
    << indent << "%fitRows = arith.cmpi ule, %rows, %mostRows : i64\n"
    << indent << "%fitSequence = arith.cmpi ule, %s1, %mostSequence : i64\n"
    << indent << "%fit = arith.andi %fitRows, %fitSequence : i1\n";
  openIf("%fit");
  for (size_t i = 0; i < facts.outputs.size(); ++i) {
    std::string n = std::to_string(i);
    o << indent << "%o" << n << " = llvm.getelementptr %outputs[" << n
      << "] : (!ptr) -> !ptr, !tensor\n"
      << indent << "%oda" << n << " = llvm.getelementptr %o" << n
      << "[0, 0] : (!ptr) -> !ptr, !tensor\n"
      << indent << "%oba" << n << " = llvm.getelementptr %o" << n
      << "[0, 1] : (!ptr) -> !ptr, !tensor\n"
      << indent << "%od" << n << " = llvm.load %oda" << n << " : !ptr -> !ptr\n"
      << indent << "%ob" << n << " = llvm.load %oba" << n << " : !ptr -> i64\n"
      << indent << "%ow" << n << " = arith.constant " << facts.outputs[i].width * 4 << " : i64\n"
      << indent << "%os" << n << " = arith.muli %rows, %ow" << n << " : i64\n"
      << indent << "%oe" << n << " = arith.cmpi uge, %ob" << n << ", %os" << n << " : i64\n"
      << indent << "%on" << n << " = llvm.icmp \"ne\" %od" << n << ", %none : !ptr\n"
      << indent << "%og" << n << " = arith.andi %oe" << n << ", %on" << n << " : i1\n";
    openIf("%og" + n);
  }
  o << indent << "%aa = llvm.getelementptr %model[0, 0] : (!ptr) -> !ptr, !model\n"
    << indent << "%arena = llvm.load %aa : !ptr -> !ptr\n"
    << indent << "%valid = arith.constant true\n";
  std::string valid = "%valid";
  for (size_t i = 0; i < facts.inputs.size(); ++i) {
    std::string n = std::to_string(i);
    o << indent << "%ia" << n << " = llvm.getelementptr %arena[" << facts.inputs[i].buffer
      << "] : (!ptr) -> !ptr, i8\n"
      << indent << "%il" << n << " = arith.constant " << facts.inputs[i].limit << " : i64\n"
      << indent << "%iv" << n << " = func.call @{P}_convert(%t" << n << ", %rows, %ia" << n
      << ", %il" << n << ") : (!ptr, i64, !ptr, i64) -> i1\n"
      << indent << "%ic" << n << " = arith.andi " << valid << ", %iv" << n << " : i1\n";
    valid = "%ic" + n;
  }
  o << indent << "%code = scf.if " << valid << " -> i32 {\n"
    << indent << "  func.call @{P}_dispatch(%model, %none, %rows, %s1, %zero, %rows, %none) : "
    << "(!ptr, !ptr, i64, i64, i64, i64, !ptr) -> ()\n";
  for (size_t i = 0; i < facts.outputs.size(); ++i) {
    std::string n = std::to_string(i);
    o << indent << "  %ra" << n << " = llvm.getelementptr %arena[" << facts.outputs[i].buffer
      << "] : (!ptr) -> !ptr, i8\n"
      << indent << "  %rw" << n << " = arith.constant " << facts.outputs[i].width << " : i64\n"
      << indent << "  %rs" << n << " = arith.constant " << facts.outputs[i].stride << " : i64\n"
      << indent << "  func.call @{P}_copy_out(%ra" << n << ", %rows, %o" << n << ", %s0, %s1, %rw"
      << n << ", %rs" << n << ") : (!ptr, i64, !ptr, i64, i64, i64, i64) -> ()\n";
  }
  o << indent << "  %ok = arith.constant 0 : i32\n"
    << indent << "  %failed = arith.constant 5 : i32\n"
    << indent << "  %no = arith.constant 0 : i32\n";
  std::string sum = "%no";
  for (size_t i = 0; i < facts.flags.size(); ++i) {
    std::string n = std::to_string(i);
    o << indent << "  %fa" << n << " = llvm.getelementptr %arena[" << facts.flags[i]
      << "] : (!ptr) -> !ptr, i8\n"
      << indent << "  %fv" << n << " = llvm.load %fa" << n << " : !ptr -> i32\n"
      << indent << "  %fo" << n << " = arith.ori " << sum << ", %fv" << n << " : i32\n";
    sum = "%fo" + n;
  }
  o << indent << "  %any = arith.cmpi ne, " << sum << ", %no : i32\n"
    << indent << "  %result = arith.select %any, %failed, %ok : i32\n"
    << indent << "  scf.yield %result : i32\n"
    << indent << "} else {\n"
    << indent << "  %token = arith.constant 2 : i32\n"
    << indent << "  scf.yield %token : i32\n"
    << indent << "}\n"
    << indent << "scf.yield %code : i32\n";
  while (nesting--) {
    indent.resize(indent.size() - 2);
    o << indent << "} else {\n" << indent << "  scf.yield %argument : i32\n" << indent << "}\n";
    if (nesting)
      o << indent << "scf.yield %r" << nesting << " : i32\n";
  }
  o << "  return %r0 : i32\n}\n";
  return s;
}

LogicalResult llmc::emitInterface(ModuleOp module, const InterfaceFacts &facts) {
  std::string text = std::string(kAliases) + kCommon;
  text += facts.isStep ? std::string(kStep) : kRunHead + runFunction(facts);
  replaceAll(text, "{P}", facts.prefix);
  auto fill = [&](StringRef key, int64_t value) { replaceAll(text, key, std::to_string(value)); };
  fill("{CONTEXT}", facts.isStep ? facts.context : 0);
  fill("{ROWS}", facts.isStep ? facts.chunk : facts.maxTokens);
  fill("{ARENA}", facts.arenaBytes);
  fill("{SCRATCH}", facts.scratchBytes);
  fill("{KVBLOCK}", facts.kvBlockBytes);
  fill("{LIMIT}", facts.inputs.empty() ? 0 : facts.inputs[0].limit);
  fill("{VOCAB}", facts.vocabulary);
  fill("{IDS}", facts.idsBuffer);
  fill("{SEQUENCE}", facts.sequenceLimit);
  OwningOpRef<ModuleOp> parsed = parseSourceString<ModuleOp>(text, module.getContext());
  if (!parsed)
    return module.emitError("the C interface of this module could not be built");
  for (Operation &op : llvm::make_early_inc_range(parsed->getBody()->getOperations())) {
    auto symbol = cast<SymbolOpInterface>(op);
    Operation *existing = module.lookupSymbol(symbol.getName());
    if (existing && cast<SymbolOpInterface>(existing).isDeclaration())
      existing->erase(); // The step knew the barrier by name only.
    else if (existing)
      continue; // The interface knew the step by name only.
    op.moveBefore(module.getBody(), module.getBody()->end());
  }
  return success();
}
