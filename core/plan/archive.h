#pragma once
// Plans as bytes, for bundles (docs/design/017-bundle.md). One description of every field serves
// both directions: with a PlanWriter it writes, with a PlanReader it reads. The reader trusts its
// bytes: they are part of the program.
#include <cstring>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "plan/plan.h"

namespace sn {

// A model at fixed sizes.
struct FrozenVariant {
    std::vector<int64_t> sizes;  // those that were open, by open size
    Plan plan;
    struct Number {  // by scalar index of the graph
        Scalar value;
        uint8_t role = 0;  // NumberRole
    };
    std::vector<Number> numbers;
    std::vector<Dims> argument_shapes, result_shapes;      // updates come last among the results
    std::vector<int64_t> constant_offset, constant_bytes;  // of plan.constants, in the data
};

// What a bundle's plan says of the ops that steps and programs name.
struct FrozenOp {
    std::string name;
    int32_t tile_op = -1, reduce_kind = -1;
};

struct FrozenModel {
    std::vector<FrozenOp> ops;
    std::vector<std::string> argument_names, stand_names, result_names;
    std::vector<DType> argument_dtypes, stand_dtypes, result_dtypes;
    std::vector<int64_t> stand_offset, stand_bytes;  // parameters and constants, in the data
    std::vector<uint32_t> updates;                   // of stand: the last results
    std::vector<std::string> size_names;
    int64_t draws = 0;
    std::deque<FrozenVariant> variants;  // which are never moved
};

class PlanWriter {
public:
    static constexpr bool kReads = false;
    std::string bytes;
    std::vector<OpId> ops;  // those that were met; a plan's bytes count in this order

    template <class T>
    void number(T& value) {
        const auto wide = static_cast<int64_t>(value);
        auto rest = static_cast<uint64_t>(wide) << 1 ^ static_cast<uint64_t>(wide >> 63);
        for (; rest >= 128; rest >>= 7) bytes.push_back(static_cast<char>(rest | 128));
        bytes.push_back(static_cast<char>(rest));
    }
    void real(double& value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); }
    void text(std::string& value) {
        size_t size = value.size();
        number(size);
        bytes += value;
    }
    void op(OpId& id) {
        const auto [at, fresh] = index_.emplace(id, static_cast<OpId>(ops.size()));
        if (fresh) ops.push_back(id);
        OpId local = at->second;
        number(local);
    }
    template <class List>
    size_t count(List& list) {
        size_t size = list.size();
        number(size);
        return size;
    }

private:
    std::unordered_map<OpId, OpId> index_;
};

class PlanReader {
public:
    static constexpr bool kReads = true;
    explicit PlanReader(const unsigned char* bytes) : at_(bytes) {}

    template <class T>
    void number(T& value) {
        uint64_t raw = 0;
        for (int shift = 0;; shift += 7) {
            const uint64_t byte = *at_++;
            raw |= (byte & 127) << shift;
            if (byte < 128) break;
        }
        value = static_cast<T>(static_cast<int64_t>(raw >> 1 ^ (~(raw & 1) + 1)));
    }
    void real(double& value) {
        std::memcpy(&value, at_, sizeof value);
        at_ += sizeof value;
    }
    void text(std::string& value) {
        size_t size = 0;
        number(size);
        value.assign(reinterpret_cast<const char*>(at_), size);
        at_ += size;
    }
    void op(OpId& id) { number(id); }
    template <class List>
    size_t count(List& list) {
        size_t size = 0;
        number(size);
        if constexpr (requires { List(size); })
            list = List(size);
        else
            list.resize(size);
        return size;
    }

private:
    const unsigned char* at_;
};

// ---- the fields

template <class A, class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
void archive(A& a, T& value) {
    a.number(value);
}
template <class A>
void archive(A& a, double& value) {
    a.real(value);
}
template <class A>
void archive(A& a, std::string& value) {
    a.text(value);
}
template <class A, class List>
    requires requires(List& list) {
        list.resize(size_t{});
        list[size_t{}];
    }
void archive(A& a, List& list);

template <class A, class... T>
void archive_all(A& a, T&... values) {
    (archive(a, values), ...);
}

