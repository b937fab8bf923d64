/* A model made by hand, for testing what runs models: no matter what real ones compute, this one's
 * answers can be worked out in a test. The logits of id v behind ids i_0 .. i_p are
 *
 *   logit[v] = weight[v] - |(s + 7 v) mod 31 - 15| / 4,   s = sum over j <= p of i_j (j + 1)
 *
 * computed in parallel with a barrier between the sum and the logits. */
#include "llmc/Runtime/llmc.h"

#include <stdlib.h>

#ifndef TOY_ABI
#define TOY_ABI LLMC_ABI
#endif

enum { Vocab = 50, Context = 64, Chunk = 8, MaxTokens = 12 };

static const char info[] =
#include "ToyModelInfo.inc"
    ;

int32_t toy_abi(void) { return TOY_ABI; }

const char *toy_info_json(void) { return info; }

int32_t toy_sizes(int64_t context, int64_t chunk, int32_t threads, uint64_t *arena, uint64_t *kv) {
  if (context < 0 || context > Context || chunk < 1 || threads < 1 || !arena || !kv)
    return LLMC_BAD_ARGUMENT;
  *arena = 64;
  *kv = (uint64_t)context * sizeof(int32_t);
  return LLMC_OK;
}

int32_t toy_init(llmc_model *model, void *arena, const void *weights, const llmc_threads *threads) {
  if (!model || !arena || !weights || (uintptr_t)weights % 64)
    return LLMC_BAD_ARGUMENT;
  model->arena = arena;
  model->weights = weights;
  model->threads = threads;
  return LLMC_OK;
}

int32_t toy_state_init(llmc_state *state, void *kv) {
  if (!state || !kv)
    return LLMC_BAD_ARGUMENT;
  state->kv = kv;
  state->length = 0;
  state->context = Context;
  return LLMC_OK;
}

typedef struct {
  llmc_model *model;
  const int32_t *held;
  int64_t count;
  float *logits;
} Job;

static void step(void *argument, int32_t index, int32_t count) {
  Job *job = argument;
  int64_t *sum = job->model->arena;
  if (index == 0) {
    *sum = 0;
    for (int64_t j = 0; j < job->count; ++j)
      *sum += job->held[j] * (j + 1);
  }
  if (job->model->threads)
    job->model->threads->barrier(job->model->threads->context, index);
  const float *weight = job->model->weights;
  for (int64_t v = index; v < Vocab; v += count)
    job->logits[v] = weight[v] - (float)llabs((*sum + 7 * v) % 31 - 15) / 4;
}

static int32_t feed(llmc_model *model, llmc_state *state, const int32_t *ids, int64_t n,
                    float *logits, int all) {
  if (!model || !state || !ids || !logits || n < 1 || n > Chunk)
    return LLMC_BAD_ARGUMENT;
  for (int64_t i = 0; i < n; ++i)
    if (ids[i] < 0 || ids[i] >= Vocab)
      return LLMC_BAD_TOKEN;
  if (n > state->context - state->length)
    return LLMC_CONTEXT_FULL;
  int32_t *held = state->kv;
  for (int64_t i = 0; i < n; ++i) {
    held[state->length++] = ids[i];
    if (!all && i + 1 < n)
      continue;
    Job job = {model, held, state->length, all ? logits + i * Vocab : logits};
    if (model->threads)
      model->threads->parallel(model->threads->context, step, &job);
    else
      step(&job, 0, 1);
  }
  return LLMC_OK;
}

int32_t toy_prefill(llmc_model *model, llmc_state *state, const int32_t *ids, int64_t n,
                    float *logits) {
  return feed(model, state, ids, n, logits, 0);
}

int32_t toy_prefill_all(llmc_model *model, llmc_state *state, const int32_t *ids, int64_t n,
                        float *logits) {
  return feed(model, state, ids, n, logits, 1);
}

int32_t toy_decode(llmc_model *model, llmc_state *const states[], const int32_t ids[], int64_t n,
                   float *logits) {
  return n == 1 ? feed(model, states[0], ids, 1, logits, 0) : LLMC_UNSUPPORTED;
}

/* hidden[b, s, :] = {id + weight[0], mask, position, type}; total[b] = sum of ids */
int32_t toy_run(llmc_model *model, const llmc_tensor inputs[], llmc_tensor outputs[]) {
  const int64_t batch = inputs[0].shape[0], sequence = inputs[0].shape[1];
  if (inputs[0].type != LLMC_I64 || inputs[1].type != LLMC_F32 || inputs[2].type != LLMC_I32 ||
      inputs[3].type != LLMC_I64 || batch * sequence > MaxTokens ||
      outputs[0].bytes < (uint64_t)(batch * sequence) * 4 * sizeof(float) ||
      outputs[1].bytes < (uint64_t)batch * sizeof(int64_t))
    return LLMC_BAD_ARGUMENT;
  const int64_t *ids = inputs[0].data, *types = inputs[3].data;
  const float *mask = inputs[1].data;
  const int32_t *positions = inputs[2].data;
  float *hidden = outputs[0].data;
  int64_t *total = outputs[1].data;
  for (int64_t b = 0; b < batch; ++b) {
    total[b] = 0;
    for (int64_t s = 0; s < sequence; ++s) {
      const int64_t i = b * sequence + s;
      hidden[4 * i] = (float)ids[i] + *(const float *)model->weights;
      hidden[4 * i + 1] = mask[i];
      hidden[4 * i + 2] = (float)positions[i];
      hidden[4 * i + 3] = (float)types[i];
      total[b] += ids[i];
    }
  }
  outputs[0].rank = 3;
  outputs[0].shape[0] = batch;
  outputs[0].shape[1] = sequence;
  outputs[0].shape[2] = 4;
  outputs[1].rank = 1;
  outputs[1].shape[0] = batch;
  return LLMC_OK;
}
