// Attention (Vaswani et al. 2017) as one op, and its gradient as another: neither holds the matrix
// of scores. docs/design/008-attention.md.
#include "op/attention.h"

#include <algorithm>
#include <cmath>

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"

namespace sn {

namespace {

constexpr int64_t kLast[] = {-1};
constexpr const char* kSchema = "scale:float left:int right:int mask:bool dropout:bool";

// Operands: q (..., H, L, D), k (..., G, S, D), v (..., G, S, V), all of one dtype; the mask
// (..., H, L, S), expanded; p, seed and draw of dropout. G divides H.
void infer_attention(InferCall& c) {
    const Dims &q = c.in[0]->shape, &v = c.in[2]->shape;
    Dims out = q;
    out[out.size() - 1] = v[v.size() - 1];
    c.out[0].shape = out;
    c.out[0].dtype = c.in[0]->dtype;
    out.erase(out.size() - 1);
    c.out[1].shape = out;
    c.out[1].dtype = compute_dtype(c.in[0]->dtype);
}

// Calls from files; the mask is operand `rest`, and draws come behind it.
void check_scores(const CheckCall& c, size_t rest) {
    const bool mask = c.attrs.b(3), dropout = c.attrs.b(4);
    const size_t tensors = rest + mask, all = tensors + (dropout ? 3 : 0);
    c.operands(all, all);
    c.tensors(0, tensors);
    c.one_dtype(0, 3);
    c.floating(0);
    const Dims &q = c.shape(0), &k = c.shape(1), &v = c.shape(2);
    const size_t n = q.size();
    c.require(n >= 3 && k.size() == n && v.size() == n, "operands differ in rank");
    for (size_t d = 0; d + 3 < n; ++d)
        c.require(q[d] == k[d] && q[d] == v[d], "batch dimensions differ");
    c.require(k[n - 3] == v[n - 3] && k[n - 2] == v[n - 2] && k[n - 1] == q[n - 1] &&
                  (k[n - 3] == q[n - 3] || (k[n - 3] > 0 && q[n - 3] % k[n - 3] == 0)),
              "shapes of query, key and value do not fit");
    for (int side : {1, 2})
        c.require(c.attrs.i(side) >= -1 && c.attrs.i(side) < int64_t{1} << 48,
                  "a window is out of range");
    if (!mask) return;
    Dims wanted = q;
    wanted[n - 1] = k[n - 2];
    c.require(c.shape(rest) == wanted, "the mask has another shape than the scores");
    c.require(is_bool(c.dtype(rest)) || c.dtype(rest) == c.dtype(0), "the mask has another dtype");
}
void check_attention(const CheckCall& c) { check_scores(c, 3); }
void check_attention_grad(const CheckCall& c) {
    c.require(c.in.size() >= 6, "it has too few operands");
    check_scores(c, 6);
    Dims out = c.shape(0);
    out[out.size() - 1] = c.shape(2).back();
    for (size_t i : {3, 5})
        c.require(c.shape(i) == out && c.dtype(i) == c.dtype(0), "the result does not fit");
    out.erase(out.size() - 1);
    c.require(c.shape(4) == out && c.dtype(4) == compute_dtype(c.dtype(0)),
              "the log-sum-exp does not fit");
    c.require(!c.attrs.b(5) || (c.attrs.b(3) && c.dtype(6) == c.dtype(0)),
              "there is no mask with a gradient");
}

// Operands: q, k, v, out, lse, dout, then as above. Results: dq, dk, dv, and that of the
// mask, which is empty unless it is asked for.
void infer_attention_grad(InferCall& c) {
    for (size_t i = 0; i < 4; ++i) {
        const Meta& like = *c.in[i < 3 ? i : c.attrs.b(5) ? 6 : 0];
        c.out[i].shape = i < 3 || c.attrs.b(5) ? like.shape : Dims{0};
        c.out[i].dtype = like.dtype;
    }
}

// Scores and their products with the values; the gradient makes five such products. A mask that
// leaves half of the scores out is not looked at: this is an estimate.
double attention_work(const WorkCall& c) {
    const Dims &q = c.in[0]->shape, &k = c.in[1]->shape, &v = c.in[2]->shape;
    const double rows =
        static_cast<double>(numel(q)) / static_cast<double>(std::max<int64_t>(1, q.back()));
    return rows * static_cast<double>(k[k.size() - 2] * (q.back() + v.back()));
}
double attention_grad_work(const WorkCall& c) { return 2.5 * attention_work(c); }

// Results lie in memory in the order of dimensions in which q, k or v lie: heads that were split
// off a row by a view are joined again by one.
Dims attention_strides(const Meta& out, const Meta& like, const Dims& like_strides) {
    const size_t rank = out.shape.size();
    Dims strides = contiguous_strides(out.shape);
    if (rank != like.shape.size()) return strides;
    SmallVec<uint32_t, 6> order;  // the last dimension stays innermost
    for (uint32_t i = 0; i + 1 < rank; ++i) order.push_back(i);
    for (size_t i = 1; i < order.size(); ++i)
        for (size_t j = i; j > 0 && like_strides[order[j - 1]] < like_strides[order[j]] &&
                           like.shape[order[j]] > 1 && like_strides[order[j - 1]] > 0;
             --j)
            std::swap(order[j], order[j - 1]);
    int64_t step = std::max<int64_t>(out.shape[rank - 1], 1);
    for (size_t i = order.size(); i-- > 0;) {
        strides[order[i]] = step;
        step *= std::max<int64_t>(out.shape[order[i]], 1);
    }
    return strides;
}
Dims attention_out_strides(OutStridesCall& c) {
    if (c.output != 0) return contiguous_strides(c.out->shape);
    return attention_strides(*c.out, *c.in[0], c.in_strides[0]);
}
Dims attention_grad_out_strides(OutStridesCall& c) {
    if (c.output > 2) return contiguous_strides(c.out->shape);
    return attention_strides(*c.out, *c.in[c.output], c.in_strides[c.output]);
}

Attrs same_attrs(const AttrView& a) {
    Attrs out;
    return out.f(a.f(0)).i(a.i(1)).i(a.i(2)).b(a.b(3)).b(a.b(4));
}

void grad_attention(GradCall& c) {
    static const OpId id = find_op("attention_grad");
    if (!c.has_grad(0)) return;
    const bool mask = c.attrs.b(3), mask_grad = mask && c.needs(3);
    std::vector<Tensor> in{c.in(0),  c.in(1),  c.in(2),
                           c.out(0), c.out(1), cast(c.grad(0), c.in(0).dtype())};
    for (int i = 3; i < c.n_in(); ++i) in.push_back(c.in(i));
    Tensor out[4];
    record(id, in, same_attrs(c.attrs).b(mask_grad), out);
    for (int i = 0; i < (mask_grad ? 4 : 3); ++i)
        if (c.needs(i)) c.set(i, out[i]);
}

// A batch is one more leading dimension. Numbers of dropout are drawn by position: so they differ
// from example to example, and where they must not, the examples are called one by one.
bool batch_attention(BatchCall& c) {
    const bool dropped = c.attrs.b(4);
    if (dropped && c.randomness != Randomness::kDifferent) return false;
    const size_t tensors = c.in.size() - (dropped ? 3 : 0);
    std::vector<Tensor> in(c.in.begin(), c.in.end());
    for (size_t i = 0; i < tensors; ++i) in[i] = c.spread(i);
    return c.call(in, same_attrs(c));
}
// The gradient of a mask that is not asked for is one empty vector for all examples.
bool batch_attention_grad(BatchCall& c) {
    if (!batch_attention(c)) return false;
    if (!c.attrs.b(5)) c.out[3] = expand(c.out[3], Dims{c.size, 0});
    return true;
}

// ---- the gradient of the gradient: it may hold scores ------------------------------------------

// (..., H, L, D) as (..., G, H / G, L, D), and back.
Tensor split_heads(const Tensor& x, int64_t kv_heads) {
    Dims shape = x.shape();
    const size_t at = shape.size() - 3;
    const int64_t shared = shape[at] / std::max<int64_t>(kv_heads, 1);
    shape[at] = kv_heads;
    Dims split;
    for (size_t i = 0; i < shape.size(); ++i) {
        split.push_back(shape[i]);
        if (i == at) split.push_back(shared);
    }
    return reshape(x, split);
}
Tensor turned(const Tensor& x) { return transpose(x, -1, -2); }

// With D the gradient of the output, S the scores, P the probabilities, M what dropout multiplies:
//   Z = (D v') M,  dS = P (Z - sum(P Z)),  dq = scale dS k,  dk = scale dS' q,  dv = (P M)' D
// and the rule follows each of these backwards.
void grad_attention_grad(GradCall& c) {
    const double scale = c.attrs.f(0);
    const int64_t left = c.attrs.i(1), right = c.attrs.i(2);
    const bool has_mask = c.attrs.b(3), dropped = c.attrs.b(4);
    const Tensor k0 = to_compute(c.in(1)), v0 = to_compute(c.in(2));
    const int64_t heads = k0.size(-3), queries = c.in_meta(0).shape[k0.rank() - 2],
                  keys = k0.size(-2);
    const auto split = [&](const Tensor& x) { return split_heads(to_compute(x), heads); };
    const Tensor q = split(c.in(0)), d = split(c.in(5));
    const Tensor k = unsqueeze(k0, -3), v = unsqueeze(v0, -3);

    Tensor s = matmul(q, turned(k)) * scale;
    if (has_mask) {
        const Tensor mask = split(c.in(6));
        s = is_bool(mask.dtype()) ? where(mask, s, -INFINITY) : s + mask;
    }
    const auto inside = [&](int64_t at, bool lower) {
        s = where(triangle_mask(queries, keys, at, lower, s.device()), s, -INFINITY);
    };
    if (right >= 0) inside(right, true);
    if (left >= 0) inside(-left, false);
    // A row that may not look at any key has no probabilities.
    const Tensor none = equal(split(unsqueeze(c.in(4), -1)), -INFINITY);
    const Tensor p = where(none, 0.0, softmax(where(none, 0.0, s), -1));
    Tensor m = 1.0;
    if (dropped) {
        static const OpId id = find_op("dropout_mask");
        const int at = c.n_in() - 3;
        Dims shape = c.in_meta(0).shape;
        shape[shape.size() - 1] = keys;
        const Device device = s.device();
        const Tensor kept =
            record(id, {c.in(at), c.in(at + 1), c.in(at + 2)},
                   Attrs().ints(shape).dtype(DType::kBool).i(device.backend << 8 | device.index));
        const double rate = read_number("dropout", c.in(at)).as_double();
        m = cast(split_heads(kept, heads), s.dtype()) * (rate < 1 ? 1 / (1 - rate) : 0.0);
    }
    const Tensor z = matmul(d, turned(v)) * m;
    const Tensor centred = z - sum(p * z, kLast, true);
    const Tensor ds = p * centred;

    Tensor g_ds, g_p, g_d, g_v, g_q, g_k;
    const auto add = [](Tensor& to, const Tensor& more) { to = to ? to + more : more; };
    if (c.has_grad(0)) {  // of dq
        const Tensor g = split(c.grad(0)) * scale;
        add(g_ds, matmul(g, turned(k)));
        add(g_k, matmul(turned(ds), g));
    }
    if (c.has_grad(1)) {  // of dk
        const Tensor g = unsqueeze(to_compute(c.grad(1)), -3) * scale;
        add(g_ds, matmul(q, turned(g)));
        add(g_q, matmul(ds, g));
    }
    if (c.has_grad(2)) {  // of dv
        const Tensor g = unsqueeze(to_compute(c.grad(2)), -3);
        add(g_p, matmul(d, turned(g)) * m);
        add(g_d, matmul(p * m, g));
    }
    if (c.attrs.b(5) && c.has_grad(3)) add(g_ds, split(c.grad(3)));
    if (g_ds) {
        const Tensor along = sum(p * g_ds, kLast, true);
        const Tensor g_z = p * (g_ds - along) * m;
        add(g_p, g_ds * centred - along * z);
        add(g_d, matmul(g_z, v));
        add(g_v, matmul(turned(g_z), d));
    }
    if (!g_p) return;
    const Tensor g_s = p * (g_p - sum(p * g_p, kLast, true));
    add(g_q, matmul(g_s, k) * scale);
    add(g_k, matmul(turned(g_s), q) * scale);
    const auto join = [&](int i, const Tensor& g) {
        if (g && c.needs(i)) c.set(i, reshape(g, c.in_meta(i).shape));
    };
    // Heads that share keys add up.
    const int64_t shared[] = {-3};
    join(0, g_q);
    join(1, sum(g_k, shared, false));
    if (g_v) join(2, sum(g_v, shared, false));
    join(5, g_d);
    if (has_mask && c.needs(6)) join(6, g_s);
}

// ---- arguments ----------------------------------------------------------------------------------

constexpr const char* kName = "scaled_dot_product_attention";

void check_shapes(const Tensor& q, const Tensor& k, const Tensor& v) {
    const bool ranks = q.rank() >= 2 && k.rank() >= 2 && v.rank() >= 2;
    if (ranks && q.size(-1) == k.size(-1) && k.size(-2) == v.size(-2)) return;
    fail(ErrorKind::kShape, kName,
         "query has shape %s, key %s and value %s; required are (..., L, D), (..., S, D) and (..., "
         "S, V) with one D and one S; check the order of length and features",
         format_shape(q.shape()).c_str(), format_shape(k.shape()).c_str(),
         format_shape(v.shape()).c_str());
}

Tensor expand_lead(const Tensor& x, DimSpan lead) {
    Dims shape(lead);
    shape.push_back(x.size(-2));
    shape.push_back(x.size(-1));
    return x.shape() == shape ? x : expand(x, shape);
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const AttentionOptions& o) {
    static const OpId id = find_op("attention");
    check_shapes(query, key, value);
    const DType dtype = promote(promote(query.dtype(), key.dtype()), value.dtype());
    require_float(kName, "the operands", dtype);
    Tensor q = cast(query, dtype), k = cast(key, dtype), v = cast(value, dtype);
    const int rank = std::max({q.rank(), k.rank(), v.rank(), 3});
    const auto raise = [&](Tensor& x) {
        Dims shape(static_cast<size_t>(rank - x.rank()), 1);
        for (int64_t n : x.shape()) shape.push_back(n);
        if (x.rank() < rank) x = reshape(x, shape);
    };
    const bool matrix = std::max({query.rank(), key.rank(), value.rank()}) == 2;
    raise(q), raise(k), raise(v);
    const auto lead_of = [&](const Tensor& x, int dims) { return DimSpan(x.shape()).first(dims); };
    if (o.grouped) {
        const int64_t heads = q.size(-3), shared = k.size(-3);
        if (query.rank() < 3 || shared != v.size(-3) || shared == 0 || heads % shared != 0) {
            fail(ErrorKind::kShape, kName,
                 "query %s has %lld heads, key %s %lld and value %s %lld (dimension -3); with "
                 "enable_gqa key and value need one number of heads that divides the query's",
                 format_shape(query.shape()).c_str(), ll(heads), format_shape(key.shape()).c_str(),
                 ll(shared), format_shape(value.shape()).c_str(), ll(v.size(-3)));
        }
        const int n = rank - 3;
        Dims lead = broadcast_shapes(kName, broadcast_shapes(kName, lead_of(q, n), lead_of(k, n)),
                                     lead_of(v, n));
        Dims q_lead = lead, k_lead = lead;
        q_lead.push_back(heads);
        k_lead.push_back(shared);
        q = expand_lead(q, q_lead);
        k = expand_lead(k, k_lead);
        v = expand_lead(v, k_lead);
    } else {
        const int n = rank - 2;
        const Dims lead = broadcast_shapes(
            kName, broadcast_shapes(kName, lead_of(q, n), lead_of(k, n)), lead_of(v, n));
        q = expand_lead(q, lead);
        k = expand_lead(k, lead);
        v = expand_lead(v, lead);
    }
    std::vector<Tensor> in{q, k, v};
    const bool masked = given(o.mask);
    if (masked) {
        Tensor mask = o.mask;
        if (!is_bool(mask.dtype())) {
            require_float(kName, "attn_mask (true where a query may look, or numbers to add)",
                          mask.dtype());
            mask = cast(mask, dtype);
        }
        Dims shape = q.shape();
        shape[shape.size() - 1] = k.size(-2);
        const auto fits = [&] {
            if (mask.rank() > rank) return false;
            for (int i = 1; i <= mask.rank(); ++i)
                if (mask.size(-i) != 1 && mask.size(-i) != shape[shape.size() - i]) return false;
            return true;
        };
        if (!fits()) {
            fail(ErrorKind::kShape, kName,
                 "attn_mask has shape %s; query %s and key %s need one that broadcasts to %s (..., "
                 "L, S)",
                 format_shape(mask.shape()).c_str(), format_shape(query.shape()).c_str(),
                 format_shape(key.shape()).c_str(), format_shape(shape).c_str());
        }
        in.push_back(expand(mask, shape));
    }
    if (!(o.dropout >= 0 && o.dropout <= 1)) {
        fail(ErrorKind::kValue, kName, "dropout_p is %g; a probability between 0 and 1 is required",
             o.dropout);
    }
    if (o.dropout > 0) {
        in.emplace_back(o.dropout);
        in.emplace_back(static_cast<int64_t>(random_state().seed));
        in.emplace_back(next_draw(kName));
    }
    const double scale = o.has_scale
                             ? o.scale
                             : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(q.size(-1), 1)));
    Tensor out[2];
    record(id, in, Attrs().f(scale).i(o.left).i(o.right).b(masked).b(o.dropout > 0), out);
    const int64_t first[] = {0};
    return matrix ? squeeze(out[0], first) : out[0];
}

