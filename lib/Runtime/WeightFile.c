/* Opens a .safetensors file by mapping it, and checks its header strictly first: nothing in it is
 * trusted. The format: https://huggingface.co/docs/safetensors#format */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "llmc/Runtime/llmcrt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { Alignment = 64, MaximumRank = 16, MaximumHeader = 100000000 };

/* A slice of the header: the raw text between quotes, escapes and all. */
typedef struct {
  const char *text;
  size_t size;
} Slice;

typedef struct {
  Slice name;
  uint64_t begin;
  uint64_t end;
} Tensor;

typedef struct {
  const char *base;
  const char *at;
  const char *end;
  const char *problem; /* the first; NULL while all is well */
  Tensor *tensors;
  size_t count;
  size_t capacity;
} Parser;

static int fail(Parser *parser, const char *problem) {
  if (!parser->problem)
    parser->problem = problem;
  return 0;
}

static void skipSpace(Parser *parser) {
  while (parser->at < parser->end &&
         (*parser->at == ' ' || *parser->at == '\n' || *parser->at == '\t' || *parser->at == '\r'))
    ++parser->at;
}

static int peek(Parser *parser, char c) {
  skipSpace(parser);
  return parser->at < parser->end && *parser->at == c;
}

static int take(Parser *parser, char c) {
  if (!peek(parser, c))
    return 0;
  ++parser->at;
  return 1;
}

static int isHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int parseString(Parser *parser, Slice *slice) {
  if (!take(parser, '"'))
    return fail(parser, "expected a string");
  slice->text = parser->at;
  for (; parser->at < parser->end; ++parser->at) {
    const unsigned char c = (unsigned char)*parser->at;
    if (c == '"') {
      slice->size = (size_t)(parser->at++ - slice->text);
      return 1;
    }
    if (c < 0x20)
      return fail(parser, "a control character in a string");
    if (c != '\\')
      continue;
    if (++parser->at == parser->end)
      break;
    if (*parser->at == 'u') {
      if (parser->end - parser->at < 5)
        break;
      for (int i = 1; i <= 4; ++i)
        if (!isHex(parser->at[i]))
          return fail(parser, "a wrong \\u escape in a string");
      parser->at += 4;
    } else if (*parser->at == 0 || !strchr("\"\\/bfnrt", *parser->at)) {
      return fail(parser, "a wrong escape in a string");
    }
  }
  return fail(parser, "a string without an end");
}

/* Whole numbers only, without sign, leading zero or overflow. */
static int parseNumber(Parser *parser, uint64_t *value) {
  skipSpace(parser);
  const char *begin = parser->at;
  *value = 0;
  for (; parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9'; ++parser->at)
    if (__builtin_mul_overflow(*value, 10, value) ||
        __builtin_add_overflow(*value, (uint64_t)(*parser->at - '0'), value))
      return fail(parser, "a number over 64 bits");
  if (parser->at == begin)
    return fail(parser, "expected a whole number");
  if (*begin == '0' && parser->at - begin > 1)
    return fail(parser, "a number with a leading zero");
  return 1;
}

static int equals(Slice slice, const char *text) {
  return slice.size == strlen(text) && memcmp(slice.text, text, slice.size) == 0;
}

/* Bits of one element, 0 when unknown. */
static uint64_t bitsOf(Slice dtype) {
  static const struct {
    const char *name;
    uint64_t bits;
  } types[] = {{"BOOL", 8}, {"U8", 8},   {"I8", 8},      {"F8_E4M3", 8}, {"F8_E5M2", 8},
               {"U16", 16}, {"I16", 16}, {"F16", 16},    {"BF16", 16},   {"U32", 32},
               {"I32", 32}, {"F32", 32}, {"F8_E8M0", 8}, {"U64", 64},    {"I64", 64},
               {"F64", 64}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}};
  for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); ++i)
    if (equals(dtype, types[i].name))
      return types[i].bits;
  return 0;
}

/* [2, 3] into the product of its numbers; empty is 1. */
static int parseShape(Parser *parser, uint64_t *elements) {
  *elements = 1;
  if (!take(parser, '['))
    return fail(parser, "expected a shape");
  if (take(parser, ']'))
    return 1;
  for (int rank = 1;; ++rank) {
    uint64_t size;
    if (!parseNumber(parser, &size))
      return 0;
    if (rank > MaximumRank)
      return fail(parser, "a shape of more than 16 dimensions");
    if (__builtin_mul_overflow(*elements, size, elements))
      return fail(parser, "a shape whose product overflows");
    if (take(parser, ']'))
      return 1;
    if (!take(parser, ','))
      return fail(parser, "expected ',' or ']' in a shape");
  }
}

