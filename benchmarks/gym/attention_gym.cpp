// Attention's kernel gym: the forward and the backward kernel at usual sizes, in processor time of
// one thread, against the peak of a multiply-add loop at the same moment. Work that a causal mask
// leaves out does not count as done.
//     attention_gym [part of a case's name]
//
// What was tried, with what it did (Zen 4, AVX-512, 8 heads of 64, length 1,024):
//   1  scores turned, [key][query]: keys and values are read in place, softmax without sums across
//      lanes. 89 GF/s forward, 94 both ways, of a peak of 117. Kept.
//   2  panels of 32 queries, so that scores, probabilities and sums stay in the first-level cache,
//      under blocks of 128 queries that share a block of keys in the second. Kept.
//   3  forward: a row of tiles sees only the keys that one of its queries may look at; the blocks
//   on
//      the diagonal cost half. Kept: causal runs at the speed of all, 88 GF/s.
#include <ctime>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernel_sets.h"
#include "backend/kernel.h"
#include "base/shape.h"
#include "engine/pool.h"
#include "op/op.h"

namespace {

using namespace sn;

double processor_seconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The best of several runs, together at least 0.3 s.
template <class F>
double best_of(F f) {
    double best = 1e9, total = 0;
    for (int i = 0; i < 3 || total < 0.3; ++i) {
        const double start = processor_seconds();
        f();
        const double took = processor_seconds() - start;
        best = std::min(best, took);
        total += took;
    }
    return best;
}

struct Array {
    std::vector<float> data;
    Dims shape, strides;
    TensorView view() {
        return {data.data(), shape.data(), strides.data(), static_cast<int>(shape.size()),
                DType::kF32};
    }
};
Array make(Dims shape, bool split_heads) {
    Array a;
    a.shape = shape;
    a.strides = contiguous_strides(shape);
    if (split_heads) {  // memory order (batch, length, heads, width)
        a.strides[2] = shape[1] * shape[3];
        a.strides[1] = shape[3];
    }
    uint32_t state = 12345;
    a.data.resize(static_cast<size_t>(numel(shape)));
    for (float& x : a.data) {
        state = state * 1664525u + 1013904223u;
        x = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
    }
    return a;
}

struct Case {
    const char* name;
    int64_t batch, heads, length, width;
    bool causal, split_heads;
};
constexpr Case kCases[] = {
    {"128", 8, 8, 128, 64, false, false},       {"128 causal", 8, 8, 128, 64, true, false},
    {"512", 1, 8, 512, 64, false, false},       {"512 causal", 1, 8, 512, 64, true, false},
    {"1024", 1, 8, 1024, 64, false, false},     {"1024 causal", 1, 8, 1024, 64, true, false},
    {"2048", 1, 8, 2048, 64, false, false},     {"2048 causal", 1, 8, 2048, 64, true, false},
    {"gpt", 32, 4, 128, 32, true, true},        {"minilm", 8, 12, 128, 32, false, true},
    {"one query", 1, 32, 1, 128, false, false},
};

void run(const Case& c, double peak) {
    const int64_t keys = c.length == 1 ? 2048 : c.length;
    const Dims wide{c.batch, c.heads, c.length, c.width}, tall{c.batch, c.heads, keys, c.width};
    Array q = make(wide, c.split_heads), k = make(tall, c.split_heads),
          v = make(tall, c.split_heads), out = make(wide, c.split_heads),
          g = make(wide, c.split_heads), dq = make(wide, c.split_heads),
          dk = make(tall, c.split_heads), dv = make(tall, c.split_heads),
          lse = make(Dims{c.batch, c.heads, c.length}, false), none = make(Dims{0}, false);
    const double scale = 1 / std::sqrt(static_cast<double>(c.width));
    int64_t attrs[6] = {0, -1, c.causal ? 0 : -1, 0, 0, 0};
    std::memcpy(attrs, &scale, sizeof scale);
    const TensorView in[] = {q.view(), k.view(), v.view(), out.view(), lse.view(), g.view()};
    const TensorView made[] = {out.view(), lse.view()};
    const TensorView grads[] = {dq.view(), dk.view(), dv.view(), none.view()};
    const KernelCall forward{in, 3, made, 2, attrs, nullptr, nullptr};
    const KernelCall backward{in, 6, grads, 4, attrs, nullptr, nullptr};
    const KernelTable& table = backend(Device()).kernels();
    const KernelFn f = table.kernel(find_op("attention"));
    const KernelFn b = table.kernel(find_op("attention_grad"));
    const double work = 4e-9 * static_cast<double>(c.batch * c.heads * c.length * keys * c.width) *
                        (c.causal ? 0.5 : 1);
    const double tf = best_of([&] { f(forward); }), tb = best_of([&] { b(backward); });
    std::printf(
        "%-12s forward %8.3f ms %6.1f GF/s (%3.0f %%)   backward %8.3f ms %6.1f GF/s (%3.0f %%)\n",
        c.name, tf * 1e3, work / tf, 100 * work / tf / peak, tb * 1e3, 2.5 * work / tb,
        100 * 2.5 * work / tb / peak);
}

}  // namespace

int main(int argc, char** argv) {
    set_pool_threads(1);
    double peak = 0;
    for (int i = 0; i < 5; ++i) {
        const double start = processor_seconds();
        const double done = cpu::kernel_sets().multiply_add_loop(20'000'000);
        peak = std::max(peak, 1e-9 * done / (processor_seconds() - start));
    }
    std::printf("peak of a multiply-add loop: %.1f GF/s\n", peak);
    for (const Case& c : kCases)
        if (argc < 2 || std::string(c.name).find(argv[1]) != std::string::npos) run(c, peak);
}
