// Random numbers: Philox 4x32-10, a counter-based generator (Salmon et al., SC 2011). The key is
// the seed, the counter is (block of elements, draw). Seed and draw are operands, so a recorded op
// can be replayed or recomputed and gives the same bits.
#include "op/random.h"

#include <cmath>

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"
#include "record/read.h"
#include "record/tape.h"
#include "record/trace.h"

namespace sn {

namespace {

RandomState generator;  // guarded by the record lock, like everything that records

Tensor draw(const char* op, OpId id, const Tensor& a, const Tensor& b, DimSpan shape, DType dtype,
            Device device) {
    const int64_t number = next_draw(op);
    return record(id, {a, b, Tensor(static_cast<int64_t>(generator.seed)), Tensor(number)},
                  Attrs().ints(shape).dtype(dtype).i(device.backend << 8 | device.index));
}

void infer_draw(InferCall& c) {
    const int64_t device = c.attrs.i(2);
    c.out[0] = {Dims(c.attrs.ints(0)),
                c.attrs.dtype(1),
                {static_cast<uint8_t>(device >> 8), static_cast<uint8_t>(device & 0xff)}};
    for (int64_t size : c.out[0].shape) {
        if (size >= 0) continue;
        fail(ErrorKind::kShape, c.op, "shape %s has a negative size; sizes must be 0 or more",
             format_shape(c.out[0].shape).c_str());
    }
}

// Calls from files.
template <bool (*fits)(DType)>
void check_draw(const CheckCall& c) {
    c.tensors(0, 0);
    c.require(fits(c.attrs.dtype(1)), "random numbers have the wrong kind of dtype");
    c.on_cpu(c.attrs.i(2));
}

// Numbers of their own for each example are one draw of a larger shape.
bool batch_draw(BatchCall& c) {
    if (c.any_batched(0, c.in.size())) return false;
    return c.call(c.in, EditedAttrs(c).ints(0, with_front(c.size, c.attrs.ints(0))).get());
}

bool both_scalars(const Tensor& a, const Tensor& b) { return a.is_scalar() && b.is_scalar(); }

DType float_dtype(const Args& a, int i, const char* op) {
    const DType dtype = a.has(i) ? a.dtype(i) : DType::kF32;
    require_float(op, "the result", real_dtype(dtype));
    return dtype;
}

Device device_of(const Args& a, int i) { return a.has(i) ? a.device(i) : Device(); }

// The shape asked for, or that of the parameters broadcast together.
Dims draw_shape(const char* op, const Args& a, int i, const Tensor& p, const Tensor& q) {
    return a.has(i) ? Dims(a.ints(i)) : broadcast_shapes(op, p.shape(), q.shape());
}

// uniform(low: Operand, high: Operand, shape, dtype, device)
Tensor uniform_function(const Args& a) {
    const Tensor &low = a.tensor(0), &high = a.tensor(1);
    const DType dtype = float_dtype(a, 3, "random.uniform");
    const Dims shape = draw_shape("random.uniform", a, 2, low, high);
    if (both_scalars(low, high)) return random_uniform(shape, low, high, dtype, device_of(a, 4));
    return low + (high - low) * random_uniform(shape, 0.0, 1.0, dtype, device_of(a, 4));
}

Tensor normal_function(const Args& a) {
    const Tensor &mean = a.tensor(0), &std = a.tensor(1);
    const DType dtype = float_dtype(a, 3, "random.normal");
    const Dims shape = draw_shape("random.normal", a, 2, mean, std);
    if (both_scalars(mean, std)) return random_normal(shape, mean, std, dtype, device_of(a, 4));
    return mean + std * random_normal(shape, 0.0, 1.0, dtype, device_of(a, 4));
}

Tensor integers_function(const Args& a) {
    const Scalar first = read_number("random.integers", a.tensor(0));
    const Scalar low = a.has(1) ? first : Scalar::of_int(0);
    const Scalar high = a.has(1) ? read_number("random.integers", a.tensor(1)) : first;
    return random_integers(a.ints(2), Tensor(low.as_int()), Tensor(high.as_int()),
                           a.has(3) ? a.dtype(3) : DType::kI64, device_of(a, 4));
}

Tensor bernoulli_function(const Args& a) {
    const Tensor& p = a.tensor(0);
    const Dims shape = a.has(1) ? Dims(a.ints(1)) : p.shape();
    const DType dtype = a.has(2) ? a.dtype(2) : p.is_scalar() ? DType::kF32 : p.dtype();
    return cast(less(random_uniform(shape, 0.0, 1.0, DType::kF32, p.device()), p), dtype);
}

Tensor permutation_function(const Args& a) {
    const Tensor& x = a.tensor(0);
    if (x.rank() == 0)
        return random_permutation(read_number("random.permutation", x).as_int(), DType::kI64,
                                  x.device());
    return take(x, random_permutation(x.size(0), DType::kI64, x.device()), 0);
}

Tensor state_tensor() {
    const Tensor parts[2] = {
        full(Dims{1}, static_cast<int64_t>(generator.seed), DType::kU64, Device()),
        full(Dims{1}, static_cast<int64_t>(generator.counter), DType::kU64, Device())};
    return concat(parts, 0);
}

Results set_state_function(const Args& a) {
    const Tensor& state = a.tensor(0);
    if (state.numel() != 2 || !is_int(state.dtype())) {
        fail(ErrorKind::kValue, "random.set_state",
             "the state has shape %s and dtype %s; two integers, as random.get_state() gives, are "
             "required",
             format_shape(state.shape()).c_str(), dtype_name(state.dtype()));
    }
    Tensor keep;
    const auto* words = static_cast<const uint64_t*>(read_values(cast(state, DType::kU64), &keep));
    set_random_state({words[0], words[1]});
    return {};
}

}  // namespace

int64_t next_draw(const char* op) {
    const Trace* trace = current_trace();
    if (trace && trace->randomness() == Randomness::kError) {
        fail(ErrorKind::kValue, op,
             "random numbers are drawn inside sn.vmap, whose randomness is 'error'; say what they "
             "are for each example: randomness='different' or randomness='same'");
    }
    return static_cast<int64_t>(generator.counter++);
}
RandomState random_state() { return generator; }
void set_random_state(RandomState state) { generator = state; }
void seed(uint64_t value) { generator = {value, 0}; }

Tensor random_uniform(DimSpan shape, const Tensor& low, const Tensor& high, DType dtype,
                      Device device) {
    static const OpId id = find_op("random_uniform");
    if (is_complex(dtype)) {  // each part is drawn so, as in PyTorch
        const auto part = [&] {
            return random_uniform(shape, low, high, real_dtype(dtype), device);
        };
        const Tensor re = part();
        return complex(re, part());
    }
    if (both_scalars(low, high)) {
        const double a = low.value()->scalar.as_double(), b = high.value()->scalar.as_double();
        if (!(a <= b) || !std::isfinite(b - a)) {
            fail(ErrorKind::kValue, "random.uniform",
                 "low is %g and high is %g; both must be finite "
                 "and low must not be larger",
                 a, b);
        }
    }
    return draw("random.uniform", id, scalar_operand("random.uniform", low, dtype),
                scalar_operand("random.uniform", high, dtype), shape, dtype, device);
}

Tensor random_normal(DimSpan shape, const Tensor& mean, const Tensor& std, DType dtype,
                     Device device) {
    static const OpId id = find_op("random_normal");
    if (std.is_scalar() && !(std.value()->scalar.as_double() >= 0)) {
        fail(ErrorKind::kValue, "random.normal", "std is %g; it must be 0 or more",
             std.value()->scalar.as_double());
    }
    if (is_complex(dtype)) {  // half of the variance is in each part
        constexpr double half = 0.707106781186547524401;
        const Tensor each =
            std.is_scalar() ? Tensor(std.value()->scalar.as_double() * half) : std * half;
        const Tensor re = random_normal(shape, mean, each, real_dtype(dtype), device);
        return complex(re, random_normal(shape, 0.0, each, real_dtype(dtype), device));
    }
    return draw("random.normal", id, scalar_operand("random.normal", mean, dtype),
                scalar_operand("random.normal", std, dtype), shape, dtype, device);
}

Tensor random_integers(DimSpan shape, const Tensor& low, const Tensor& high, DType dtype,
                       Device device) {
    static const OpId id = find_op("random_integers");
    if (both_scalars(low, high) && low.value()->scalar.as_int() >= high.value()->scalar.as_int()) {
        fail(ErrorKind::kValue, "random.integers",
             "low is %lld and high is %lld; low must be smaller", ll(low.value()->scalar.as_int()),
             ll(high.value()->scalar.as_int()));
    }
    if (!is_int(dtype)) {
        fail(ErrorKind::kDType, "random.integers", "dtype is %s; an integer dtype is required",
             dtype_name(dtype));
    }
    return draw("random.integers", id, scalar_operand("random.integers", low, DType::kI64),
                scalar_operand("random.integers", high, DType::kI64), shape, dtype, device);
}

// Random keys, sorted: equal keys (which 63 bits make rare) are ordered by index.
Tensor random_permutation(int64_t n, DType dtype, Device device) {
    if (n < 0) {
        fail(ErrorKind::kValue, "random.permutation", "n is %lld; it must be 0 or more", ll(n));
    }
    const Tensor keys = random_integers(Dims{n}, int64_t{0}, INT64_MAX, DType::kI64, device);
    return cast(argsort(keys, 0, false), dtype);
}

Tensor dropout(const Tensor& x, const Tensor& p) {
    static const OpId id = find_op("dropout_mask");
    require_float("dropout", "x", x.dtype());
    const double rate = read_number("dropout", p).as_double();
    if (!(rate >= 0 && rate <= 1)) {
        fail(ErrorKind::kValue, "dropout", "p is %g; a probability between 0 and 1 is required",
             rate);
    }
    if (rate == 0) return x;
    const int64_t number = next_draw("dropout");
    // The probability stays a float64: as a float32 it would change which elements are kept.
    const Tensor mask = record(
        id, {Tensor(rate), Tensor(static_cast<int64_t>(generator.seed)), Tensor(number)},
        Attrs().ints(x.shape()).dtype(DType::kBool).i(x.device().backend << 8 | x.device().index));
    return where(mask, x * Tensor(rate < 1 ? 1 / (1 - rate) : 0.0), 0.0);
}

namespace {

// What x.uniform_() and the like draw: numbers for every element of x.
Tensor uniform_like(const char* op, const Tensor& x) {
    require_float(op, "the tensor", x.dtype());
    return random_uniform(x.shape(), 0.0, 1.0, x.dtype(), x.device());
}

double positive(const char* op, const char* name, double value) {
    if (value > 0 && std::isfinite(value)) return value;
    fail(ErrorKind::kValue, op, "%s is %g; a positive number is required", name, value);
}

// Inverse of the distribution function of the number of trials up to the first success.
Tensor geometric_like(const Args& a) {
    const Tensor& x = a.tensor(0);
    const double p = a.real(1);
    if (!(p > 0 && p < 1)) {
        fail(ErrorKind::kValue, "geometric_",
             "p is %g; a probability between 0 and 1, without both ends, is required", p);
    }
    const Tensor u = random_uniform(x.shape(), 0.0, 1.0, DType::kF32, x.device());
    const Tensor failure = log1p(full({}, -p, DType::kF32, x.device()));
    return cast(maximum(ceil(log1p(negative(u)) / failure), 1.0), x.dtype());
}

// Up to and with this number, every integer is a number of the dtype.
int64_t last_integer(DType dtype) {
    switch (dtype) {
        case DType::kBool: return 1;
        case DType::kI8: return INT8_MAX;
        case DType::kU8: return UINT8_MAX;
        case DType::kI16: return INT16_MAX;
        case DType::kU16: return UINT16_MAX;
        case DType::kI32: return INT32_MAX;
        case DType::kU32: return UINT32_MAX;
        case DType::kBF16: return int64_t{1} << 8;
        case DType::kF16: return int64_t{1} << 11;
        case DType::kF32: return int64_t{1} << 24;
        case DType::kF64: return int64_t{1} << 53;
        default: return INT64_MAX - 1;
    }
}

Tensor integers_like(const Args& a) {
    const Tensor& x = a.tensor(0);
    if (is_complex(x.dtype())) {
        fail(ErrorKind::kDType, "random_",
             "the tensor is %s; integers are drawn for real dtypes only; fill x.real and x.imag",
             dtype_name(x.dtype()));
    }
    const bool both = a.has(1) && a.has(2);
    const int64_t low = both ? a.integer(1) : 0;
    const int64_t high = a.has(2)   ? a.integer(2)
                         : a.has(1) ? a.integer(1)
                                    : last_integer(x.dtype()) + 1;
    return cast(random_integers(x.shape(), low, high, DType::kI64, x.device()), x.dtype());
}

// With replacement: where uniform numbers fall among the running sums. Without: the largest of
// weights over exponentially distributed numbers (Efraimidis and Spirakis 2006).
Tensor multinomial(const Args& a) {
    const Tensor& p = a.tensor(0);
    const int64_t count = a.integer(1);
    const bool replacement = a.flag(2);
    require_float("multinomial", "p", p.dtype());
    if (p.rank() < 1 || p.rank() > 2 || p.size(-1) == 0 || count < 1 ||
        (!replacement && count > p.size(-1))) {
        fail(ErrorKind::kShape, "multinomial",
             "p has shape %s, num_samples is %lld; weights (n,) or (rows, n) and 1 sample or more "
             "(without replacement at most n) are required",
             format_shape(p.shape()).c_str(), ll(count));
    }
    const Tensor w = cast(p.detach(), p.dtype() == DType::kF64 ? DType::kF64 : DType::kF32);
    if (!current_trace()) {
        const Dims last{-1};
        const Tensor enough = greater_equal(sum(cast(greater(w, 0.0), DType::kI64), last, false),
                                            replacement ? int64_t{1} : count);
        const Tensor good =
            logical_and(all(logical_and(greater_equal(w, 0.0), isfinite(w)), {}, false),
                        all(enough, {}, false));
        if (!read_number("multinomial", good).as_int()) {
            fail(ErrorKind::kValue, "multinomial",
                 "a weight is negative, infinite or NaN, or a row has fewer weights above zero "
                 "than samples are drawn (%lld); check the weights, or pass replacement=True",
                 ll(replacement ? 1 : count));
        }
    }
    const DType dtype = w.dtype();
    if (!replacement) {
        const Tensor u = random_uniform(w.shape(), 0.0, 1.0, dtype, w.device());
        // log1p(-u) is 0 for u = 0: the weight counts as infinite, a weight of 0 still as 0.
        const Tensor key = where(greater(w, 0.0), w / negative(log1p(negative(u))), -1.0);
        return narrow(argsort(key, -1, true), w.rank() - 1, 0, count);
    }
    const Tensor sums = cumsum(w, w.rank() - 1);
    Dims shape = w.shape();
    shape.back() = count;
    const Tensor total = narrow(sums, w.rank() - 1, w.size(-1) - 1, 1);
    const Tensor u = random_uniform(shape, 0.0, 1.0, dtype, w.device()) * total;
    // A product that is rounded up to the total belongs to the last weight above zero.
    const Tensor last = sum(cast(less(sums, total), DType::kI64), Dims{-1}, true);
    return minimum(searchsorted(sums, u, true), last);
}

void register_random_functions() {
    register_function({
        .signature = "random.seed(seed: int) -> None",
        .doc =
            R"(Starts the random numbers anew; a program that never calls this starts from seed 0.

>>> sn.random.seed(0)
>>> a = sn.random.uniform(shape=(2,))
>>> sn.random.seed(0)
>>> bool((a == sn.random.uniform(shape=(2,))).all())
True
)",
        .call_many =
            [](const Args& a) {
                seed(static_cast<uint64_t>(a.integer(0)));
                return Results{};
            },
        .aliases = "manual_seed",
        .method = false,
    });
    register_function({
        .signature = "random.get_state() -> Tensor",
        .doc = R"(The generator's state: two uint64, the seed and the number of draws so far.

>>> sn.random.seed(7)
>>> sn.random.get_state().tolist()
[7, 0]
)",
        .call = [](const Args&) { return state_tensor(); },
        .method = false,
    });
    register_function({
        .signature = "random.set_state(state: Tensor) -> None",
        .doc = R"(Goes back to a state that get_state gave.

>>> state = sn.random.get_state()
>>> a = sn.random.normal(shape=(2,))
>>> sn.random.set_state(state)
>>> bool((a == sn.random.normal(shape=(2,))).all())
True
)",
        .call_many = set_state_function,
        .method = false,
    });
    register_function({
        .signature = "random.uniform(low: Operand = 0.0, high: Operand = 1.0, shape: Ints? = None, "
                     "dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Numbers spread evenly over [low, high): high never occurs.

shape : by default that of low and high.

>>> x = sn.random.uniform(2.0, 3.0, (100,))
>>> bool((x >= 2.0).all()), bool((x < 3.0).all())
(True, True)
)",
        .call = uniform_function,
        .method = false,
    });
    register_function({
        .signature = "random.normal(mean: Operand = 0.0, std: Operand = 1.0, shape: Ints? = None, "
                     "dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Normally distributed numbers with the given mean and standard deviation.

Each part of complex numbers has half of the variance.

>>> sn.random.normal(shape=(2, 3)).shape
(2, 3)
)",
        .call = normal_function,
        .method = false,
    });
    register_function({
        .signature =
            "random.rand(shape: Ints, dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Numbers spread evenly over [0, 1); of complex ones, each part is.

>>> sn.random.rand((2, 3)).shape
(2, 3)
)",
        .call =
            [](const Args& a) {
                return random_uniform(a.ints(0), 0.0, 1.0, float_dtype(a, 1, "random.rand"),
                                      device_of(a, 2));
            },
        .aliases = "rand",
        .method = false,
    });
    register_function({
        .signature =
            "random.randn(shape: Ints, dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Normally distributed numbers with mean 0 and standard deviation 1.

>>> sn.random.randn((2, 3)).shape
(2, 3)
)",
        .call =
            [](const Args& a) {
                return random_normal(a.ints(0), 0.0, 1.0, float_dtype(a, 1, "random.randn"),
                                     device_of(a, 2));
            },
        .aliases = "randn",
        .method = false,
    });
    register_function({
        .signature = "rand_like(x: Tensor) -> Tensor",
        .doc = R"(Numbers spread evenly over [0, 1), with the shape, dtype and device of x.

>>> sn.rand_like(sn.zeros((2, 3))).shape
(2, 3)
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                require_float("rand_like", "x", x.dtype());
                return random_uniform(x.shape(), 0.0, 1.0, x.dtype(), x.device());
            },
        .method = false,
    });
    register_function({
        .signature = "randn_like(x: Tensor) -> Tensor",
        .doc = R"(Normally distributed numbers with the shape, dtype and device of x.

>>> sn.randn_like(sn.zeros((2, 3))).shape
(2, 3)
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                require_float("randn_like", "x", x.dtype());
                return random_normal(x.shape(), 0.0, 1.0, x.dtype(), x.device());
            },
        .method = false,
    });
    register_function({
        .signature = "random.integers(low: Operand, high: Operand? = None, shape: Ints = (), "
                     "dtype: DType? = None, device: Device? = None) -> Tensor",
        .doc = R"(Integers spread evenly over [low, high), or over [0, low) when high is left out.

The high half of a 64-bit random number times the width: no integer is more likely than another by
more than one part in 2**64 / width.

>>> bool((sn.random.integers(0, 3, (100,)) < 3).all())
True
)",
        .call = integers_function,
        .aliases = "random.randint randint",
        .method = false,
    });
    register_function({
        .signature =
            "random.bernoulli(p: Operand, shape: Ints? = None, dtype: DType? = None) -> Tensor",
        .doc = R"(1 with probability p, else 0.

>>> sn.random.bernoulli(1.0, (3,)).tolist()
[1.0, 1.0, 1.0]
)",
        .call = bernoulli_function,
        .aliases = "bernoulli",
        .method = false,
    });
    register_function({
        .signature = "uniform_(x: Tensor, low: float = 0.0, high|to: float = 1.0) -> Tensor",
        .doc = R"(Fills the tensor with numbers spread evenly over [low, high); returns it.

>>> x = sn.empty(100).uniform_(2.0, 3.0)
>>> bool((x >= 2.0).all()), bool((x < 3.0).all())
(True, True)
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                require_float("uniform_", "the tensor", real_dtype(x.dtype()));
                return random_uniform(x.shape(), a.real(1), a.real(2), x.dtype(), x.device());
            },
    });
    register_function({
        .signature = "normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor",
        .doc = R"(Fills the tensor with normally distributed numbers; returns it.

>>> sn.empty(2).normal_(mean=5.0, std=0.0).tolist()
[5.0, 5.0]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                require_float("normal_", "the tensor", real_dtype(x.dtype()));
                return random_normal(x.shape(), a.real(1), a.real(2), x.dtype(), x.device());
            },
    });
    register_function({
        .signature = "bernoulli_(x: Tensor, p: Operand = 0.5) -> Tensor",
        .doc = R"(Fills the tensor with 1 with probability p, else 0; returns it.

p : a number, or a tensor of probabilities that broadcasts to the tensor's shape.

>>> sn.empty(3).bernoulli_(sn.tensor([0.0, 1.0, 1.0])).tolist()
[0.0, 1.0, 1.0]
)",
        .call =
            [](const Args& a) {
                const Tensor &x = a.tensor(0), &p = a.tensor(1);
                const Tensor u = random_uniform(x.shape(), 0.0, 1.0, DType::kF32, x.device());
                return cast(less(u, p), x.dtype());
            },
    });
    register_function({
        .signature = "exponential_(x: Tensor, lambd: float = 1.0) -> Tensor",
        .doc = R"(Fills the tensor with exponentially distributed numbers of rate lambd; returns it.

>>> bool((sn.empty(100).exponential_(2.0) >= 0).all())
True
)",
        .call =
            [](const Args& a) {
                const double rate = positive("exponential_", "lambd", a.real(1));
                return log1p(negative(uniform_like("exponential_", a.tensor(0)))) / (-rate);
            },
    });
    register_function({
        .signature = "log_normal_(x: Tensor, mean: float = 1.0, std: float = 2.0) -> Tensor",
        .doc =
            R"(Fills the tensor with numbers whose logarithms are normally distributed; returns it.

mean, std : of the logarithms.

>>> sn.empty(2).log_normal_(mean=0.0, std=0.0).tolist()
[1.0, 1.0]
)",
        .call =
            [](const Args& a) {
                const Tensor& x = a.tensor(0);
                require_float("log_normal_", "the tensor", x.dtype());
                return exp(random_normal(x.shape(), a.real(1), a.real(2), x.dtype(), x.device()));
            },
    });
    register_function({
        .signature = "cauchy_(x: Tensor, median: float = 0.0, sigma: float = 1.0) -> Tensor",
        .doc = R"(Fills the tensor with numbers of Cauchy's distribution; returns it.

>>> sn.empty(3).cauchy_(median=5.0).shape
(3,)
)",
        .call =
            [](const Args& a) {
                const double sigma = positive("cauchy_", "sigma", a.real(2));
                const Tensor u = uniform_like("cauchy_", a.tensor(0));
                return tan((u - 0.5) * 3.141592653589793) * sigma + a.real(1);
            },
    });
    register_function({
        .signature = "geometric_(x: Tensor, p: float) -> Tensor",
        .doc = R"(Fills the tensor with numbers of trials up to the first success; returns it.

p : probability of a success, between 0 and 1. The numbers are 1 and more.

>>> bool((sn.empty(100).geometric_(0.5) >= 1).all())
True
)",
        .call = geometric_like,
    });
    register_function({
        .signature = "random_(x: Tensor, low: int? = None, high|to: int? = None) -> Tensor",
        .doc = R"(Fills the tensor with integers spread evenly over [low, high); returns it.

One argument is `high`, as in PyTorch. Without one, the numbers are all integers from 0 that the
dtype holds (of int64 and uint64: below 2**63 - 1; of floats: up to the first that has a neighbour
which is no number of the dtype).

>>> bool((sn.empty(100).random_(3) < 3).all())
True
>>> sn.empty(2, dtype=sn.int32).random_(5, 6).tolist()
[5, 5]
)",
        .call = integers_like,
    });
    register_function({
        .signature = "random.multinomial(p: Tensor, num_samples: int, replacement: bool = False) "
                     "-> Tensor",
        .doc = R"(Draws indices with the probabilities of their weights.

Parameters
----------
p : Tensor
    Weights of 0 or more, (n,) or (rows, n); they need not sum to one.
num_samples : int
    How many indices each row gets.
replacement : bool
    Whether an index can be drawn more than once.

Returns
-------
Tensor
    int64, (num_samples,) or (rows, num_samples).

Raises
------
ValueError
    When a weight is negative or not finite, or too few are above zero.

>>> sn.random.multinomial(sn.tensor([0.0, 1.0]), 2, replacement=True).tolist()
[1, 1]
)",
        .call = multinomial,
        .method = false,
    });
    register_function({
        .signature =
            "Tensor.multinomial(x: Tensor, num_samples: int, replacement: bool = False) -> Tensor",
        .doc = R"(Indices drawn with the probabilities of their weights: sn.random.multinomial.

>>> sn.tensor([0.0, 1.0]).multinomial(1).tolist()
[1]
)",
        .call = multinomial,
    });
    register_function({
        .signature = "Tensor.bernoulli(x: Tensor) -> Tensor",
        .doc = R"(1 with the probability that the element says, else 0.

>>> sn.tensor([0.0, 1.0]).bernoulli().tolist()
[0.0, 1.0]
)",
        .call =
            [](const Args& a) {
                const Tensor& p = a.tensor(0);
                require_float("bernoulli", "the tensor", p.dtype());
                return cast(less(random_uniform(p.shape(), 0.0, 1.0, DType::kF32, p.device()), p),
                            p.dtype());
            },
    });
    register_function({
        .signature = "random.permutation(x: Operand) -> Tensor",
        .doc = R"(The numbers 0 to n - 1 in random order, or a tensor with its first axis shuffled.

>>> sorted(sn.random.permutation(4).tolist())
[0, 1, 2, 3]
)",
        .call = permutation_function,
        .aliases = "randperm",
        .method = false,
    });
    register_function({
        .signature = "dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor",
        .doc = R"(Zero with probability p, else x / (1 - p); x itself when not training.

>>> sn.dropout(sn.ones((2,)), p=0.0).tolist()
[1.0, 1.0]
)",
        .call =
            [](const Args& a) {
                return a.flag(2) ? dropout(a.tensor(0), Tensor(a.real(1))) : a.tensor(0);
            },
        .method = false,
    });
}

}  // namespace