/* {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}: each exactly once, in any order. */
static int parseTensor(Parser *parser, Tensor *tensor) {
  enum { Dtype = 1, Shape = 2, Offsets = 4, All = 7 };
  int seen = 0;
  uint64_t bits = 0, elements = 0;
  if (!take(parser, '{'))
    return fail(parser, "expected a tensor");
  do {
    Slice key, dtype;
    int which;
    if (!parseString(parser, &key))
      return 0;
    if (!take(parser, ':'))
      return fail(parser, "expected ':'");
    if (equals(key, "dtype")) {
      which = Dtype;
      if (!parseString(parser, &dtype))
        return 0;
      bits = bitsOf(dtype);
      if (!bits)
        return fail(parser, "an unknown dtype");
    } else if (equals(key, "shape")) {
      which = Shape;
      if (!parseShape(parser, &elements))
        return 0;
    } else if (equals(key, "data_offsets")) {
      which = Offsets;
      if (!take(parser, '['))
        return fail(parser, "expected a pair of offsets");
      if (!parseNumber(parser, &tensor->begin))
        return 0;
      if (!take(parser, ','))
        return fail(parser, "expected a pair of offsets");
      if (!parseNumber(parser, &tensor->end))
        return 0;
      if (!take(parser, ']'))
        return fail(parser, "expected a pair of offsets");
    } else {
      return fail(parser, "an unknown field of a tensor");
    }
    if (seen & which)
      return fail(parser, "a field of a tensor twice");
    seen |= which;
  } while (take(parser, ','));
  if (!take(parser, '}'))
    return fail(parser, "expected ',' or '}' in a tensor");
  if (seen != All)
    return fail(parser, "a tensor without dtype, shape or data_offsets");
  uint64_t total;
  if (__builtin_mul_overflow(elements, bits, &total) || total % 8)
    return fail(parser, "a tensor whose size overflows or is no whole number of bytes");
  if (tensor->begin > tensor->end || tensor->end - tensor->begin != total / 8)
    return fail(parser, "a tensor whose shape and data_offsets disagree");
  return 1;
}

/* {"key": "text", ...} */
static int parseMetadata(Parser *parser) {
  if (!take(parser, '{'))
    return fail(parser, "__metadata__ is no object");
  if (take(parser, '}'))
    return 1;
  do {
    Slice key, value;
    if (!parseString(parser, &key))
      return 0;
    if (!take(parser, ':'))
      return fail(parser, "expected ':'");
    if (!parseString(parser, &value))
      return 0;
  } while (take(parser, ','));
  return take(parser, '}') ? 1 : fail(parser, "expected ',' or '}' in __metadata__");
}

static int parseHeader(Parser *parser) {
  int metadata = 0;
  if (parser->at == parser->end || *parser->at != '{')
    return fail(parser, "the header does not begin with '{'");
  ++parser->at;
  if (!take(parser, '}')) {
    do {
      Slice name;
      if (!parseString(parser, &name))
        return 0;
      if (!take(parser, ':'))
        return fail(parser, "expected ':'");
      if (equals(name, "__metadata__")) {
        if (metadata++)
          return fail(parser, "__metadata__ twice");
        if (!parseMetadata(parser))
          return 0;
        continue;
      }
      if (parser->count == parser->capacity) {
        const size_t capacity = parser->capacity ? 2 * parser->capacity : 64;
        Tensor *grown = realloc(parser->tensors, capacity * sizeof(Tensor));
        if (!grown)
          return fail(parser, "no memory for the header");
        parser->tensors = grown;
        parser->capacity = capacity;
      }
      Tensor *tensor = &parser->tensors[parser->count];
      tensor->name = name;
      if (!parseTensor(parser, tensor))
        return 0;
      ++parser->count;
    } while (take(parser, ','));
    if (!take(parser, '}'))
      return fail(parser, "expected ',' or '}'");
  }
  skipSpace(parser);
  return parser->at == parser->end ? 1 : fail(parser, "text behind the header's object");
}

static int byName(const void *a, const void *b) {
  const Slice *x = &((const Tensor *)a)->name, *y = &((const Tensor *)b)->name;
  const int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
  return order ? order : (x->size > y->size) - (x->size < y->size);
}

static int byRange(const void *a, const void *b) {
  const Tensor *x = a, *y = b;
  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  return (x->end > y->end) - (x->end < y->end);
}

