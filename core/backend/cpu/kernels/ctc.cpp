// Connectionist temporal classification (core/op/ctc.cpp): the recursions run over whole vectors of
// places; sequences are shared by threads.
#include "backend/cpu/copy.h"
#include "backend/cpu/scratch.h"
#include "base/error.h"
#include "engine/pool.h"
#include "op/ctc_math.h"

namespace sn::cpu::SN_ISA {

namespace {

template <class T>
constexpr T kNever = -static_cast<T>(__builtin_inff());

// Operands of one call; in[first] is log_probs.
template <class T>
struct Batch {
    const T* x;
    const int64_t *targets, *inputs, *lengths;
    int64_t steps, batch, classes, longest, blank;

    Batch(const KernelCall& c, int first)
        : x(c.in[first].as<T>()),
          targets(c.in[first + 1].as<int64_t>()),
          inputs(c.in[first + 2].as<int64_t>()),
          lengths(c.in[first + 3].as<int64_t>()),
          steps(c.in[first].shape[0]),
          batch(c.in[first].shape[1]),
          classes(c.in[first].shape[2]),
          longest(c.in[first + 1].shape[1]),
          blank(c.attrs[0]) {}
    int64_t places() const { return 2 * longest + 1; }
    const T* row(int64_t t, int64_t n) const { return x + (t * batch + n) * classes; }
    int64_t grain() const { return grain_for(steps * places() * 64); }
};

// One sequence: the class of each place and what leaving one out costs (0 or -inf). Rows of places
// have room for whole vectors, and for two places before and behind, which are never reached.
template <class T>
struct Places {
    int64_t count, room;
    Scratch memory;
    int64_t* label;
    T *skip, *emitted, *rows[2];

