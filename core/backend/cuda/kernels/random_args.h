#pragma once
#include "args.h"

namespace sn::cuda {

// Numbers of one draw: Philox 4x32-10 by the number of the block of four words.
struct RandomArgs {
    void* out;
    int64_t count;
    uint64_t seed, draw;
    double first, second, top;  // low, high and the largest number below it; or mean and deviation
    uint64_t low, range;        // of integers
    uint64_t limit;             // of a dropout: words below it are dropped
};

struct ScanArgs {
    const void* a;  // factors of a linear scan
    const void* x;
    void* out;
    void* totals;  // of blocks: [block][line], then what all blocks before came to
    int64_t lines, n, inner, blocks;
};
inline constexpr int kScanBlock = 1024;

}  // namespace sn::cuda