namespace {

Tensor call_attention(const Args& a) {
    AttentionOptions o;
    if (a.has(3)) o.mask = a.tensor(3);
    o.dropout = a.real(4);
    if (a.flag(5)) o.right = 0;
    o.has_scale = a.has(6);
    if (o.has_scale) o.scale = a.real(6);
    o.grouped = a.flag(7);
    if (a.has(8)) {
        const DimSpan window = a.ints(8);
        if (window.size() > 2 || window.empty() || window[0] < -1 || window.back() < -1) {
            fail(ErrorKind::kValue, kName,
                 "window is %s; one number of keys on each side of a query, or two (before, "
                 "after), are required; -1 is no limit",
                 format_shape(window).c_str());
        }
        o.left = window[0];
        if (!a.flag(5)) o.right = window.back();
    }
    return scaled_dot_product_attention(a.tensor(0), a.tensor(1), a.tensor(2), o);
}

}  // namespace

void register_attention_ops() {
    constexpr uint32_t kOperands = 0x7f;  // all that there may be
    register_op({.name = "attention",
                 .n_in = -1,
                 .n_out = 2,
                 .schema = kSchema,
                 .doc = "softmax(q k^T * scale + mask) v, and the log-sum-exp of each row.",
                 .infer = infer_attention,
                 .grad = grad_attention,
                 .saves = kOperands | save_out(0) | save_out(1),
                 .batch = batch_attention,
                 .check = check_attention,
                 .work = attention_work,
                 .layout = Layout::kAny,
                 .out_strides = attention_out_strides,
                 .draws = true});
    register_op({.name = "attention_grad",
                 .n_in = -1,
                 .n_out = 4,
                 .schema = "scale:float left:int right:int mask:bool dropout:bool mask_grad:bool",
                 .doc = "Gradients of attention with respect to q, k, v and, if asked, the mask.",
                 .infer = infer_attention_grad,
                 .grad = grad_attention_grad,
                 .saves = 0x3ff,
                 .batch = batch_attention_grad,
                 .check = check_attention_grad,
                 .work = attention_grad_work,
                 .layout = Layout::kAny,
                 .out_strides = attention_grad_out_strides,
                 .draws = true});
    register_function(
        {.signature = "scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, "
                      "attn_mask: Tensor? = None, dropout_p: float = 0.0, is_causal: bool = False, "
                      "scale: float? = None, enable_gqa: bool = False, window: Ints? = None) "
                      "-> Tensor",
         .doc =
             R"(Attention (Vaswani et al. 2017): ``softmax(query @ key.T * scale + mask) @ value``.

The matrix of scores is never held, forward or backward: memory grows with the length, not with its
square (Rabe, Staats 2021; Dao et al. 2022). A query gives the same bits alone and among others.

Parameters
----------
query : Tensor
    (..., L, D), floating point; often (batch, heads, L, D).
key : Tensor
    (..., S, D).
value : Tensor
    (..., S, V). Leading dimensions broadcast.
attn_mask : Tensor or None
    Broadcasts to (..., L, S). Of bools: True where a query may look at a key. Of numbers: added to
    the scores. A query that may look at nothing gives zeros.
dropout_p : float
    Probability with which a weight becomes zero; the others are divided by ``1 - dropout_p``.
is_causal : bool
    Query i looks at keys 0 to i only. Also together with a mask.
scale : float or None
    1 / sqrt(D) by default.
enable_gqa : bool
    Query heads (dimension -3) may be a multiple of the heads of key and value, which then serve
    several each (Ainslie et al. 2023).
window : int or tuple of two int, or None
    Sliding local attention (Beltagy et al. 2020): query i looks at keys i - before to i + after
    only. One number stands for both; -1 is no limit; is_causal makes ``after`` zero.

Returns
-------
Tensor
    (..., L, V), of the promoted dtype. float16 and bfloat16 are computed in float32 and rounded
    once.

Raises
------
ShapeError
    When the shapes, the heads or the mask do not fit.
InvalidValue
    When `dropout_p` is no probability, or `window` has numbers below -1.

Examples
--------
>>> q = sn.random.normal(shape=(2, 4, 8, 16))
>>> sn.scaled_dot_product_attention(q, q, q, is_causal=True).shape
(2, 4, 8, 16)
)",
         .autocast = Autocast::kLower,
         .call = call_attention,
         .method = false});
}

}  // namespace sn
