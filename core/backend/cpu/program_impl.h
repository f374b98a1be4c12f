#pragma once
// What the parts of the tile interpreter share: the recorded program (program_build.cpp), its
// lowered form (program_lower.cpp) and its execution (program_run.cpp). Not for use outside them.
#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "backend/cpu/cpu_tables.h"
#include "backend/cpu/program.h"
#include "op/elementwise.h"

namespace sn::cpu {

inline constexpr int kMaxLoopDims = 32;
inline constexpr int64_t kMaxPieces = 32;  // of a row of kReduceChunk elements
inline constexpr size_t kMaxStreams = 8;
inline constexpr int64_t kSlice = 512;      // columns between two shares of prefetching
inline constexpr int64_t kChainSlice = 64;  // the same in a chain, which does more with each

// How much of the loop space a value varies over: nothing, the rows, every point.
enum class Level : uint8_t { kScalar, kRow, kFull };

enum class ValueKind : uint8_t { kInput, kScalar, kApply, kCast, kReduce };

struct Value {
    ValueKind kind;
    DType dtype;    // of the result
    DType compute;  // apply: the dtype that the op is looked up with
    Level level = Level::kFull;
    int op = 0;  // input: its operand; scalar: its binding; apply: tile op; reduce: ReduceKind
    int num_args = 0;
    std::array<int, 3> args{};
    int uses = 0;  // by values and outputs that are needed; 0: dead
};

// A buffer and how the loop walks it. Strides count elements.
struct Operand {
    int binding;
    DType dtype;
    bool is_output;
    int value;
    std::vector<int64_t> strides;
};

// The loop space after collapsing: batch dimensions enumerate rows, row dimensions the columns.
struct Space {
    std::vector<int64_t> batch, row;
    int64_t rows = 1, cols = 1;
    int rank() const { return static_cast<int>(batch.size() + row.size()); }
};

// An operand in that space, with what the run needs to know at every tile.
struct View {
    int binding;
    DType dtype;
    Level level;
    bool is_output;
    bool linear_rows;  // row r starts at r * row_stride
    bool linear_cols;  // column c lies at c * col_stride
    int64_t row_stride = 0, col_stride = 0;
    std::vector<int64_t> batch, row;  // strides
};

enum class Step : uint8_t {
    kUnary,
    kBinary,
    kTernary,  // one loop over the tile
    kBinaryRows,
    kTernaryRows,  // one loop per row: some arguments are one element per row
    kExpSum,       // exp(x - one per row) and, into dst2, its sum along the row
    kReduced,      // the sum that the instruction before has computed
    kReduce,
    kExpand,  // one element per row -> one per point
    kFill,    // one element -> one per row, or one per point
    kLoad,
    kStore,        // view <-> slot: strided, or of a dtype that tiles do not hold
    kLoadColumns,  // a row that all rows share, repeated for every row of a tile
    kScalarCell,   // a runtime number -> one element
    kChain,        // several operations and results in one loop (kTileChains)
};

struct Instr {
    Step step;
    Level level = Level::kFull;  // the number of elements: 1, R or R * C
    uint8_t row_args = 0;        // kBinaryRows, kTernaryRows: bit i: argument i is one per row,
    uint8_t scalar_args = 0;     //   or one per run
    DType dtype = DType::kF32;   // of the result; of the argument for kReduce
    DType arg_dtype = DType::kF32;
    ReduceKind reduce = ReduceKind::kSum;
    int op = 0;  // for printing: tile op, or kNumTileOps + fused pair, tail or chain, in this order
    int view = -1;      // kLoad, kStore, kLoadColumns; kScalarCell: the scalar binding
    int partials = -1;  // kReduce: where those of a row's pieces are, in scratch
    int32_t dst = -1, dst2 = -1, dst3 = -1;  // dst2: the mean beside a variance
    std::array<int32_t, kMaxChainInputs> args{-1, -1, -1, -1, -1, -1, -1, -1};  // places
    std::array<uint8_t, 4> sizes{};  // element sizes: arguments, result
    union {
        TileFn1 f1 = nullptr;
        TileFn2 f2;
        TileFn3 f3;
        TileExpSumFn exp_sum;
        TileChainFn chain;
    };
    std::array<int32_t, kMaxChainResults> results() const { return {dst, dst2, dst3}; }
};

// Where a value lives. The instructions see places through one table of pointers.
enum class PlaceKind : uint8_t { kSlot, kRowSlot, kCell, kConstant, kDirect };
struct Place {
    PlaceKind kind;
    DType dtype;
    int view = -1;              // kDirect
    int first = -1, last = -1;  // positions of the instructions that write it first, read it last
    int64_t offset = 0;         // in scratch
};

// Instructions of a long row. Between two reductions that depend on each other everything is done
// piece by piece, so that what an instruction writes is in the first-level cache for the next one.
struct Phase {
    int begin, end;                                   // in the body
    bool pieces;                                      // false: over the whole row
    std::vector<std::pair<int32_t, int32_t>> moving;  // places that advance by bytes per piece
    std::vector<int> streams;                         // of Lowered::streams, those written here
    std::vector<int> same_staging;  // of these, those that need no more than a piece of staging
};

// A program made ready for one way of cutting the space into tiles.
struct Lowered {
    const CpuTables* tables;
    Space space;
    std::vector<View> views;
    std::vector<Place> places;
    std::vector<Instr> prologue;  // once per chunk of tiles: what does not change from tile to tile
    std::vector<Instr> body;      // once per tile
    std::vector<int32_t> direct;  // places of kind kDirect
    std::vector<Phase> phases;    // none: the body as it is
    int64_t piece = 0;            // columns
    int64_t steps = 1;            // instructions that one tile takes, pieces counted
    // Full outputs that may be streamed past the caches: {place, offset of the staging in scratch}.
    std::vector<std::pair<int32_t, int64_t>> streams;
    // Outputs that are written before an input is read for the last time: {output, input} bindings.
    std::vector<std::pair<int, int>> hazards;
    int64_t tile_rows = 1, tile_cols = 1;
    int64_t row_tiles = 1, col_tiles = 1;
    int64_t chunk = 1;  // tiles that one task runs
    int64_t slot_bytes = 0, row_slot_bytes = 0, stage_offset = 0, scratch_bytes = 0;
    int num_slots = 0;
    double tile_cost = 0;  // estimated nanoseconds
    bool prefetch = false;
};

enum class Form : uint8_t {
    kMain,   // as fast as possible; outputs go straight to their buffers where the layout allows
    kLate,   // outputs are written after everything is read: any input may share a buffer with any
             // output of the same layout
    kBlock,  // run_program_block: two-dimensional, a row at a time
    kRows,   // the same for blocks of whole short rows: several rows at a time
};

inline bool is_block(Form form) { return form == Form::kBlock || form == Form::kRows; }

class Program {
public:
    std::vector<int64_t> shape;
    int row_dims;
    std::vector<Value> values;
    std::vector<Operand> operands;
    Lowered main;

    const Lowered& late() const;
    const Lowered& block() const;
    const Lowered& rows() const;

private:
    mutable std::once_flag late_once_, block_once_, rows_once_;
    mutable Lowered late_, block_, rows_;
};

// Where a chain (kTileChains) stands in a program: its inputs and steps as values.
struct ChainMatch {
    int chain = -1;
    std::array<int, kMaxChainInputs> inputs;
    std::array<int, kMaxChainSteps> steps;
    int last() const { return steps[static_cast<size_t>(kTileChains[chain].num_steps - 1)]; }
};
// Those that nothing else looks into.
std::vector<ChainMatch> find_chains(const Program& program, const std::vector<Level>& levels,
                                    const TileKernels& tile);  // program_chains.cpp

Lowered lower(const Program& program, Form form);
void tune_large(const Program& program, Form form, Lowered* out);  // program_large.cpp
// Collapses the space for the operands; strides of the result's views are in its dimensions.
void collapse(const Program& program, Form form, Space* space, std::vector<View>* views);

}  // namespace sn::cpu
