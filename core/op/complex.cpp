// Complex numbers: the ops that take them apart and join them, and the rules of arithmetic, order,
// reductions and products. Exponentials and their like are in complex_math.cpp.
#include "op/complex.h"

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/families.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"
#include "record/recorder.h"
#include "record/tape.h"

namespace sn {

namespace {

Tensor as_weak(Tensor x, bool weak) {
    if (weak && !x.is_scalar()) x.value()->weak = true;
    return x;
}

// The part that `complex` has just joined, where the recorder still knows it: numbers stay numbers.
Tensor known_part(const Tensor& x, int part) {
    static const OpId id = find_op("complex");
    const Value& v = *x.value();
    if (x.requires_grad() || v.kind != ValueState::kPending || v.recorder != &Recorder::current())
        return {};
    const Recorder& r = *v.recorder;
    const NodeId n = r.graph.producer(v.id);
    if (n == kNone || r.graph.nodes[n].op != id) return {};
    const ValueId operand = r.graph.in(r.graph.nodes[n])[part];
    const ValueInfo& info = r.graph.values[operand];
    if (info.kind == ValueKind::kScalar && x.rank() == 0) {
        Tensor number(r.scalars[info.source]);
        number.value()->slot = r.scalar_slots[info.source];
        return number;
    }
    Value* held = r.holders[operand];
    if (!held || !(held->meta.shape == v.meta.shape)) return {};
    return Tensor(Ref<Value>(held));
}

void check_part(const CheckCall& c) {
    c.tensors(0, 1);
    c.require(is_complex(c.dtype(0)), "the operand is not complex");
}
void check_whole(const CheckCall& c) {
    c.tensors(0, 2);
    c.one_dtype(0, 2);
    c.require(is_complex(c.attrs.dtype(0)) && c.dtype(0) == real_dtype(c.attrs.dtype(0)) &&
                  c.shape(0) == c.shape(1),
              "the parts do not fit the whole");
}
void infer_part(InferCall& c) {
    c.out[0].shape = c.in[0]->shape;
    c.out[0].dtype = real_dtype(c.in[0]->dtype);
}

template <int part>
bool view_part(ViewCall& c) {
    for (int64_t s : c.in_strides) c.strides.push_back(2 * s);
    c.offset = part;
    return true;
}

// real(complex(a, b)) is a.
template <int part>
ValueId same_part(const Graph& g, const Node& n) {
    static const OpId id = find_op("complex");
    const NodeId maker = g.producer(g.in(n)[0]);
    if (maker == kNone || g.nodes[maker].op != id) return kNone;
    const ValueId v = g.in(g.nodes[maker])[part];
    return g.meta(v).shape == g.meta(n.first_out).shape && g.values[v].kind != ValueKind::kScalar
               ? v
               : kNone;
}

// complex(real(z), imag(z)) is z.
ValueId same_whole(const Graph& g, const Node& n) {
    static const OpId ids[2] = {find_op("real"), find_op("imag")};
    ValueId whole[2];
    for (int part = 0; part < 2; ++part) {
        const NodeId maker = g.producer(g.in(n)[part]);
        if (maker == kNone || g.nodes[maker].op != ids[part]) return kNone;
        whole[part] = g.in(g.nodes[maker])[0];
    }
    return whole[0] == whole[1] && g.meta(whole[0]).dtype == g.meta(n.first_out).dtype ? whole[0]
                                                                                       : kNone;
}

Tensor part_of(const Tensor& x, int part) {
    const Tensor known = known_part(x, part);
    return known ? known : part_view(x, part);
}

}  // namespace

Tensor part_view(const Tensor& x, int part) {
    static const OpId ids[2] = {find_op("real"), find_op("imag")};
    return as_weak(record(ids[part], {x}), x.weak());
}
Tensor real(const Tensor& x) { return is_complex(x.dtype()) ? part_of(x, 0) : x; }
Tensor imag(const Tensor& x) {
    if (is_complex(x.dtype())) return part_of(x, 1);
    return x.is_scalar() ? Tensor(0.0) : full(x.shape(), 0, x.dtype(), x.device());
}
Tensor conj(const Tensor& x) {
    if (!is_complex(x.dtype())) return x;
    return complex(real(x), negative(imag(x)));
}

Tensor complex(const Tensor& re, const Tensor& im) {
    static const OpId id = find_op("complex");
    if (is_complex(re.dtype()) || is_complex(im.dtype())) {
        fail(ErrorKind::kDType, "complex",
             "the parts have dtypes %s and %s; real numbers are required; use x + 1j * y for "
             "complex ones",
             dtype_name(re.dtype()), dtype_name(im.dtype()));
    }
    const bool weak = re.weak() && im.weak();
    DType dtype = DType::kF64;
    if (!weak) {
        DType part = re.weak() ? im.dtype() : re.dtype();
        if (!re.weak() && !im.weak()) part = promote(re.dtype(), im.dtype());
        dtype = real_dtype(complex_dtype(part));
    }
    Tensor in[2] = {re, im};
    for (Tensor& t : in)
        if (!t.is_scalar()) t = cast(t, dtype);
    const Dims shape = broadcast_shapes("complex", re.shape(), im.shape());
    for (Tensor& t : in)
        if (!t.is_scalar()) t = expand(t, shape);
    return as_weak(record(id, in, Attrs().dtype(complex_dtype(dtype))), weak);
}

Tensor cast_complex(const Tensor& x, DType dtype) {
    if (is_complex(dtype)) {
        const DType part = real_dtype(dtype);
        const Parts p(x);
        const auto converted = [&](const Tensor& t) {
            return t.is_scalar() ? Tensor(t.value()->scalar.as_double()) : cast(t, part);
        };
        static const OpId id = find_op("complex");
        const Tensor in[2] = {converted(p.re), converted(p.im_or_zero())};
        return record(id, in, Attrs().dtype(dtype));
    }
    if (is_bool(dtype)) return not_equal(x, 0.0);
    fail(ErrorKind::kDType, "astype",
         "a %s tensor of shape %s cannot become %s, because it is not said which part is meant; "
         "convert sn.real(x), sn.imag(x) or sn.abs(x)",
         dtype_name(x.dtype()), format_shape(x.shape()).c_str(), dtype_name(dtype));
}

// ---- parts --------------------------------------------------------------------------------------

Parts::Parts(const Tensor& x) : re(real(x)), im(is_complex(x.dtype()) ? imag(x) : Tensor()) {}

Tensor Parts::join(DType dtype) const {
    const DType part = real_dtype(dtype);
    const auto converted = [&](const Tensor& t) { return t.is_scalar() ? t : cast(t, part); };
    // A part that is a number has the shape of the other.
    Tensor r = converted(re), i = converted(im_or_zero());
    static const OpId id = find_op("complex");
    const Dims shape = broadcast_shapes("complex", r.shape(), i.shape());
    for (Tensor* t : {&r, &i})
        if (!t->is_scalar()) *t = expand(*t, shape);
    const Tensor in[2] = {r, i};
    return record(id, in, Attrs().dtype(dtype));
}

Parts operator+(const Parts& x, const Parts& y) {
    return {add(x.re, y.re), !x.im ? y.im : !y.im ? x.im : add(x.im, y.im)};
}
Parts operator-(const Parts& x, const Parts& y) {
    return {subtract(x.re, y.re), !y.im ? x.im : !x.im ? negative(y.im) : subtract(x.im, y.im)};
}
// A real factor scales both parts, as in C: infinite parts do not become NaN.
Parts operator*(const Parts& x, const Parts& y) {
    if (!y.im) return {multiply(x.re, y.re), x.im ? multiply(x.im, y.re) : Tensor()};
    if (!x.im) return {multiply(x.re, y.re), multiply(x.re, y.im)};
    return {subtract(multiply(x.re, y.re), multiply(x.im, y.im)),
            add(multiply(x.re, y.im), multiply(x.im, y.re))};
}
// Smith, Algorithm 116 (1962): divides through by the larger part, so that squares do not overflow.
Parts operator/(const Parts& x, const Parts& y) {
    if (!y.im) return {divide(x.re, y.re), x.im ? divide(x.im, y.re) : Tensor()};
    const Tensor turned = less(abs(y.re), abs(y.im));
    const Tensor large = where(turned, y.im, y.re), small = where(turned, y.re, y.im);
    const Tensor none = equal(large, 0.0);  // 1 / 0 is infinite
    const Tensor ratio = where(none, 0.0, divide(small, large));
    const Tensor size = add(large, multiply(small, ratio));
    const Tensor by = where(none, abs(size), size);
    const Tensor b = x.im_or_zero();
    const Tensor near = where(turned, b, x.re), far = where(turned, x.re, b);
    // Numerators a + b r and b - a r, or a r + b and b r - a.
    const Tensor re = add(near, multiply(far, ratio));
    const Tensor im =
        where(turned, subtract(multiply(b, ratio), x.re), subtract(b, multiply(x.re, ratio)));
    return {divide(re, by), divide(im, by)};
}

namespace {

// ---- rules --------------------------------------------------------------------------------------

// An operand's parts in the precision of the result.
Parts part(const ComplexCall& c, int i) {
    const Parts p(c.in[static_cast<size_t>(i)]);
    const auto converted = [&](const Tensor& t) {
        return t.is_scalar() || t.weak() ? t : cast(t, real_dtype(c.dtype));
    };
    return {converted(p.re), p.im ? converted(p.im) : Tensor()};
}

void sum_of(ComplexCall& c) { c.out[0] = (part(c, 0) + part(c, 1)).join(c.dtype); }
void difference(ComplexCall& c) { c.out[0] = (part(c, 0) - part(c, 1)).join(c.dtype); }
void product_of(ComplexCall& c) { c.out[0] = (part(c, 0) * part(c, 1)).join(c.dtype); }
void quotient(ComplexCall& c) { c.out[0] = (part(c, 0) / part(c, 1)).join(c.dtype); }

using RealUnary = Tensor (*)(const Tensor&);
// Both parts by themselves.
template <RealUnary f>
void by_parts(ComplexCall& c) {
    const Parts x = part(c, 0);
    c.out[0] = Parts(f(x.re), f(x.im)).join(c.dtype);
}
template <RealUnary f, bool both>
void test_parts(ComplexCall& c) {
    const Parts x = part(c, 0);
    c.out[0] = both ? logical_and(f(x.re), f(x.im)) : logical_or(f(x.re), f(x.im));
}

void equal_parts(ComplexCall& c) {
    const Parts x = part(c, 0), y = part(c, 1);
    c.out[0] = logical_and(equal(x.re, y.re), equal(x.im_or_zero(), y.im_or_zero()));
}
void unequal_parts(ComplexCall& c) {
    const Parts x = part(c, 0), y = part(c, 1);
    c.out[0] = logical_or(not_equal(x.re, y.re), not_equal(x.im_or_zero(), y.im_or_zero()));
}
Tensor is_true(const Tensor& x) { return not_equal(x, 0.0); }
template <Tensor (*f)(const Tensor&, const Tensor&)>
void logical(ComplexCall& c) {
    c.out[0] = f(is_true(c.in[0]), is_true(c.in[1]));
}

void select(ComplexCall& c) {
    const Parts y = part(c, 1), z = part(c, 2);
    c.out[0] = Parts(where(c.in[0], y.re, z.re), where(c.in[0], y.im_or_zero(), z.im_or_zero()))
                   .join(c.dtype);
}

void magnitude(ComplexCall& c) {
    const Parts x = part(c, 0);
    c.out[0] = hypot(x.re, x.im);
}
// x / |x|, and 0 at 0.
void direction(ComplexCall& c) {
    const Parts x = part(c, 0);
    const Tensor size = abs(c.in[0]);
    const Tensor none = equal(size, 0.0);
    const Tensor by = where(none, 1.0, size);
    c.out[0] = Parts(where(none, 0.0, x.re / by), where(none, 0.0, x.im / by)).join(c.dtype);
}

// ---- reductions and scans

template <class F>
void reduce_parts(ComplexCall& c, F f) {
    const Parts x = part(c, 0);
    c.out[0] = Parts(f(x.re), f(x.im)).join(c.dtype);
}
template <Tensor (*f)(const Tensor&, DimSpan, bool)>
void reduce(ComplexCall& c) {
    reduce_parts(c, [&](const Tensor& x) { return f(x, c.attrs.ints(0), c.attrs.b(1)); });
}

// A binary tree of products.
void product(ComplexCall& c) {
    const DimSpan axes = c.attrs.ints(0);
    Tensor x = c.in[0];
    const Dims shape = reduced_shape(x.shape(), axes, c.attrs.b(1));
    Dims order, flat;
    for (int i = 0; i < x.rank(); ++i) {
        bool reduced = false;
        for (int64_t axis : axes) reduced |= axis == i;
        if (reduced) continue;
        order.push_back(i);
        flat.push_back(x.size(i));
    }
    flat.push_back(count_along(x.shape(), axes));
    for (int64_t axis : axes) order.push_back(axis);
    x = reshape(permute(x, order), flat);
    const int last = x.rank() - 1;
    if (x.size(last) == 0) {
        c.out[0] = full(shape, 1, c.dtype, x.device());
        return;
    }
    while (x.size(last) > 1) {
        const int64_t n = x.size(last), half = n / 2;
        const Tensor pairs = narrow(x, last, 0, half) * narrow(x, last, half, half);
        if (n % 2) {
            const Tensor parts[2] = {pairs, narrow(x, last, n - 1, 1)};
            x = concat(parts, last);
        } else {
            x = pairs;
        }
    }
    c.out[0] = reshape(x, shape);
}

// Products of all elements up to each, by doubling distances: element i has been multiplied with
// the 2^k before it after k rounds.
void running_product(ComplexCall& c) {
    const int axis = static_cast<int>(c.attrs.i(0));
    Tensor x = c.in[0];
    const int64_t n = x.size(axis);
    for (int64_t step = 1; step < n; step *= 2) {
        const Tensor parts[2] = {narrow(x, axis, 0, step),
                                 narrow(x, axis, step, n - step) * narrow(x, axis, 0, n - step)};
        x = concat(parts, axis);
    }
    c.out[0] = n > 1 ? x : clone(x);
}

void variance(ComplexCall& c) {
    const Parts x = part(c, 0);
    const DimSpan axes = c.attrs.ints(0);
    c.out[0] = var(x.re, axes, 0.0, c.attrs.b(1)) + var(x.im, axes, 0.0, c.attrs.b(1));
}
void deviation(ComplexCall& c) {
    const Tensor v = var(c.in[0], c.attrs.ints(0), c.attrs.f(2), c.attrs.b(1));
    c.out[0] = sqrt(v);
}
void euclidean(ComplexCall& c) {
    const Parts x = part(c, 0);
    c.out[0] = sqrt(sum(x.re * x.re + x.im * x.im, c.attrs.ints(0), c.attrs.b(1)));
}

// ---- products and places

// Four real products; a real operand needs two.
template <class Product>
void bilinear(ComplexCall& c, const Product& product) {
    const Parts x = part(c, 0), y = part(c, 1);
    Parts out{product(x.re, y.re), {}};
    if (x.im && y.im) {
        out.re = out.re - product(x.im, y.im);
        out.im = product(x.re, y.im) + product(x.im, y.re);
    } else {
        out.im = y.im ? product(x.re, y.im) : product(x.im, y.re);
    }
    c.out[0] = out.join(c.dtype);
}
void matrix_product(ComplexCall& c) {
    bilinear(c, [](const Tensor& x, const Tensor& y) { return matmul(x, y); });
}

Attrs attrs_of(const ComplexCall& c) {
    Attrs attrs;
    for (int64_t word : c.attrs.words()) attrs.i(word);
    return attrs;
}

// A convolution, or one of its adjoints.
void convolution(ComplexCall& c, const char* op) {
    const OpId id = find_op(op);
    const Attrs attrs = attrs_of(c);
    bilinear(c, [&](const Tensor& x, const Tensor& y) { return record(id, {x, y}, attrs); });
}

// Ops that add or write values at places: tensor and values are operands `to` and `from`, the rest
// are indices.
template <int to, int from>
void place_parts(ComplexCall& c, const char* op) {
    const OpId id = find_op(op);
    std::vector<Tensor> in(c.in.begin(), c.in.end());
    const Attrs attrs = attrs_of(c);
    const Parts x = part(c, to), v = part(c, from);
    in[to] = x.re;
    in[from] = v.re;
    const Tensor re = record(id, in, attrs);
    in[to] = x.im;
    in[from] = v.im ? v.im : full(v.re.shape(), 0, x.re.dtype(), x.re.device());
    c.out[0] = Parts(re, record(id, in, attrs)).join(c.dtype);
}

}  // namespace

void register_complex_rules() {
    const auto rule = [](const char* op, ComplexGrad grad, ComplexFn f) {
        set_complex_rule(op, grad, f);
    };
    constexpr auto own = ComplexGrad::kConjugate, plain = ComplexGrad::kPlain,
                   made = ComplexGrad::kComposed;
    rule("add", own, sum_of);
    rule("subtract", own, difference);
    rule("multiply", own, product_of);
    rule("divide", own, quotient);
    rule("negative", own, by_parts<negative>);
    rule("square", own, [](ComplexCall& c) {
        const Parts x = part(c, 0);
        c.out[0] = (x * x).join(c.dtype);
    });
    rule("reciprocal", own,
         [](ComplexCall& c) { c.out[0] = (Parts(Tensor(1.0), {}) / part(c, 0)).join(c.dtype); });
    rule("addcmul", own,
         [](ComplexCall& c) { c.out[0] = (part(c, 0) + part(c, 1) * part(c, 2)).join(c.dtype); });
    rule("addcdiv", own,
         [](ComplexCall& c) { c.out[0] = (part(c, 0) + part(c, 1) / part(c, 2)).join(c.dtype); });
    rule("lerp", own, [](ComplexCall& c) {
        const Parts x = part(c, 0);
        c.out[0] = (x + part(c, 2) * (part(c, 1) - x)).join(c.dtype);
    });
    rule("abs", plain, magnitude);
    rule("sign", made, direction);
    rule("round", own, by_parts<round>);
    rule("where", own, select);
    rule("equal", made, equal_parts);
    rule("not_equal", made, unequal_parts);
    rule("isnan", made, test_parts<isnan, false>);
    rule("isinf", made, test_parts<isinf, false>);
    rule("isfinite", made, test_parts<isfinite, true>);
    rule("logical_not", made, test_parts<logical_not, true>);
    rule("logical_and", made, logical<logical_and>);
    rule("logical_or", made, logical<logical_or>);
    rule("logical_xor", made, logical<logical_xor>);
    rule("sum", own, reduce<sum>);
    rule("mean", own, reduce<mean>);
    rule("prod", own, product);
    rule("var", plain, variance);
    rule("std", plain, deviation);
    rule("norm2", plain, euclidean);
    rule("cumsum", own, [](ComplexCall& c) {
        reduce_parts(c, [&](const Tensor& x) { return cumsum(x, c.attrs.i(0)); });
    });
    rule("cumprod", made, running_product);
    rule("matmul", own, matrix_product);
    rule("conv", own, [](ComplexCall& c) { convolution(c, "conv"); });
    rule("conv_data_grad", own, [](ComplexCall& c) { convolution(c, "conv_data_grad"); });
    rule("conv_weight_grad", own, [](ComplexCall& c) { convolution(c, "conv_weight_grad"); });
    rule("index_add", own, [](ComplexCall& c) { place_parts<0, 2>(c, "index_add"); });
    rule("scatter", own, [](ComplexCall& c) { place_parts<0, 2>(c, "scatter"); });
    rule("scatter_nd", own, [](ComplexCall& c) { place_parts<0, 1>(c, "scatter_nd"); });
    register_complex_math();
}

void register_complex_ops() {
    register_op({
        .name = "real",
        .doc = "The real parts of complex numbers.",
        .infer = infer_part,
        .grad = [](GradCall& c) { c.set(0, complex(c.grad(), 0.0)); },
        .batch = batch_elementwise,
        .check = check_part,
        .moves = true,
        .same_as = same_part<0>,
        .view = view_part<0>,
        .view_update = [](const Tensor& base, const Tensor& part, std::span<const Tensor>,
                          AttrView) { return Parts(part, imag(base)).join(base.dtype()); },
        .layout = Layout::kAny,
    });
    register_op({
        .name = "imag",
        .doc = "The imaginary parts of complex numbers.",
        .infer = infer_part,
        .grad = [](GradCall& c) { c.set(0, complex(0.0, c.grad())); },
        .batch = batch_elementwise,
        .check = check_part,
        .moves = true,
        .same_as = same_part<1>,
        .view = view_part<1>,
        .view_update = [](const Tensor& base, const Tensor& part, std::span<const Tensor>,
                          AttrView) { return Parts(real(base), part).join(base.dtype()); },
        .layout = Layout::kAny,
    });
    register_op({
        .name = "complex",
        .n_in = 2,
        .schema = "dtype:dtype",
        .doc = "Complex numbers of a real and an imaginary part, of one shape or numbers.",
        .infer =
            [](InferCall& c) {
                c.out[0].shape = broadcast_shapes(c.op, c.in[0]->shape, c.in[1]->shape);
                c.out[0].dtype = c.attrs.dtype(0);
            },
        .grad =
            [](GradCall& c) {
                if (c.needs(0)) c.set(0, real(c.grad()));
                if (c.needs(1)) c.set(1, imag(c.grad()));
            },
        .batch = batch_elementwise,
        .check = check_whole,
        .moves = true,
        .same_as = same_whole,
        .joins = true,
        .layout = Layout::kAny,
    });
    register_complex_functions();
}

}  // namespace sn
