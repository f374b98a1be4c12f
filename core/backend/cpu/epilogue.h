#pragma once
#include <cstdint>

namespace sn {

// A matrix that an epilogue reads or writes beside the tile, element for element: the product asks
// for its lines while it computes, so that the epilogue need not wait for memory.
struct EpilogueStream {
    const char* data;  // element (0, 0) of the first matrix of the batch
    int64_t row_bytes, element_bytes;
};

// An operand of a TileStep: one element per column, per point of the matrix, or one for all.
struct TileOperand {
    const char* data;              // element (0, 0); as wide as a vector when col_bytes is 0
    int64_t row_bytes, col_bytes;  // 0: the same for all
};

// One step of a short epilogue on the sums x, each operation rounded by itself.
enum class TileStepKind : uint8_t {
    kAffine,  // (x - of[0]) * of[1] + of[2], all per column
    kBias,    // x + of[0], per column
    kAdd,     // x + of[0], a matrix
    kDivide,  // x / of[0], per column
    kRelu,
    kClip,       // minimum(maximum(x, of[0]), of[1]); if of[0] is NaN, so is of[1]
    kKeep,       // x is kept ...
    kTimesKept,  // ... and x is multiplied by what was kept: x * clip(x + 3, 0, 6)
};
struct TileStep {
    TileStepKind kind;
    TileOperand of[3];
};

// An epilogue that is short enough for a kernel to do it on its accumulators, before it stores
// them: the result is that of Epilogue::run, and memory is touched once.
struct TileSteps {
    const TileStep* steps;
    int count;
    char* result;  // element (0, 0), in the accumulate dtype, columns contiguous
    int64_t result_row_bytes;
};

// What happens to a block of a matrix product or convolution once its sums are finished and while
// it is still in cache: bias, activation, residual, rounding to the output's dtype.
struct Epilogue {
    // `tile` points at element (row0, col0) of the block; its columns are contiguous and its rows
    // `tile_ld` elements apart, in the accumulate dtype (f32 for f32/f16/bf16, f64 for f64).
    void (*run)(void* context, const void* tile, int64_t tile_ld, int64_t batch, int64_t row0,
                int64_t rows, int64_t col0, int64_t cols);
    void* context;
    // true: sums are accumulated in the output buffer itself, `tile` aliases it and the program
    // updates it in place (the output has the accumulate dtype and contiguous columns).
    // false: sums are accumulated in scratch and the program alone writes the output.
    bool tile_in_output;
    int64_t rows = 0;  // of one matrix of the batch
    const EpilogueStream* streams = nullptr;
    int stream_count = 0;
    // The same epilogue as steps, or null. A kernel takes either.
    const TileSteps* steps = nullptr;
};

}  // namespace sn
