// Kernel gym: tile programs and reductions against hand-fused loops and the memory's speed.
//   program_gym [part of a name]     prints the best of several runs, in microseconds
// Build it with the kernels' flags for this machine: -O3 -march=native -ffp-contract=off
// -fno-math-errno -fno-trapping-math -mprefer-vector-width=512.
#ifndef SN_ISA
#define SN_ISA gym
#endif
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "backend/cpu/cpu_tables.h"
#include "backend/cpu/program.h"
#include "backend/cpu/reduce.h"
#include "engine/pool.h"
#include "op/elementwise.h"
#include "op/math.h"

using namespace sn;
using namespace sn::cpu;
using Strides = std::vector<int64_t>;
using Args = std::vector<int>;

namespace {

const char* wanted = "";

// Processor time with one thread: what others do on the machine disturbs it less than the wall
// clock.
double now() {
    timespec t;
    clock_gettime(pool_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double best_of(const std::function<void()>& body) {
    double best = 1e30, total = 0;
    for (int i = 0; i < 400 && (i < 5 || total < 0.15); ++i) {
        // Short bodies are repeated, so that the clock is not what is measured.
        int repeat = best < 1e-4 ? static_cast<int>(1e-4 / std::max(best, 1e-8)) + 1 : 1;
        const double t0 = now();
        for (int k = 0; k < repeat; ++k) body();
        const double t = now() - t0;
        best = std::min(best, t / repeat);
        total += t;
    }
    return best;
}

void report(const std::string& name, double bytes, const std::function<void()>& body,
            const Program* program = nullptr) {
    if (name.find(wanted) == std::string::npos) return;
    if (program && *wanted) std::printf("%s", print_program(*program).c_str());
    body();
    const double t = best_of(body);
    std::printf("%-44s %10.2f us  %7.1f GB/s\n", name.c_str(), t * 1e6, bytes / t / 1e9);
    std::fflush(stdout);
}

struct Buffers {
    std::vector<std::vector<float>> data;
    std::vector<void*> pointers;
    float* add(int64_t n, float scale = 1) {
        data.emplace_back(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i)
            data.back()[static_cast<size_t>(i)] =
                static_cast<float>((i * 7919 % 2003) - 1001) * 0.004f * scale;
        pointers.push_back(data.back().data());
        return data.back().data();
    }
};

void hand_fused(const float* x, float a, float b, float* y, int64_t n) {
    using namespace cpu::SN_ISA;
    parallel_for(n, 16384, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i += kLanes<float>) {
            const F32 v = load<F32>(x + i);
            store(y + i, math::gelu_tanh(v * a + b) * math::sigmoid(v));
        }
    });
}

void chain(int64_t n) {
    const std::string size = n >= (1 << 20) ? std::to_string(n >> 20) + "Mi"
                             : n >= 1024    ? std::to_string(n >> 10) + "Ki"
                                            : std::to_string(n);
    Buffers m;
    const float* x = m.add(n);
    float* y = m.add(n);
    const Scalar s[] = {Scalar::of_float(1.5), Scalar::of_float(0.25)};
    ProgramBuilder b({{n}}, 0);
    const Strides one = {1};
    const int vx = b.input(DType::kF32, one, 0);
    int v = b.apply(kTile_multiply, DType::kF32, Args{vx, b.scalar(DType::kF32, 0)});
    v = b.apply(kTile_add, DType::kF32, Args{v, b.scalar(DType::kF32, 1)});
    v = b.apply(kTile_gelu_tanh, DType::kF32, Args{v});
    v = b.apply(kTile_multiply, DType::kF32,
                Args{v, b.apply(kTile_sigmoid, DType::kF32, Args{vx})});
    b.output(v, one, 1);
    const auto p = b.finish();
    report(
        "gelu*sigmoid program " + size, 8.0 * static_cast<double>(n),
        [&] { run_program(*p, {m.pointers.data(), s}); }, p.get());
    if (n % 16 == 0)
        report("gelu*sigmoid by hand " + size, 8.0 * static_cast<double>(n),
               [&] { hand_fused(x, 1.5f, 0.25f, y, n); });
}

// Twelve cheap operations: what interpreting costs, and how close to memory speed fusing gets.
void cheap(int64_t n) {
    Buffers m;
    m.add(n);
    m.add(n);
    m.add(n);
    const Scalar s[] = {Scalar::of_float(1.5)};
    ProgramBuilder b({{n}}, 0);
    const Strides one = {1};
    const int x = b.input(DType::kF32, one, 0), y = b.input(DType::kF32, one, 1),
              c = b.scalar(DType::kF32, 0);
    int v = x;
    for (int i = 0; i < 6; ++i) {
        v = b.apply(kTile_maximum, DType::kF32, Args{v, y});
        v = b.apply(kTile_add, DType::kF32, Args{v, c});
    }
    b.output(v, one, 2);
    const auto p = b.finish();
    report(
        "12 cheap ops, " + std::to_string(n), 12.0 * static_cast<double>(n),
        [&] { run_program(*p, {m.pointers.data(), s}); }, p.get());
}

void softmax(int64_t rows, int64_t cols) {
    Buffers m;
    m.add(rows * cols);
    m.add(rows * cols);
    ProgramBuilder b({{rows, cols}}, 1);
    const Strides full = {cols, 1};
    const int x = b.input(DType::kF32, full, 0);
    const int e =
        b.apply(kTile_exp, DType::kF32,
                Args{b.apply(kTile_subtract, DType::kF32, Args{x, b.reduce(ReduceKind::kMax, x)})});
    b.output(b.apply(kTile_divide, DType::kF32, Args{e, b.reduce(ReduceKind::kSum, e)}), full, 1);
    const auto p = b.finish();
    report(
        "softmax " + std::to_string(rows) + "x" + std::to_string(cols),
        8.0 * static_cast<double>(rows * cols),
        [&] { run_program(*p, {m.pointers.data(), nullptr}); }, p.get());
}

void layer_norm(int64_t rows, int64_t cols) {
    Buffers m;
    m.add(rows * cols);
    m.add(cols);
    m.add(cols);
    m.add(rows * cols);
    ProgramBuilder b({{rows, cols}}, 1);
    const Strides full = {cols, 1}, column = {0, 1};
    const Scalar s[] = {Scalar::of_float(1e-5)};
    const int x = b.input(DType::kF32, full, 0);
    int v = b.apply(kTile_subtract, DType::kF32, Args{x, b.reduce(ReduceKind::kMean, x)});
    const int var = b.apply(kTile_add, DType::kF32,
                            Args{b.reduce(ReduceKind::kVar, x), b.scalar(DType::kF32, 0)});
    v = b.apply(kTile_multiply, DType::kF32, Args{v, b.apply(kTile_rsqrt, DType::kF32, Args{var})});
    v = b.apply(kTile_multiply, DType::kF32, Args{v, b.input(DType::kF32, column, 1)});
    v = b.apply(kTile_add, DType::kF32, Args{v, b.input(DType::kF32, column, 2)});
    b.output(v, full, 3);
    const auto p = b.finish();
    report(
        "layer norm " + std::to_string(rows) + "x" + std::to_string(cols),
        8.0 * static_cast<double>(rows * cols), [&] { run_program(*p, {m.pointers.data(), s}); },
        p.get());
}

void adam(int64_t n) {
    Buffers m;
    for (int i = 0; i < 4; ++i) m.add(n);
    for (float& v : m.data[3]) v = v * v;
    const Strides one = {1};
    ProgramBuilder b({{n}}, 0);
    int in[4];
    for (int i = 0; i < 4; ++i) in[i] = b.input(DType::kF32, one, i);  // p, g, m, v
    Scalar s[6];
    int c[6];
    const double values[] = {0.9, 0.1, 0.999, 0.001, 1e-3, 1e-8};
    for (int i = 0; i < 6; ++i) {
        s[i] = Scalar::of_float(values[i]);
        c[i] = b.scalar(DType::kF32, i);
    }
    const auto mul = [&](int x, int y) { return b.apply(kTile_multiply, DType::kF32, Args{x, y}); };
    const auto add = [&](int x, int y) { return b.apply(kTile_add, DType::kF32, Args{x, y}); };
    const int m1 = add(mul(in[2], c[0]), mul(in[1], c[1]));
    const int v1 = add(mul(in[3], c[2]), mul(mul(in[1], in[1]), c[3]));
    const int step =
        b.apply(kTile_divide, DType::kF32,
                Args{mul(m1, c[4]), add(b.apply(kTile_sqrt, DType::kF32, Args{v1}), c[5])});
    b.output(b.apply(kTile_subtract, DType::kF32, Args{in[0], step}), one, 4);
    b.output(m1, one, 5);
    b.output(v1, one, 6);
    const auto p = b.finish();
    void* buffers[] = {m.pointers[0], m.pointers[1], m.pointers[2], m.pointers[3],
                       m.pointers[0], m.pointers[2], m.pointers[3]};
    report(
        "adam in place " + std::to_string(n), 28.0 * static_cast<double>(n),
        [&] { run_program(*p, {buffers, s}); }, p.get());
}

void layouts() {
    const int64_t n = 2048;
    Buffers m;
    m.add(n * n);
    m.add(n * n);
    m.add(n * n);
    const Strides full = {n, 1}, transposed = {1, n};
    ProgramBuilder b({{n, n}}, 0);
    b.output(b.apply(kTile_add, DType::kF32,
                     Args{b.input(DType::kF32, full, 0), b.input(DType::kF32, transposed, 1)}),
             full, 2);
    const auto p = b.finish();
    report(
        "x + y.T 2048x2048", 12.0 * n * n, [&] { run_program(*p, {m.pointers.data(), nullptr}); },
        p.get());
    ProgramBuilder c({{n, n}}, 0);
    c.output(c.input(DType::kF32, transposed, 1), full, 2);
    const auto q = c.finish();
    report(
        "copy of y.T 2048x2048", 8.0 * n * n,
        [&] { run_program(*q, {m.pointers.data(), nullptr}); }, q.get());
    ProgramBuilder d({{n * n / 64, 64}}, 0);
    d.output(d.apply(kTile_add, DType::kF32,
                     Args{d.input(DType::kF32, Strides{64, 1}, 0),
                          d.input(DType::kF32, Strides{0, 1}, 1)}),
             Strides{64, 1}, 2);
    const auto r = d.finish();
    report(
        "x + bias[64] 4Mi", 8.0 * n * n, [&] { run_program(*r, {m.pointers.data(), nullptr}); },
        r.get());
    ProgramBuilder e({{n * n / 10, 10}}, 0);
    e.output(e.apply(kTile_add, DType::kF32,
                     Args{e.input(DType::kF32, Strides{10, 1}, 0),
                          e.input(DType::kF32, Strides{1, 0}, 1)}),
             Strides{10, 1}, 2);
    const auto f = e.finish();
    report(
        "x[., 10] + y[., 1] 4Mi", 8.0 * n * n,
        [&] { run_program(*f, {m.pointers.data(), nullptr}); }, f.get());
}

void reductions() {
    const int64_t n = 4096;
    Buffers m;
    m.add(n * n);
    m.add(n * n / 8);
    m.add(n * n / 8);
    const int64_t shape[] = {n, n}, strides[] = {n, 1};
    for (ReduceKind kind :
         {ReduceKind::kSum, ReduceKind::kMax, ReduceKind::kVar, ReduceKind::kArgMax}) {
        const char* name = kind == ReduceKind::kSum   ? "sum"
                           : kind == ReduceKind::kMax ? "max"
                           : kind == ReduceKind::kVar ? "var"
                                                      : "argmax";
        for (uint64_t axes : {1, 2, 3}) {
            ReduceCall call{
                kind, DType::kF32,   kind == ReduceKind::kArgMax ? DType::kI64 : DType::kF32,
                2,    shape,         strides,
                axes, m.pointers[0], m.pointers[1]};
            if (kind == ReduceKind::kVar) call.out_mean = m.pointers[2];
            report(std::string(name) + " 4096x4096 axes " +
                       (axes == 1   ? "0"
                        : axes == 2 ? "1"
                                    : "all"),
                   4.0 * n * n, [&] { reduce(call); });
        }
    }
    const int64_t nhwc[] = {32, 56, 56, 64}, s4[] = {56 * 56 * 64, 56 * 64, 64, 1};
    ReduceCall bn{ReduceKind::kVar, DType::kF32,   DType::kF32,  4, nhwc, s4, 7,
                  m.pointers[0],    m.pointers[1], m.pointers[2]};
    report("batch norm statistics [32,56,56,64] last", 4.0 * 32 * 56 * 56 * 64,
           [&] { reduce(bn); });
    const int64_t nchw[] = {32, 64, 56, 56}, c4[] = {56 * 56 * 64, 56 * 56, 56, 1};
    ReduceCall bf{ReduceKind::kVar, DType::kF32,   DType::kF32,  4, nchw, c4, 13,
                  m.pointers[0],    m.pointers[1], m.pointers[2]};
    report("batch norm statistics [32,64,56,56] first", 4.0 * 32 * 56 * 56 * 64,
           [&] { reduce(bf); });
    const int64_t small[] = {64, 10}, ss[] = {10, 1}, grad[] = {64, 512}, gs[] = {512, 1};
    report("sum 64x10 axis 0", 4.0 * 640, [&] {
        reduce({ReduceKind::kSum, DType::kF32, DType::kF32, 2, small, ss, 1, m.pointers[0],
                m.pointers[1]});
    });
    report("sum 64x10 axis 1", 4.0 * 640, [&] {
        reduce({ReduceKind::kSum, DType::kF32, DType::kF32, 2, small, ss, 2, m.pointers[0],
                m.pointers[1]});
    });
    report("sum 64x512 axis 0", 4.0 * 64 * 512, [&] {
        reduce({ReduceKind::kSum, DType::kF32, DType::kF32, 2, grad, gs, 1, m.pointers[0],
                m.pointers[1]});
    });
    report("sum 1024 all", 4.0 * 1024, [&] {
        const int64_t k[] = {1024}, one[] = {1};
        reduce({ReduceKind::kSum, DType::kF32, DType::kF32, 1, k, one, 1, m.pointers[0],
                m.pointers[1]});
    });
}

void build_cost() {
    const auto build = [] {
        ProgramBuilder b({{64, 512}}, 0);
        const Strides full = {512, 1};
        int v = b.input(DType::kF32, full, 0);
        const int s = b.scalar(DType::kF32, 0);
        for (int i = 0; i < 12; ++i) v = b.apply(kTile_add, DType::kF32, Args{v, s});
        b.output(v, full, 1);
        return b.finish();
    };
    report("building a program of 12 instructions", 0, [&] { build(); });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) wanted = argv[1];
    std::printf("%s, %d threads\n", cpu_tables().isa, pool_threads());
    const auto group = [&](const char* name) {
        return std::strstr(name, wanted) || std::strstr(wanted, name);
    };
    if (group("gelu"))
        for (int64_t n : {16, 1024, 64 << 10, 16 << 20}) chain(n);
    if (group("cheap"))
        for (int64_t n : {16, 1024, 64 << 10, 4 << 20}) cheap(n);
    if (group("softmax")) {
        softmax(64, 10);
        softmax(64, 1000);
        softmax(4096, 4096);
    }
    if (group("layer norm")) {
        layer_norm(64, 512);
        layer_norm(8192, 1024);
    }
    if (group("adam")) {
        adam(10000);
        adam(4 << 20);
    }
    if (group("x +") || group("copy") || group("x[")) layouts();
    if (group("sum") || group("max") || group("var") || group("arg") || group("batch"))
        reductions();
    if (group("building")) build_cost();
}
