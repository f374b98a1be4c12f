#pragma once
// Random tile programs for program_test.cpp: cases with inputs of any layout, the program of a
// case, and what each instruction gives when it runs alone.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/cpu_tables.h"
#include "backend/cpu/program.h"
#include "backend/cpu/reduce.h"
#include "base/error.h"
#include "check.h"
#include "engine/pool.h"
#include "op/elementwise.h"

namespace {

using namespace sn;
using namespace sn::cpu;

using Strides = std::vector<int64_t>;

Strides dense(const std::vector<int64_t>& shape) {
    Strides s(shape.size());
    int64_t step = 1;
    for (size_t d = shape.size(); d-- > 0;) {
        s[d] = step;
        step *= std::max<int64_t>(shape[d], 1);
    }
    return s;
}

struct Buffer {
    std::vector<char> bytes;
    int64_t offset = 0;  // elements: where logical index 0 lies
    void* at(DType d) { return bytes.data() + offset * static_cast<int64_t>(dtype_size(d)); }
};

struct Node {
    enum Kind { kInput, kScalar, kApply, kCast, kReduce } kind;
    DType dtype, compute = DType::kF32;
    int op = 0;
    std::vector<int> args = {};
    Strides strides = {};  // inputs
    bool row = false, scalar = false;
};

struct Case {
    std::vector<int64_t> shape;
    int row_dims = 0;
    std::vector<Node> nodes;
    std::vector<Buffer> inputs;  // by node
    std::vector<Scalar> scalars;
    std::vector<int> outputs;  // nodes
    std::vector<Strides> out_strides;