    Places(const Batch<T>& b, int64_t n)
        : count(2 * b.lengths[n] + 1),
          room((b.places() + kLanes<T> - 1) / kLanes<T> * kLanes<T> + 4),
          memory(static_cast<size_t>(room) * (sizeof(int64_t) + 4 * sizeof(T))),
          label(memory.as<int64_t>()),
          skip(reinterpret_cast<T*>(label + room)),
          emitted(skip + room),
          rows{emitted + room, emitted + 2 * room} {
        const int64_t* target = b.targets + n * b.longest;
        for (int64_t s = 0; s < count; ++s) label[s] = s % 2 ? target[s / 2] : b.blank;
        for (int64_t s = 0; s < room; ++s) {
            const bool free = s < count && s % 2 && s > 1 && label[s] != label[s - 2];
            skip[s] = free ? T(0) : kNever<T>;
            emitted[s] = 0;
            rows[0][s] = rows[1][s] = kNever<T>;
        }
    }
    void emit(const T* row) {
        for (int64_t s = 0; s < count; ++s) emitted[s] = row[label[s]];
    }
    // Place s stands at element s + 2 of a row of alpha, and at s of a row of beta.
    void clear_behind(T* row, int64_t from) {
        for (int64_t s = from; s < room; ++s) row[s] = kNever<T>;
    }
};

[[noreturn]] void fail_target(int64_t target, int64_t n, int64_t s, int64_t classes,
                              int64_t blank) {
    if (target == blank) {
        fail(ErrorKind::kValue, "ctc_loss",
             "target %lld of sequence %lld is the blank (%lld); targets name other classes; give "
             "the blank a class of its own",
             static_cast<long long>(s), static_cast<long long>(n), static_cast<long long>(blank));
    }
    fail(
        ErrorKind::kIndex, "ctc_loss",
        "target %lld of sequence %lld is %lld and names no class (there are %lld); targets must be "
        "0 to %lld; check the data set, and the output size of the last layer",
        static_cast<long long>(s), static_cast<long long>(n), static_cast<long long>(target),
        static_cast<long long>(classes), static_cast<long long>(classes - 1));
}

template <class T>
void check(const Batch<T>& b) {
    for (int64_t n = 0; n < b.batch; ++n) {
        const int64_t input = b.inputs[n], length = b.lengths[n];
        if (input < 0 || input > b.steps || length < 0 || length > b.longest) {
            fail(ErrorKind::kValue, "ctc_loss",
                 "sequence %lld has %lld steps and %lld targets; log_probs have %lld steps and "
                 "targets %lld columns, and lengths must be between 0 and these",
                 static_cast<long long>(n), static_cast<long long>(input),
                 static_cast<long long>(length), static_cast<long long>(b.steps),
                 static_cast<long long>(b.longest));
        }
        for (int64_t s = 0; s < length; ++s) {
            const int64_t target = b.targets[n * b.longest + s];
            if (target < 0 || target >= b.classes || target == b.blank)
                fail_target(target, n, s, b.classes, b.blank);
        }
    }
}

template <class T>
void forward_one(const Batch<T>& b, int64_t n, T* loss, T* alpha) {
    using V = Vec<T>;
    constexpr int64_t L = kLanes<T>;
    const int64_t width = b.places(), steps = b.inputs[n];
    Places<T> p(b, n);
    for (int64_t t = 0; t < steps; ++t) {
        p.emit(b.row(t, n));
        T *before = p.rows[t & 1], *now = p.rows[1 - (t & 1)];
        if (t == 0) {
            now[2] = p.emitted[0];
            if (p.count > 1) now[3] = p.emitted[1];
        } else {
            for (int64_t s = 0; s < p.count; s += L) {
                const V own = load<V>(before + s + 2), one = load<V>(before + s + 1);
                const V two = load<V>(before + s) + load<V>(p.skip + s);
                store(now + s + 2, math::log_sum(own, one, two) + load<V>(p.emitted + s));
            }
            p.clear_behind(now, p.count + 2);
        }
        for (int64_t s = 0; s < width; ++s) alpha[t * width + s] = now[s + 2];
    }
    for (int64_t i = steps * width; i < b.steps * width; ++i) alpha[i] = kNever<T>;
    if (steps == 0) {
        *loss = p.count == 1 ? T(0) : -kNever<T>;
        return;
    }
    const T* last = alpha + (steps - 1) * width;
    *loss =
        -math::log_sum(last[p.count - 1], p.count > 1 ? last[p.count - 2] : kNever<T>, kNever<T>);
}

template <class T>
void backward_one(const Batch<T>& b, int64_t n, T g, T loss, const T* alpha, T* out) {
    using V = Vec<T>;
    constexpr int64_t L = kLanes<T>;
    const int64_t width = b.places(), steps = b.inputs[n];
    for (int64_t t = 0; t < b.steps; ++t) {
        T* row = out + (t * b.batch + n) * b.classes;
        for (int64_t c = 0; c < b.classes; ++c) row[c] = 0;
    }
    if (g == T(0)) return;
    Places<T> p(b, n);
    for (int64_t t = steps; t-- > 0;) {
        T *after = p.rows[t & 1], *now = p.rows[1 - (t & 1)];
        if (t + 1 == steps) {
            now[p.count - 1] = 0;
            if (p.count > 1) now[p.count - 2] = 0;
        } else {
            // What follows, with its own step: over the row itself, whose old numbers are done.
            p.emit(b.row(t + 1, n));
            for (int64_t s = 0; s < p.count; ++s) after[s] = after[s] + p.emitted[s];
            p.clear_behind(after, p.count);
            for (int64_t s = 0; s < p.count; s += L) {
                const V own = load<V>(after + s), one = load<V>(after + s + 1);
                const V two = load<V>(after + s + 2) + load<V>(p.skip + s + 2);
                store(now + s, math::log_sum(own, one, two));
            }
            p.clear_behind(now, p.count);
        }
        const T* forward = alpha + t * width;
        T* share = p.emitted;
        for (int64_t s = 0; s < p.count; s += L) {
            const int64_t rest = width - s;
            const V a = rest >= L ? load<V>(forward + s) : load_part<V>(forward + s, rest);
            store(share + s, math::exp(a + load<V>(now + s) + splat(loss)));
        }
        T* row = out + (t * b.batch + n) * b.classes;
        for (int64_t s = 0; s < p.count; ++s) row[p.label[s]] = row[p.label[s]] - share[s] * g;
    }
}

template <class T>
void forward(const KernelCall& c) {
    const Batch<T> b(c, 0);
    check(b);
    T *loss = c.out[0].as<T>(), *alpha = c.out[1].as<T>();
    parallel_for(b.batch, b.grain(), [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
            forward_one(b, n, loss + n, alpha + n * b.steps * b.places());
    });
}

template <class T>
void backward(const KernelCall& c) {
    const Batch<T> b(c, 1);
    const T *g = c.in[0].as<T>(), *loss = c.in[5].as<T>(), *alpha = c.in[6].as<T>();
    T* out = c.out[0].as<T>();
    parallel_for(b.batch, b.grain(), [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
            backward_one(b, n, g[n], loss[n], alpha + n * b.steps * b.places(), out);
    });
}

void ctc(const KernelCall& c) {
    c.in[0].dtype == DType::kF64 ? forward<double>(c) : forward<float>(c);
}
void ctc_grad(const KernelCall& c) {
    c.in[1].dtype == DType::kF64 ? backward<double>(c) : backward<float>(c);
}

}  // namespace

void register_ctc(KernelTable& table) {
    table.add("ctc_loss", ctc);
    table.add("ctc_loss_grad", ctc_grad);
}

}  // namespace sn::cpu::SN_ISA