void register_random_ops() {
    register_op({
        .name = "random_uniform",
        .n_in = 4,
        .schema = "shape:ints dtype:dtype device:int",
        .doc = "Operands low, high, seed, draw: numbers spread evenly over [low, high).",
        .infer = infer_draw,
        .batch = batch_draw,
        .check = check_draw<is_float>,
        .draws = true,
    });
    register_op({
        .name = "random_normal",
        .n_in = 4,
        .schema = "shape:ints dtype:dtype device:int",
        .doc = "Operands mean, std, seed, draw: normal numbers (Box and Muller's method).",
        .infer = infer_draw,
        .batch = batch_draw,
        .check = check_draw<is_float>,
        .draws = true,
    });
    register_op({
        .name = "random_integers",
        .n_in = 4,
        .schema = "shape:ints dtype:dtype device:int",
        .doc = "Operands low, high, seed, draw: integers spread evenly over [low, high).",
        .infer = infer_draw,
        .batch = batch_draw,
        .check = check_draw<is_int>,
        .draws = true,
    });
    register_op({
        .name = "dropout_mask",
        .n_in = 3,
        .schema = "shape:ints dtype:dtype device:int",
        .doc = "Operands p, seed, draw: false with probability p.",
        .infer = infer_draw,
        .batch = batch_draw,
        .check = check_draw<is_bool>,
        .draws = true,
    });
    register_random_functions();
}

}  // namespace sn