template <class A>
void archive(A& a, Scalar& s) {
    archive_all(a, s.kind, s.i);
}
template <class A>
void archive(A& a, ScalarSource& s) {
    archive_all(a, s.slot, s.constant);
}
template <class A>
void archive(A& a, PlanBuffer& b) {
    archive_all(a, b.kind, b.index, b.donated, b.bytes, b.offset, b.first, b.last);
}
template <class A>
void archive(A& a, Slot& s) {
    archive_all(a, s.buffer, s.scalar, s.offset, s.terms);
}
template <class A>
void archive(A& a, PlanOutput& o) {
    archive_all(a, o.slot, o.strides, o.overwrites);
}
template <class A>
void archive(A& a, GraphEdge& e) {
    archive_all(a, e.from, e.to);
}
template <class A>
void archive(A& a, ProgramSpec::Input& in) {
    archive_all(a, in.dtype, in.scalar, in.strides, in.binding);
}
template <class A>
void archive(A& a, ProgramSpec::Instruction& in) {
    archive_all(a, in.kind, in.dtype, in.args);
    if (in.kind != ProgramSpec::Kind::kCast) a.op(in.op);
}
template <class A>
void archive(A& a, ProgramSpec::Output& out) {
    archive_all(a, out.value, out.dtype, out.strides, out.binding);
}
template <class A>
void archive(A& a, ProgramSpec& s) {
    archive_all(a, s.shape, s.row_dims, s.inputs, s.instructions, s.outputs, s.product,
                s.product_in_output);
}

// Shapes and strides of views lie in the plan.
template <class A>
void archive_view(A& a, std::deque<Dims>& room, TensorView& view) {
    archive(a, view.dtype);
    const auto rank = static_cast<size_t>(view.rank);
    Dims shape(DimSpan(view.shape, rank)), strides(DimSpan(view.strides, rank));
    archive_all(a, shape, strides);
    if constexpr (A::kReads) {
        view.data = nullptr;
        view.buffer = nullptr;
        view.rank = static_cast<int>(shape.size());
        view.shape = room.emplace_back(std::move(shape)).data();
        view.strides = room.emplace_back(std::move(strides)).data();
    }
}

// `find_kernel(op)` and `compile(spec)` give a step that was read what it runs.
template <class A, class Find, class Compile>
void archive_step(A& a, std::deque<Dims>& room, Step& s, Find find_kernel, Compile compile) {
    a.op(s.op);
    bool kernel = s.kernel != nullptr, program = s.program != nullptr;
    archive_all(a, kernel, program);
    if constexpr (A::kReads) {
        if (kernel) s.kernel = find_kernel(s.op);
        if (program) {
            ProgramSpec spec;
            archive(a, spec);
            s.program = compile(spec);
        }
    } else if (program) {
        ProgramSpec spec = *s.program->spec();
        archive(a, spec);
    }
    for (std::vector<TensorView>* views : {&s.in, &s.out}) {
        const size_t count = a.count(*views);
        for (size_t i = 0; i < count; ++i) archive_view(a, room, (*views)[i]);
    }
    archive_all(a, s.in_slots, s.out_slots, s.bindings, s.scalars, s.writes, s.attrs, s.workspace,
                s.checks_values, s.ops, s.cost);
}

template <class A, class Find, class Compile>
void archive_variant(A& a, FrozenVariant& v, Find find_kernel, Compile compile) {
    Plan& p = v.plan;
    archive_all(a, v.sizes, v.argument_shapes, v.result_shapes);
    const size_t numbers = a.count(v.numbers);
    for (size_t i = 0; i < numbers; ++i) archive_all(a, v.numbers[i].value, v.numbers[i].role);
    archive_all(a, v.constant_offset, v.constant_bytes);
    archive_all(a, p.buffers, p.scalars, p.scalar_dtypes, p.outputs, p.output_buffers,
                p.arena_bytes, p.cost, p.edges);
    const size_t steps = a.count(p.steps);
    for (size_t i = 0; i < steps; ++i) archive_step(a, p.dims, p.steps[i], find_kernel, compile);
}

// All but the variants, which follow, and the ops, which come first.
template <class A>
void archive_interface(A& a, FrozenModel& m) {
    archive_all(a, m.argument_names, m.stand_names, m.result_names, m.argument_dtypes,
                m.stand_dtypes, m.result_dtypes, m.stand_offset, m.stand_bytes, m.updates,
                m.size_names, m.draws);
    a.count(m.variants);
}
template <class A>
void archive(A& a, FrozenOp& op) {
    archive_all(a, op.name, op.tile_op, op.reduce_kind);
}

template <class A, class List>
    requires requires(List& list) {
        list.resize(size_t{});
        list[size_t{}];
    }
void archive(A& a, List& list) {
    const size_t count = a.count(list);
    for (size_t i = 0; i < count; ++i) archive(a, list[i]);
}

}  // namespace sn
