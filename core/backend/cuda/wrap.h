#pragma once
// The op-level kernels of the CUDA back-end that are written by hand: from a KernelCall to launches
// of kernels/*.cu. An op without one runs on the CPU.
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/kernels/movement_args.h"
#include "backend/cuda/launch.h"
#include "backend/kernel.h"

namespace sn::cuda {

void register_wrappers(KernelTable& table);
void register_movement_wrappers(KernelTable& table);
void register_reduce_wrappers(KernelTable& table);
void register_matmul_wrapper(KernelTable& table);
void register_indexing_wrappers(KernelTable& table);
void register_sort_wrappers(KernelTable& table);
void register_random_wrappers(KernelTable& table);
void register_attention_wrappers(KernelTable& table);
void register_recurrent_wrappers(KernelTable& table);
void register_conv_wrappers(KernelTable& table);
void register_pool_wrappers(KernelTable& table);

// A kernel and every set of definitions that it is ever compiled with: one choice of each axis. A
// choice that was not declared cannot be had, so the tests, which compile what is declared, know
// all there is.
class KernelSource {
public:
    struct Choice {
        int code;                              // what get() is given
        std::vector<std::string> definitions;  // any number
    };
    using Axis = std::vector<Choice>;
    using Axes = std::vector<Axis>;

    // Of static storage, and known to declared_kernels() from then on. The axes are made when they
    // are first asked for, so that a program without a GPU pays nothing for them.
    KernelSource(const char* file, const char* entry, Axes (*axes)())
        : file_(file), entry_(entry), make_axes_(axes), next_(first_) {
        first_ = this;
    }
    KernelSource(const KernelSource&) = delete;
    KernelSource& operator=(const KernelSource&) = delete;
    const Function& get(Device device, std::initializer_list<int> codes) const;

    const char* file() const { return file_; }
    const char* entry() const { return entry_; }
    std::vector<std::vector<std::string>> variants() const;

private:
    struct Known;
    Known& known() const;
    const char* file_;
    const char* entry_;
    Axes (*make_axes_)();
    mutable std::atomic<Known*> known_{nullptr};
    const KernelSource* next_;
    static inline const KernelSource* first_ = nullptr;
    friend std::vector<const KernelSource*> declared_kernels();
};
using Axes = KernelSource::Axes;
std::vector<const KernelSource*> declared_kernels();

// ---- axes that many kernels have

// `name` defined as the storage type of each dtype.
KernelSource::Axis dtype_axis(const char* name, std::initializer_list<DType> dtypes);
KernelSource::Axis word_axis();  // SN_W: of 1, 2, 4, 8, 16 bytes
// `name` defined as each number.
KernelSource::Axis number_axis(const char* name, std::initializer_list<int> numbers);
inline constexpr std::initializer_list<DType> kFloats = {DType::kF16, DType::kBF16, DType::kF32,
                                                         DType::kF64};
inline constexpr std::initializer_list<DType> kInts = {DType::kI8,  DType::kI16, DType::kI32,
                                                       DType::kI64, DType::kU8,  DType::kU16,
                                                       DType::kU32, DType::kU64};
inline constexpr std::initializer_list<DType> kNumeric = {
    DType::kI8,  DType::kI16, DType::kI32, DType::kI64,  DType::kU8,  DType::kU16,
    DType::kU32, DType::kU64, DType::kF16, DType::kBF16, DType::kF32, DType::kF64};
inline constexpr std::initializer_list<DType> kReal = {
    DType::kBool, DType::kI8,  DType::kI16, DType::kI32,  DType::kI64, DType::kU8, DType::kU16,
    DType::kU32,  DType::kU64, DType::kF16, DType::kBF16, DType::kF32, DType::kF64};

// ---- launches

inline constexpr uint32_t kThreads = 256;  // of a block, where a kernel does not ask for another
// Blocks for `count` threads' worth of work; kernels walk the rest in strides of the grid.
Grid grid_of(int64_t count, uint32_t threads = kThreads);
// Blocks where each does one of `count` pieces at a time.
Grid grid_of_blocks(int64_t count);

// ---- operands

// Reads attribute words in the order of the op's schema.
class AttrWords {
public:
    explicit AttrWords(const int64_t* words) : at_(words) {}
    int64_t next() { return *at_++; }
    std::span<const int64_t> list() {
        const size_t count = static_cast<size_t>(*at_++);
        at_ += count;
        return {at_ - count, count};
    }

private:
    const int64_t* at_;
};

double number_f64(const TensorView& scalar);  // of the host
int64_t number_i64(const TensorView& scalar);
// One element of `dtype`, from a number of the host or a tensor of one element on the device.
Number number_of(const TensorView& scalar, DType dtype);
bool is_contiguous(const TensorView& view);

// Dimensions of a loop over several operands: without those of size 1, by falling distance in the
// first operand where `reorder`, and merged where all operands allow it.
struct Dimensions {
    std::vector<int64_t> shape;
    std::vector<std::vector<int64_t>> strides;  // [operand][dimension]
    int64_t count = 1;                          // 0: nothing to do
};
Dimensions merge_dimensions(std::span<const int64_t> shape,
                            std::initializer_list<const int64_t*> strides, bool reorder);

// What a kernel walks, of at most kMaxRank dimensions: those from `lead` on.
template <int operands>
Strided<operands> strided_of(const Dimensions& dims, size_t lead = 0) {
    Strided<operands> loop{};
    loop.rank = static_cast<int>(dims.shape.size() - lead);
    int64_t count = 1;
    for (int d = 0; d < loop.rank; ++d) {
        loop.shape[d] = dims.shape[lead + d];
        count *= loop.shape[d];
        for (int k = 0; k < operands; ++k) loop.strides[k][d] = dims.strides[k][lead + d];
    }
    loop.wide = count >= int64_t{1} << 31;
    return loop;
}

// Calls f(loop, count, offsets) for loops that together are all of `dims`: one, but where there are
// more than kMaxRank dimensions. `offsets` are where the operands begin.
template <int operands, class F>
void for_each_loop(const Dimensions& dims, F f) {
    if (dims.count == 0) return;
    const size_t rank = dims.shape.size(), lead = rank > kMaxRank ? rank - kMaxRank : 0;
    const Strided<operands> loop = strided_of<operands>(dims, lead);
    int64_t turns = 1;
    for (size_t d = 0; d < lead; ++d) turns *= dims.shape[d];
    for (int64_t turn = 0; turn < turns; ++turn) {
        int64_t offsets[operands] = {}, rest = turn;
        for (size_t d = lead; d-- > 0; rest /= dims.shape[d])
            for (int k = 0; k < operands; ++k)
                offsets[k] += rest % dims.shape[d] * dims.strides[k][d];
        f(loop, dims.count / turns, offsets);
    }
}

// A copy between any strides; the views have one shape and element size, and do not overlap.
void strided_copy(Device device, const TensorView& to, const TensorView& from);
void strided_fill(Device device, const TensorView& to, const Number& value);

}  // namespace sn::cuda
