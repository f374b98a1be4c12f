#pragma once
// Programs for the tests of CUDA sources: how they are built, representative ones, and every
// elementwise operation on every dtype.
#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/program.h"
#include "base/error.h"
#include "base/shape.h"
#include "op/elementwise.h"
#include "op/op.h"

namespace sn::test {

using cpu::ReduceKind;
using Kind = ProgramSpec::Kind;

// ---- building specs

inline OpId reduction(ReduceKind kind) {
    constexpr const char* names[] = {"sum", "prod", "max", "min", "any", "all", "mean", "var"};
    return find_op(names[static_cast<int>(kind)]);
}

struct Maker {
    ProgramSpec spec;
    std::vector<DType> dtypes;
    int buffers = 0;

    Maker(Dims shape, int row_dims = 0) {
        spec.shape = std::move(shape);
        spec.row_dims = row_dims;
    }
    Dims dense() const { return contiguous_strides(spec.shape); }
    Dims along_row() const {  // strides of one number per row
        const size_t lead = spec.shape.size() - static_cast<size_t>(spec.row_dims);
        Dims strides(spec.shape.size(), 0);
        int64_t step = 1;
        for (size_t d = lead; d-- > 0;) {
            strides[d] = step;
            step *= spec.shape[d];
        }
        return strides;
    }
    int input(DType dtype, Dims strides) {
        SN_CHECK(spec.instructions.empty());
        spec.inputs.push_back({dtype, false, std::move(strides), buffers++});
        dtypes.push_back(dtype);
        return static_cast<int>(dtypes.size()) - 1;
    }
    int input(DType dtype) { return input(dtype, dense()); }
    int number(DType dtype, int binding) {
        spec.inputs.push_back({dtype, true, {}, binding});
        dtypes.push_back(dtype);
        return static_cast<int>(dtypes.size()) - 1;
    }
    int apply(const char* op, std::vector<int> args) { return apply(find_op(op), std::move(args)); }
    int apply(OpId op, std::vector<int> args) {
        const DType computed = dtypes[static_cast<size_t>(args.back())];
        ProgramSpec::Instruction i{Kind::kElementwise, op, computed, {}};
        for (int a : args) i.args.push_back(a);
        spec.instructions.push_back(i);
        dtypes.push_back(tile_result(op_def(op).tile_op, computed));
        return static_cast<int>(dtypes.size()) - 1;
    }
    int cast(int value, DType to) {
        spec.instructions.push_back({Kind::kCast, 0, to, {value}});
        dtypes.push_back(to);
        return static_cast<int>(dtypes.size()) - 1;
    }
    int reduce(ReduceKind kind, int value) {
        const DType dtype = dtypes[static_cast<size_t>(value)];
        spec.instructions.push_back({Kind::kReduce, reduction(kind), dtype, {value}});
        dtypes.push_back(dtype);
        return static_cast<int>(dtypes.size()) - 1;
    }
    void output(int value, Dims strides, int binding = -1) {
        if (binding < 0) binding = buffers++;
        spec.outputs.push_back(
            {value, dtypes[static_cast<size_t>(value)], std::move(strides), binding});
    }
    void output(int value) { output(value, dense()); }
    void output_row(int value) { output(value, along_row()); }
};

// ---- representative programs

using Golden = std::pair<const char*, std::function<ProgramSpec()>>;

inline ProgramSpec gelu_chain() {
    Maker m({64, 300});
    const int x = m.input(DType::kF32), bias = m.input(DType::kF32, {0, 1});
    const int a = m.number(DType::kF32, 0);
    m.output(
        m.apply("multiply", {m.apply("gelu", {m.apply("add", {m.apply("multiply", {x, a}), bias})}),
                             m.apply("sigmoid", {x})}));
    return m.spec;
}
inline ProgramSpec relu_flat() {
    Maker m({8, 16, 32});
    m.output(m.apply("relu", {m.input(DType::kF32)}));
    return m.spec;
}
inline ProgramSpec softmax(int64_t columns) {
    Maker m({48, columns}, 1);
    const int x = m.input(DType::kF32);
    const int e = m.apply("exp", {m.apply("subtract", {x, m.reduce(ReduceKind::kMax, x)})});
    m.output(m.apply("divide", {e, m.reduce(ReduceKind::kSum, e)}));
    return m.spec;
}
inline ProgramSpec layer_norm(DType dtype, int64_t columns) {
    Maker m({5, 7, columns}, 1);
    const int x = m.input(dtype), w = m.input(dtype, {0, 0, 1}), b = m.input(dtype, {0, 0, 1});
    const int eps = m.number(DType::kF32, 0);
    const int f = m.cast(x, DType::kF32);
    const int mean = m.reduce(ReduceKind::kMean, f), var = m.reduce(ReduceKind::kVar, f);
    const int scale = m.apply("rsqrt", {m.apply("add", {var, eps})});
    const int y = m.apply("multiply", {m.apply("subtract", {f, mean}), scale});
    m.output(m.apply("add", {m.apply("multiply", {m.cast(y, dtype), w}), b}));
    m.output_row(mean);
    m.output_row(scale);
    return m.spec;
}
inline ProgramSpec adam() {
    Maker m({4096});
    const DType f = DType::kF32;
    const int g = m.input(f), p = m.input(f), mo = m.input(f), v = m.input(f);
    std::vector<int> n;
    for (int i = 0; i < 6; ++i) n.push_back(m.number(f, i));
    const int m1 =
        m.apply("add", {m.apply("multiply", {mo, n[0]}), m.apply("multiply", {g, n[1]})});
    const int v1 = m.apply("add", {m.apply("multiply", {v, n[2]}),
                                   m.apply("multiply", {m.apply("multiply", {g, g}), n[3]})});
    const int step = m.apply(
        "divide", {m.apply("multiply", {m1, n[4]}), m.apply("add", {m.apply("sqrt", {v1}), n[5]})});
    const int p1 = m.apply("subtract", {p, step});
    m.output(p1, m.dense(), 1);  // in place
    m.output(m1, m.dense(), 2);
    m.output(v1, m.dense(), 3);
    return m.spec;
}
inline ProgramSpec cross_entropy() {
    Maker m({128, 1000}, 1);
    const int x = m.input(DType::kF32), classes = m.input(DType::kI32, {0, 1});
    const int label = m.input(DType::kI32, m.along_row());
    const int top = m.reduce(ReduceKind::kMax, x);
    const int s = m.apply("subtract", {x, top});
    const int sum = m.reduce(ReduceKind::kSum, m.apply("exp", {s}));
    const int picked =
        m.apply("multiply", {s, m.cast(m.apply("equal", {classes, label}), DType::kF32)});
    m.output_row(m.apply("subtract", {m.apply("log", {sum}), m.reduce(ReduceKind::kSum, picked)}));
    return m.spec;
}
inline ProgramSpec half_chain() {
    Maker m({1000});
    const int x = m.input(DType::kF16), y = m.input(DType::kF16);
    const int s = m.apply("tanh", {m.apply("add", {x, y})});
    m.output(m.apply("where", {m.apply("greater", {x, y}), s, m.apply("nextafter", {s, y})}));
    m.output(m.cast(s, DType::kBF16));
    return m.spec;
}
inline ProgramSpec strided() {
    Maker m({6, 10, 14});
    const int x = m.input(DType::kF32, {1, 6, 60}), y = m.input(DType::kI64, {280, -28, 2});
    m.output(m.apply("add", {x, m.cast(y, DType::kF32)}));
    return m.spec;
}
inline ProgramSpec broadcast() {
    Maker m({4, 9, 8, 8});
    const int x = m.input(DType::kF64), c = m.input(DType::kF64, {0, 1, 0, 0});
    const int s = m.input(DType::kF64, {0, 0, 0, 0});
    m.output(
        m.apply("multiply", {m.apply("add", {x, m.apply("square", {c})}), m.apply("exp", {s})}));
    return m.spec;
}
inline ProgramSpec moments_of_channels() {  // rows of two dimensions that do not collapse
    Maker m({3, 5, 12, 10}, 2);
    const int x = m.input(DType::kF32, {600, 1, 50, 5});
    const int var = m.reduce(ReduceKind::kVar, m.apply("square", {x}));
    m.output_row(var);
    m.output_row(m.reduce(ReduceKind::kMean, x));
    return m.spec;
}

inline ProgramSpec row_sums() {
    Maker m({100, 40}, 1);
    const int x = m.input(DType::kF16), w = m.input(DType::kF16, {0, 1});
    m.output_row(m.reduce(ReduceKind::kSum, m.apply("multiply", {x, w})));
    return m.spec;
}

// Of many elements their indices need 64 bits.
inline ProgramSpec points_of(int64_t lines) {
    Maker m({lines, 6, 20});
    const int x = m.input(DType::kF32, {1000, 150, 1}), y = m.input(DType::kF32, {0, 20, 1});
    m.output(m.apply("multiply", {x, y}), {121, 20, 1});
    return m.spec;
}
inline ProgramSpec rows_of(int64_t rows, int64_t columns) {
    Maker m({rows, 3, columns}, 1);
    const int x = m.input(DType::kF32, {1 + 4 * columns, columns, 1});
    const int sum = m.reduce(ReduceKind::kSum, x);
    m.output(m.apply("subtract", {x, sum}));
    m.output_row(sum);
    return m.spec;
}
inline constexpr int64_t kMany = int64_t{1} << 31;

inline const std::vector<Golden>& golden() {
    static const std::vector<Golden> list = {
        {"gelu_chain", gelu_chain},
        {"relu_flat", relu_flat},
        {"softmax", [] { return softmax(300); }},
        {"softmax_parts", [] { return softmax(5000); }},
        {"softmax_long", [] { return softmax(50000); }},
        {"layer_norm", [] { return layer_norm(DType::kBF16, 768); }},
        {"adam", adam},
        {"cross_entropy", cross_entropy},
        {"half_chain", half_chain},
        {"strided", strided},
        {"broadcast", broadcast},
        {"moments_of_channels", moments_of_channels},
        {"row_sums", row_sums},
        {"many_points", [] { return points_of(kMany); }},
        {"many_rows", [] { return rows_of(kMany, 40); }},
    };
    return list;
}

// ---- every elementwise operation on every dtype, some to a program

inline std::vector<ProgramSpec> all_operations(size_t in_one) {
    std::vector<ProgramSpec> specs;
    for (int d = 0; d < kNumDTypes; ++d) {
        const DType dtype = static_cast<DType>(d);
        std::vector<OpId> ops;
        for (int op = 0; op < op_count(); ++op) {
            const OpDef& def = op_def(static_cast<OpId>(op));
            if (def.tile_op >= 0 && class_has(kTileOpInfo[def.tile_op].dtypes, dtype))
                ops.push_back(static_cast<OpId>(op));
        }
        for (size_t first = 0; first < ops.size(); first += in_one) {
            Maker m({517});
            const int x = m.input(dtype), y = m.input(dtype), z = m.input(dtype);
            const int test = m.input(DType::kBool);
            for (size_t i = first; i < std::min(ops.size(), first + in_one); ++i) {
                const int tile = op_def(ops[i]).tile_op, arity = tile_arity(tile);
                const bool select = kTileOpInfo[tile].result == TileResult::SELECT;
                m.output(m.apply(ops[i], select       ? std::vector<int>{test, x, y}
                                         : arity == 1 ? std::vector<int>{x}
                                         : arity == 2 ? std::vector<int>{x, y}
                                                      : std::vector<int>{x, y, z}));
            }
            specs.push_back(m.spec);
        }
        if (is_complex(dtype)) continue;
        Maker m({517});
        const int x = m.input(dtype);
        for (int to = 0; to < kNumDTypes; ++to)
            if (!is_complex(static_cast<DType>(to))) m.output(m.cast(x, static_cast<DType>(to)));
        specs.push_back(m.spec);
    }
    return specs;
}

}  // namespace sn::test
