/* The C ABI of a compiled model: the types every generated header shares.
 *
 * C99, valid C++17, self-contained. A generated header <P>.h (P is the symbol prefix) includes this
 * text and declares
 *
 *   int32_t     P_abi(void);                       LLMC_ABI of the compiler that made the object
 *   const char *P_info_json(void);                 what is in the artifact: roles, shapes, target
 *   int32_t     P_sizes(int64_t context, int64_t chunk, int32_t threads,
 *                       uint64_t *arena, uint64_t *kv);
 *   int32_t     P_check_cpu(char *why);            does this machine have what the code needs?
 *                                                  Before anything else; also asks Linux for
 *                                                  tile registers (AMX). why: NULL, or LLMC_WHY
 *                                                  bytes for one line that names what is missing
 *   int32_t     P_init(llmc_model *, void *arena, const void *weights, const llmc_threads *);
 *                                                  weights may be NULL if they are in the object
 *                                                  (--embed-weights)
 *   int32_t     P_state_init(llmc_state *, void *kv);
 *   int32_t     P_prefill(llmc_model *, llmc_state *, const int32_t *ids, int64_t n,
 *                         float *logits);
 *   int32_t     P_prefill_all(llmc_model *, llmc_state *, const int32_t *ids, int64_t n,
 *                             float *logits);
 *   int32_t     P_decode(llmc_model *, llmc_state *const states[], const int32_t ids[], int64_t n,
 *                        float *logits);
 *   int32_t     P_run(llmc_model *, const llmc_tensor inputs[], llmc_tensor outputs[]);
 *                                                  plain graphs
 *
 * and, of the model: P_VOCABULARY (ids are below it), P_WIDTH (floats in a row of the first output,
 * the logits), P_WIDTH_0, P_WIDTH_1 ... (of each output), P_CONTEXT, P_CHUNK, P_MAX_TOKENS (what it
 * was compiled for), with P in capitals.
 *
 * P_check_cpu, P_abi, P_info_json, P_sizes, P_init and P_state_init run on every processor of the
 * architecture. P_init makes the check again and refuses with LLMC_BAD_CPU.
 *
 * All buffers belong to the caller, are 64-byte aligned, and must outlive the model (arena,
 * weights) or the state (kv). Nothing is allocated after init and no function aborts: every error
 * is a code below, and the state is unchanged then. One model may be used by one call at a time;
 * different models and states are independent.
 */
#ifndef LLMC_RUNTIME_LLMC_H
#define LLMC_RUNTIME_LLMC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LLMC_ABI 1

/* Bytes that P_check_cpu may write to `why`. */
#define LLMC_WHY 96

/* Result codes of every int32_t function. */
enum {
  LLMC_OK = 0,
  LLMC_BAD_ARGUMENT = 1, /* NULL, misaligned, n < 1, context or chunk over what was compiled */
  LLMC_BAD_TOKEN = 2,    /* a token id outside [0, vocab) */
  LLMC_CONTEXT_FULL = 3, /* the ids do not fit behind what the state holds */
  LLMC_UNSUPPORTED = 4,  /* valid by signature, not by this artifact (another role) */
  LLMC_CHECK_FAILED = 5, /* an expect_close or expect_eq of the model did not hold (tests) */
  LLMC_BAD_CPU = 6 /* the processor, or what the system lets use of it, lacks what the code needs */
};

/* A pool of threads lent to the model. NULL instead of a pointer to it means serial. */
typedef struct llmc_threads {
  int32_t count; /* how many indices parallel() runs, >= 1 */
  void *context; /* handed back to both callbacks */
  /* Runs body(argument, index, count) once for each index in [0, count), index 0 on the calling
   * thread; returns when all have returned. */
  void (*parallel)(void *context, void (*body)(void *argument, int32_t index, int32_t count),
                   void *argument);
  /* Called by every index from inside body: returns when all indices have called it. */
  void (*barrier)(void *context, int32_t index);
} llmc_threads;

/* A loaded model. Filled by P_init; treat as opaque. */
typedef struct llmc_model {
  void *arena;
  const void *weights;
  const llmc_threads *threads;
  int64_t reserved[5];
} llmc_model;

/* One sequence and its cache. P_state_init sets length 0 and context to what was compiled; the
 * caller may lower context to what its kv buffer holds (see P_sizes). Setting length back truncates
 * the sequence. Models whose rotation depends on the length (LongRoPE) take that behind the call; a
 * prompt that is fed in pieces has the same answer in one call and in several if announced is set
 * to its whole length, as counted from the start of the sequence, and to 0 behind it. */
typedef struct llmc_state {
  void *kv;
  int64_t length;    /* positions held */
  int64_t context;   /* positions that fit */
  int64_t announced; /* positions that will be held behind further calls, or 0 */
  int64_t reserved[4];
} llmc_state;

enum { LLMC_F32 = 0, LLMC_I32 = 1, LLMC_I64 = 2 };

/* A dense row-major tensor of P_run. For outputs the caller gives data and its capacity in bytes;
 * shape is written. */
typedef struct llmc_tensor {
  void *data;
  uint64_t bytes; /* size of data */
  int32_t type;   /* LLMC_F32, LLMC_I32, LLMC_I64 */
  int32_t rank;
  int64_t shape[8];
} llmc_tensor;

#ifdef __cplusplus
}
#endif

#endif /* LLMC_RUNTIME_LLMC_H */