static const char *checkTensors(Parser *parser, uint64_t dataBytes, const Tensor **culprit) {
  if (!parser->count)
    return dataBytes ? "bytes that belong to no tensor" : NULL;
  qsort(parser->tensors, parser->count, sizeof(Tensor), byName);
  for (size_t i = 1; i < parser->count; ++i) {
    *culprit = &parser->tensors[i];
    if (byName(&parser->tensors[i - 1], &parser->tensors[i]) == 0)
      return "the same name twice";
  }
  qsort(parser->tensors, parser->count, sizeof(Tensor), byRange);
  uint64_t expected = 0;
  for (size_t i = 0; i < parser->count; ++i) {
    *culprit = &parser->tensors[i];
    if ((*culprit)->end > dataBytes)
      return "a range past the end of the file";
    if ((*culprit)->begin < expected)
      return "a range that overlaps another";
    if ((*culprit)->begin > expected)
      return "a hole before its range";
    expected = (*culprit)->end;
  }
  return expected == dataBytes ? NULL : "bytes behind its range that belong to no tensor";
}

int32_t llmcrt_weights_check(const char *header, uint64_t headerBytes, uint64_t dataBytes,
                             char *why) {
  char unused[LLMCRT_ERROR];
  if (!why)
    why = unused;
  if (!header || headerBytes > MaximumHeader) {
    snprintf(why, LLMCRT_ERROR, "a header of %llu bytes, expected at most %d",
             (unsigned long long)headerBytes, MaximumHeader);
    return 1;
  }
  Parser parser = {.base = header, .at = header, .end = header + headerBytes};
  int bad = 0;
  if (!parseHeader(&parser)) {
    snprintf(why, LLMCRT_ERROR, "%s at byte %lld of the header", parser.problem,
             (long long)(parser.at - parser.base));
    bad = 1;
  } else {
    const Tensor *culprit = NULL;
    const char *problem = checkTensors(&parser, dataBytes, &culprit);
    if (problem && culprit)
      snprintf(why, LLMCRT_ERROR, "tensor '%.*s' has %s",
               (int)(culprit->name.size > 200 ? 200 : culprit->name.size), culprit->name.text,
               problem);
    else if (problem)
      snprintf(why, LLMCRT_ERROR, "the file has %s", problem);
    bad = problem != NULL;
  }
  free(parser.tensors);
  return bad;
}

/* Maps the file whole; 0 or an error. */
static int mapFile(const char *path, llmcrt_weights *weights, char *why) {
  struct stat status;
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    snprintf(why, LLMCRT_ERROR, "%.300s: %s", path, strerror(errno));
    return 1;
  }
  if (fstat(file, &status) || !S_ISREG(status.st_mode) || status.st_size < 8) {
    snprintf(why, LLMCRT_ERROR, "%.300s: not a safetensors file", path);
    close(file);
    return 1;
  }
  void *map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (map == MAP_FAILED) {
    snprintf(why, LLMCRT_ERROR, "%.300s: cannot be mapped: %s", path, strerror(errno));
    return 1;
  }
  weights->map = map;
  weights->map_bytes = (uint64_t)status.st_size;
  return 0;
}

int32_t llmcrt_weights_open(const char *path, llmcrt_weights *weights, char *why) {
  char unused[LLMCRT_ERROR];
  if (!why)
    why = unused;
  *weights = (llmcrt_weights){0};
  if (mapFile(path, weights, why))
    return 1;
  const unsigned char *bytes = weights->map;
  uint64_t headerBytes = 0;
  for (int i = 7; i >= 0; --i)
    headerBytes = headerBytes << 8 | bytes[i];
  char reason[LLMCRT_ERROR];
  const uint64_t behind = weights->map_bytes - 8;
  int bad = 1;
  if (headerBytes > MaximumHeader || headerBytes > behind)
    snprintf(reason, sizeof(reason), "states a header of %llu bytes, but %llu follow",
             (unsigned long long)headerBytes, (unsigned long long)behind);
  else if ((headerBytes + 8) % Alignment)
    snprintf(reason, sizeof(reason), "the data begins at byte %llu, not at a multiple of %d",
             (unsigned long long)headerBytes + 8, Alignment);
  else
    bad = llmcrt_weights_check((const char *)bytes + 8, headerBytes, behind - headerBytes, reason);
  if (bad) {
    snprintf(why, LLMCRT_ERROR, "%.200s: %.300s", path, reason);
    llmcrt_weights_close(weights);
    return 1;
  }
  weights->data = bytes + 8 + headerBytes;
  weights->bytes = behind - headerBytes;
  return 0;
}

void llmcrt_weights_close(llmcrt_weights *weights) {
  llmcrt_weights_stop(weights);
  if (weights->map)
    munmap(weights->map, (size_t)weights->map_bytes);
  *weights = (llmcrt_weights){0};
}
