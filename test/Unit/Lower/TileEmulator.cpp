//===- TileEmulator.cpp - tile instructions on machines without them --------------------===//
//
// Decodes the VEX form of what generated code uses: ldtilecfg, tilerelease, tilezero, tileloadd,
// tilestored and the four tdpb*. Encodings and meaning: Intel SDM volume 2, chapter 3 (palette 1,
// eight tiles of 16 rows of 64 bytes).
//
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "TileEmulator.h"

#include "llmc/Runtime/llmcrt.h"

#include <csignal>
#include <cstring>
#include <ucontext.h>

#if defined(__x86_64__) && defined(__linux__)

namespace {

struct Tile {
  uint8_t rows, bytes; ///< of the configuration.
  uint8_t data[16][64];
};

struct State {
  bool configured;
  Tile tiles[8];
  int64_t products;
};

thread_local State state;

/// One instruction: VEX prefix of three bytes, opcode, ModRM, perhaps SIB and displacement.
struct Instruction {
  unsigned prefix;          ///< 0, 1: 66, 2: F3, 3: F2.
  unsigned opcode, reg, rm; ///< registers as they are encoded, extended by the prefix.
  unsigned source;          ///< VEX.vvvv.
  bool isMemory;
  uint8_t *base = nullptr; ///< address without its index.
  int64_t index = 0;       ///< scaled: the stride of rows.
  unsigned length;
};

constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

bool decode(const uint8_t *code, const greg_t *registers, Instruction &result) {
  if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || (code[2] & 0x84) != 0)
    return false;
  unsigned extendReg = code[1] & 0x80 ? 0 : 8, extendIndex = code[1] & 0x40 ? 0 : 8,
           extendBase = code[1] & 0x20 ? 0 : 8, mod = code[4] >> 6, low = code[4] & 7;
  result.prefix = code[2] & 3;
  result.source = ~(code[2] >> 3) & 15;
  result.opcode = code[3];
  result.reg = (code[4] >> 3 & 7) | extendReg;
  result.rm = low | extendBase;
  result.isMemory = mod != 3;
  result.length = 5;
  if (!result.isMemory)
    return true;
  auto value = [&](unsigned number) { return static_cast<int64_t>(registers[kRegisters[number]]); };
  if (low == 4) {
    uint8_t sib = code[result.length++];
    unsigned index = (sib >> 3 & 7) | extendIndex;
    if (index != 4)
      result.index = value(index) << (sib >> 6);
    low = sib & 7;
  }
  if (mod == 0 && low == 5)
    return false; // Without a base, or relative to the instruction: nothing here needs it.
  int64_t address = value(low | extendBase);
  if (mod == 1)
    address += static_cast<int8_t>(code[result.length++]);
  if (mod == 2) {
    int32_t displacement;
    std::memcpy(&displacement, code + result.length, 4);
    address += displacement;
    result.length += 4;
  }
  result.base = reinterpret_cast<uint8_t *>(address);
  return true;
}

bool configure(const uint8_t *memory) {
  state.configured = memory[0] == 1;
  for (int i = 0; i < 8; ++i) {
    uint16_t bytes;
    std::memcpy(&bytes, memory + 16 + 2 * i, 2);
    Tile &tile = state.tiles[i];
    tile = {memory[48 + i], static_cast<uint8_t>(bytes), {}};
    if (tile.rows > 16 || bytes > 64)
      return false;
  }
  return state.configured;
}

bool multiply(Tile &sums, const Tile &a, const Tile &b, bool signedA, bool signedB) {
  if (a.rows != sums.rows || b.bytes != sums.bytes || a.bytes != 4 * b.rows)
    return false;
  ++state.products;
  auto widen = [](uint8_t byte, bool isSigned) {
    return isSigned ? static_cast<int8_t>(byte) : static_cast<int>(byte);
  };
  for (int m = 0; m < sums.rows; ++m)
    for (int n = 0; n < sums.bytes / 4; ++n) {
      uint32_t sum;
      std::memcpy(&sum, &sums.data[m][4 * n], 4);
      for (int k = 0; k < a.bytes; ++k)
        sum += static_cast<uint32_t>(widen(a.data[m][k], signedA) *
                                     widen(b.data[k / 4][4 * n + k % 4], signedB));
      std::memcpy(&sums.data[m][4 * n], &sum, 4);
    }
  return true;
}

bool execute(const Instruction &op) {
  if (op.opcode == 0x49 && op.prefix == 0 && op.isMemory)
    return configure(op.base + op.index);
  if (op.opcode == 0x49 && op.prefix == 0) {
    state.configured = false;
    return true;
  }
  if (!state.configured || op.reg > 7)
    return false;
  Tile &tile = state.tiles[op.reg];
  if (op.opcode == 0x49 && op.prefix == 3 && !op.isMemory) {
    std::memset(tile.data, 0, sizeof(tile.data));
    return true;
  }
  if (op.opcode == 0x4b && op.isMemory && (op.prefix == 3 || op.prefix == 2)) {
    bool isLoad = op.prefix == 3;
    if (isLoad)
      std::memset(tile.data, 0, sizeof(tile.data));
    for (int row = 0; row < tile.rows; ++row) {
      uint8_t *memory = op.base + row * op.index;
      std::memcpy(isLoad ? tile.data[row] : memory, isLoad ? memory : tile.data[row], tile.bytes);
    }
    return true;
  }
  if (op.opcode != 0x5e || op.isMemory || op.rm > 7 || op.source > 7)
    return false;
  // No prefix: tdpbuud, 66: tdpbusd, F3: tdpbsud, F2: tdpbssd.
  return multiply(tile, state.tiles[op.rm], state.tiles[op.source], /*signedA=*/op.prefix & 2,
                  /*signedB=*/op.prefix & 1);
}

void onIllegalInstruction(int, siginfo_t *, void *context) {
  greg_t *registers = static_cast<ucontext_t *>(context)->uc_mcontext.gregs;
  Instruction op;
  if (decode(reinterpret_cast<const uint8_t *>(registers[REG_RIP]), registers, op) && execute(op))
    registers[REG_RIP] += op.length;
  else
    std::signal(SIGILL, SIG_DFL); // Runs into it again, and ends.
}

} // namespace

bool llmc::test::enableTiles() {
  static bool done = [] {
    if (llmcrt_cpu_has("amx-int8") == 1)
      return true;
    struct sigaction action = {};
    action.sa_sigaction = onIllegalInstruction;
    action.sa_flags = SA_SIGINFO;
    return sigaction(SIGILL, &action, nullptr) == 0;
  }();
  return done;
}

int64_t llmc::test::emulatedProducts() { return state.products; }

#else

bool llmc::test::enableTiles() { return false; }

int64_t llmc::test::emulatedProducts() { return 0; }

#endif