    int64_t points() const {
        int64_t n = 1;
        for (int64_t s : shape) n *= s;
        return n;
    }
    Strides value_strides(bool row) const {
        Strides s = dense(shape);
        if (!row) return s;
        std::vector<int64_t> batch(shape.begin(), shape.end() - row_dims);
        Strides b = dense(batch);
        std::fill(s.begin(), s.end(), 0);
        std::copy(b.begin(), b.end(), s.begin());
        return s;
    }
};

std::mt19937 gen(7);
int pick(int n) { return static_cast<int>(gen() % static_cast<unsigned>(n)); }

void fill(Buffer& b, DType d, int64_t count) {
    b.bytes.assign(static_cast<size_t>(count) * dtype_size(d), 0);
    for (int64_t i = 0; i < count; ++i) {
        float v = static_cast<float>(static_cast<int>(gen() % 4001) - 2000) / 500;
        if (gen() % 300 == 0) v = std::numeric_limits<float>::quiet_NaN();
        if (gen() % 100 == 0) v = -0.0f;
        char* p = b.bytes.data() + static_cast<size_t>(i) * dtype_size(d);
        switch (d) {
            case DType::kF32: std::memcpy(p, &v, 4); break;
            case DType::kF64: {
                const double w = v;
                std::memcpy(p, &w, 8);
                break;
            }
            case DType::kF16: {
                const uint16_t h = f32_to_f16(v);
                std::memcpy(p, &h, 2);
                break;
            }
            case DType::kBF16: {
                const uint16_t h = f32_to_bf16(v);
                std::memcpy(p, &h, 2);
                break;
            }
            case DType::kBool: *p = gen() & 1; break;
            default:
                for (size_t k = 0; k < dtype_size(d); ++k) p[k] = static_cast<char>(gen());
        }
    }
}

// An input's strides over the loop space: dense, permuted, padded, reversed or broadcast.
Strides random_layout(const Case& c, Buffer& b, DType d, int style) {
    const size_t rank = c.shape.size();
    std::vector<size_t> order(rank);
    for (size_t i = 0; i < rank; ++i) order[i] = i;
    if (style == 1) std::shuffle(order.begin(), order.end(), gen);
    Strides s(rank, 0);
    int64_t span = 1;
    for (size_t i = rank; i-- > 0;) {
        const size_t dim = order[i];
        const bool row_dim = dim >= rank - static_cast<size_t>(c.row_dims);
        if ((style == 2 && pick(2)) || (style == 5 && row_dim) || (style == 6 && !row_dim))
            continue;
        s[dim] = span;
        span *= c.shape[dim] + (style == 3 ? 3 : 0);
    }
    if (style == 4 && rank && pick(2)) {
        const size_t dim = static_cast<size_t>(pick(static_cast<int>(rank)));
        b.offset = std::max<int64_t>(0, c.shape[dim] - 1) * s[dim];
        s[dim] = -s[dim];
    }
    fill(b, d, std::max<int64_t>(span, 1));
    return s;
}

const int kFloatUnary[] = {kTile_negative, kTile_exp,  kTile_tanh,
                           kTile_sqrt,     kTile_relu, kTile_sigmoid};
const int kAnyUnary[] = {kTile_negative, kTile_abs, kTile_square};
const int kFloatBinary[] = {kTile_add,     kTile_subtract, kTile_multiply, kTile_divide,
                            kTile_maximum, kTile_add,      kTile_multiply, kTile_multiply};
const int kAnyBinary[] = {kTile_add, kTile_subtract, kTile_multiply, kTile_minimum};

Case random_case(std::vector<int64_t> shape, int row_dims, int length) {
    Case c;
    c.shape = shape;
    c.row_dims = row_dims;
    const DType main_types[] = {DType::kF32,  DType::kF32, DType::kF32, DType::kF64,
                                DType::kBF16, DType::kF16, DType::kI32, DType::kI8};
    const DType base = main_types[pick(8)];
    const int num_inputs = 1 + pick(4);
    c.inputs.resize(static_cast<size_t>(num_inputs));
    for (int i = 0; i < num_inputs; ++i) {
        Node n{Node::kInput, i ? main_types[pick(8)] : base};
        n.strides = random_layout(c, c.inputs[static_cast<size_t>(i)], n.dtype, i ? pick(7) : 0);
        n.row = row_dims > 0;
        for (size_t d = shape.size() - static_cast<size_t>(row_dims); d < shape.size(); ++d) {
            n.row &= n.strides[d] == 0;
        }
        c.nodes.push_back(n);
    }
    for (int i = 0; i < 2; ++i) {
        Node n{Node::kScalar, base};
        n.op = i;
        n.scalar = true;
        n.row = row_dims > 0;
        c.nodes.push_back(n);
        c.scalars.push_back(Scalar::of_float(i ? 0.75 : -1.25));
    }
    const auto as = [&](int value, DType d) {
        if (c.nodes[static_cast<size_t>(value)].dtype == d) return value;
        Node n{Node::kCast, d};
        n.args = {value};
        n.row = c.nodes[static_cast<size_t>(value)].row;
        n.scalar = c.nodes[static_cast<size_t>(value)].scalar;
        c.nodes.push_back(n);
        return static_cast<int>(c.nodes.size()) - 1;
    };
    for (int k = 0; k < length; ++k) {
        const int count = static_cast<int>(c.nodes.size());
        // Recent values are likelier, so that chains form.
        const auto any = [&] {
            return pick(3) ? count - 1 - pick(std::min(count, 4)) : pick(count);
        };
        const int a = any(), b = any();
        const DType d = c.nodes[static_cast<size_t>(a)].dtype;
        const bool boolean = is_bool(d);
        Node n{Node::kApply, d, d};
        const int choice = pick(10);
        if (boolean) {
            n.op = kTile_where;
            n.dtype = n.compute = base;
            n.args = {a, as(b, base), as(0, base)};
        } else if (row_dims > 0 && choice < 2) {
            n.kind = Node::kReduce;
            n.op = pick(is_float(d) ? 8 : 4);
            if (n.op == 4 || n.op == 5) n.op = 0;  // any, all want bool
            n.args = {a};
        } else if (choice < 5) {
            n.op = is_float(d) ? kFloatUnary[pick(6)] : kAnyUnary[pick(3)];
            n.args = {a};
        } else if (choice == 5) {
            n.op = kTile_less;
            n.args = {a, as(b, d)};
            n.dtype = DType::kBool;
        } else {
            n.op = is_float(d) ? kFloatBinary[pick(8)] : kAnyBinary[pick(4)];
            n.args = {a, as(b, d)};
            if (pick(2)) std::swap(n.args[0], n.args[1]);
        }
        n.row = n.kind == Node::kReduce;
        n.scalar = false;
        if (n.kind == Node::kApply) {
            n.row = row_dims > 0;
            n.scalar = true;
            for (int v : n.args) {
                n.row &= c.nodes[static_cast<size_t>(v)].row;
                n.scalar &= c.nodes[static_cast<size_t>(v)].scalar;
            }
        }
        c.nodes.push_back(n);
    }
    const int count = static_cast<int>(c.nodes.size());
    c.outputs.push_back(count - 1);
    for (int extra = pick(3); extra > 0; --extra) c.outputs.push_back(pick(count));
    for (int o : c.outputs) {
        const bool row = c.nodes[static_cast<size_t>(o)].row;
        Strides s = c.value_strides(row);
        if (!row && shape.size() == 2 && pick(3) == 0) s = {1, std::max<int64_t>(shape[0], 1)};
        c.out_strides.push_back(s);
    }
    return c;
}

int build_node(ProgramBuilder& b, const Node& n, const std::vector<int>& args) {
    if (n.kind == Node::kCast) return b.cast(args[0], n.dtype);
    if (n.kind == Node::kReduce) return b.reduce(static_cast<ReduceKind>(n.op), args[0]);
    return b.apply(n.op, n.compute, args);
}

using Results = std::vector<std::vector<char>>;

size_t out_bytes(const Case& c, size_t i) {
    const Node& n = c.nodes[static_cast<size_t>(c.outputs[i])];
    return static_cast<size_t>(std::max<int64_t>(c.points(), 1)) * dtype_size(n.dtype);
}

Results run_fused(Case& c, std::string* text = nullptr) {
    ProgramBuilder b(c.shape, c.row_dims);
    std::vector<int> value;
    std::vector<void*> buffers;
    for (size_t i = 0; i < c.nodes.size(); ++i) {
        const Node& n = c.nodes[i];
        if (n.kind == Node::kInput) {
            value.push_back(b.input(n.dtype, n.strides, static_cast<int>(buffers.size())));
            buffers.push_back(c.inputs[i].at(n.dtype));
        } else if (n.kind == Node::kScalar) {
            value.push_back(b.scalar(n.dtype, n.op));
        } else {
            std::vector<int> args;
            for (int a : n.args) args.push_back(value[static_cast<size_t>(a)]);
            value.push_back(build_node(b, n, args));
        }
    }
    Results out(c.outputs.size());
    for (size_t i = 0; i < c.outputs.size(); ++i) {
        out[i].assign(out_bytes(c, i), 0);
        b.output(value[static_cast<size_t>(c.outputs[i])], c.out_strides[i],
                 static_cast<int>(buffers.size()));
        buffers.push_back(out[i].data());
    }
    const auto program = b.finish();
    if (text) *text = print_program(*program);
    run_program(*program, {buffers.data(), c.scalars.data()});
    return out;
}

Results run_unfused(Case& c) {
    std::vector<std::vector<char>> store(c.nodes.size());
    std::vector<Strides> strides(c.nodes.size());
    std::vector<void*> data(c.nodes.size());
    for (size_t i = 0; i < c.nodes.size(); ++i) {
        const Node& n = c.nodes[i];
        if (n.kind == Node::kInput) {
            strides[i] = n.strides;
            data[i] = c.inputs[i].at(n.dtype);
            continue;
        }
        ProgramBuilder b(c.shape, c.row_dims);
        std::vector<int> args;
        std::vector<void*> buffers;
        for (int a : n.args) {
            const size_t k = static_cast<size_t>(a);
            args.push_back(b.input(c.nodes[k].dtype, strides[k], static_cast<int>(buffers.size())));
            buffers.push_back(data[k]);
        }
        const int v = n.kind == Node::kScalar ? b.scalar(n.dtype, n.op) : build_node(b, n, args);
        strides[i] = c.value_strides(n.row);
        store[i].assign(static_cast<size_t>(std::max<int64_t>(c.points(), 1)) * dtype_size(n.dtype),
                        0);
        data[i] = store[i].data();
        b.output(v, strides[i], static_cast<int>(buffers.size()));
        buffers.push_back(data[i]);
        run_program(*b.finish(), {buffers.data(), c.scalars.data()});
    }
    Results out(c.outputs.size());
    for (size_t i = 0; i < c.outputs.size(); ++i) {
        const size_t k = static_cast<size_t>(c.outputs[i]);
        out[i].assign(out_bytes(c, i), 0);
        ProgramBuilder b(c.shape, c.row_dims);
        void* buffers[] = {data[k], out[i].data()};
        const int v = b.input(c.nodes[k].dtype, strides[k], 0);
        b.output(v, c.out_strides[i], 1);
        run_program(*b.finish(), {buffers, nullptr});
    }
    return out;
}

template <class T>
bool same_values(const std::vector<char>& a, const std::vector<char>& b) {
    for (size_t i = 0; i + sizeof(T) <= a.size(); i += sizeof(T)) {
        T x, y;
        std::memcpy(&x, &a[i], sizeof x);
        std::memcpy(&y, &b[i], sizeof y);
        if (std::memcmp(&x, &y, sizeof x) != 0 && !(x != x && y != y)) return false;
    }
    return true;
}
bool same_half(const std::vector<char>& a, const std::vector<char>& b, uint16_t infinity) {
    for (size_t i = 0; i < a.size(); i += 2) {
        uint16_t x, y;
        std::memcpy(&x, &a[i], 2);
        std::memcpy(&y, &b[i], 2);
        if (x != y && ((x & 0x7fff) <= infinity || (y & 0x7fff) <= infinity)) return false;
    }
    return true;
}

bool same_results(const Case& c, const Results& a, const Results& b) {
    for (size_t i = 0; i < a.size(); ++i) {
        const DType d = c.nodes[static_cast<size_t>(c.outputs[i])].dtype;
        bool ok = a[i] == b[i];
        if (d == DType::kF32) ok = same_values<float>(a[i], b[i]);
        if (d == DType::kF64) ok = same_values<double>(a[i], b[i]);
        if (d == DType::kF16) ok = same_half(a[i], b[i], 0x7c00);
        if (d == DType::kBF16) ok = same_half(a[i], b[i], 0x7f80);
        if (!ok) return false;
    }
    return true;
}

const std::vector<int64_t> kShapes[] = {
    {},           {1},          {7},           {16},        {1000},    {5000},      {100003},
    {0},          {3, 0},       {1, 1},        {5, 10},     {64, 10},  {300, 33},   {33, 300},
    {7, 1024},    {9, 3000},    {2000, 3},     {64, 64},    {3, 4, 5}, {10, 7, 33}, {2, 3, 500},
    {20, 16, 60}, {4, 3, 8, 8}, {2, 16, 7, 9}, {130, 5000},
};

}  // namespace
