// Public functions made of sums of products: einsum, the add...-functions of matrices, distances.
#include <algorithm>
#include <array>
#include <cmath>

#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"
#include "record/read.h"

namespace sn {

namespace {

// ---- einsum

using Labels = std::vector<int>;  // 0 to 51: letters; from 100 on: dimensions of the ellipsis

bool holds(const Labels& labels, int label) {
    return std::ranges::find(labels, label) != labels.end();
}

struct Term {
    Tensor t;
    Labels labels;  // one for each dimension, distinct
};

int label_of(char c) {
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= 'A' && c <= 'Z') return c - 'A';
    fail(ErrorKind::kValue, "einsum",
         "the equation holds the character '%c'; subscripts are letters, with '...', ',' and '->' "
         "between them",
         c);
}

// The labels of one subscript; the ellipsis stands for `more` dimensions.
Labels read_subscript(std::string_view text, int more) {
    Labels labels;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '.') {
            labels.push_back(label_of(text[i]));
            continue;
        }
        if (text.substr(i, 3) != "...") {
            fail(ErrorKind::kValue, "einsum", "'%.*s' holds a '.' that is not part of '...'",
                 static_cast<int>(text.size()), text.data());
        }
        for (int d = 0; d < more; ++d) labels.push_back(100 + 50 - more + d);
        i += 2;
    }
    return labels;
}

std::vector<std::string> split_text(std::string_view text, char at) {
    std::vector<std::string> parts(1);
    for (char c : text) {
        if (c == at)
            parts.emplace_back();
        else
            parts.back().push_back(c);
    }
    return parts;
}

Term without(const Term& x, const Labels& drop) {  // summed over these
    Dims axes;
    Term out;
    for (size_t i = 0; i < x.labels.size(); ++i) {
        if (holds(drop, x.labels[i]))
            axes.push_back(static_cast<int64_t>(i));
        else
            out.labels.push_back(x.labels[i]);
    }
    out.t = axes.empty() ? x.t : cast(sum(x.t, axes, false), x.t.dtype());
    return out;
}

// A repeated label means the diagonal.
Term distinct(Term x) {
    for (size_t i = 0; i < x.labels.size(); ++i) {
        for (size_t j = i + 1; j < x.labels.size();) {
            if (x.labels[j] != x.labels[i]) {
                ++j;
                continue;
            }
            const int a = static_cast<int>(i), b = static_cast<int>(j);
            if (x.t.size(a) != x.t.size(b)) {
                fail(ErrorKind::kShape, "einsum",
                     "a repeated subscript stands for sizes %lld and %lld of shape %s; they must "
                     "be equal",
                     ll(x.t.size(a)), ll(x.t.size(b)), format_shape(x.t.shape()).c_str());
            }
            const int64_t last[1] = {-1}, first[1] = {a};
            x.t = moveaxis(diagonal(x.t, 0, a, b), last, first);
            x.labels.erase(x.labels.begin() + static_cast<ptrdiff_t>(j));
        }
    }
    return x;
}

Tensor ordered(const Term& x, const Labels& wanted) {
    Dims order;
    for (int label : wanted) order.push_back(std::ranges::find(x.labels, label) - x.labels.begin());
    return permute(x.t, order);
}

// The product of two terms, summed over the labels that nobody keeps.
Term contract(Term a, Term b, const Labels& keep) {
    Labels lone_a, lone_b, batch, inner, left, right;
    for (int l : a.labels)
        if (!holds(b.labels, l) && !holds(keep, l)) lone_a.push_back(l);
    for (int l : b.labels)
        if (!holds(a.labels, l) && !holds(keep, l)) lone_b.push_back(l);
    a = without(a, lone_a);
    b = without(b, lone_b);
    for (int l : a.labels)
        (!holds(b.labels, l) ? left : holds(keep, l) ? batch : inner).push_back(l);
    for (int l : b.labels)
        if (!holds(a.labels, l)) right.push_back(l);
    const auto join = [](std::initializer_list<const Labels*> parts) {
        Labels all;
        for (const Labels* p : parts) all.insert(all.end(), p->begin(), p->end());
        return all;
    };
    Term out;
    out.labels = join({&batch, &left, &right});
    const Tensor x = ordered(a, join({&batch, &left, &inner}));
    const Tensor y = ordered(b, join({&batch, &inner, &right}));
    Dims shape, x_shape, y_shape;
    int64_t rows = 1, columns = 1, depth = 1, count = 1;
    for (size_t i = 0; i < batch.size(); ++i) {
        count *= x.size(static_cast<int>(i));
        shape.push_back(x.size(static_cast<int>(i)));
    }
    for (size_t i = 0; i < left.size(); ++i) {
        const int64_t n = x.size(static_cast<int>(batch.size() + i));
        rows *= n;
        shape.push_back(n);
    }
    for (size_t i = 0; i < inner.size(); ++i) depth *= y.size(static_cast<int>(batch.size() + i));
    for (size_t i = 0; i < right.size(); ++i) {
        const int64_t n = y.size(static_cast<int>(batch.size() + inner.size() + i));
        columns *= n;
        shape.push_back(n);
    }
    if (inner.empty()) {  // nothing to sum
        out.t = reshape(x, Dims{count, rows, 1}) * reshape(y, Dims{count, 1, columns});
    } else if (batch.empty()) {
        out.t = matmul(reshape(x, Dims{rows, depth}), reshape(y, Dims{depth, columns}));
    } else {
        out.t =
            matmul(reshape(x, Dims{count, rows, depth}), reshape(y, Dims{count, depth, columns}));
    }
    out.t = reshape(out.t, shape);
    return out;
}

double elements(const Labels& labels, const std::array<int64_t, 160>& sizes) {
    double n = 1;
    for (int l : labels) n *= static_cast<double>(sizes[static_cast<size_t>(l)]);
    return n;
}

Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands) {
    std::string text;
    for (char c : equation)
        if (c != ' ') text.push_back(c);
    const size_t arrow = text.find("->");
    const std::vector<std::string> inputs = split_text(text.substr(0, arrow), ',');
    if (inputs.size() != operands.size() || operands.empty()) {
        fail(ErrorKind::kValue, "einsum",
             "the equation '%s' has %zu subscripts for %zu operands; one for each is required",
             text.c_str(), inputs.size(), operands.size());
    }
    // Dimensions that each ellipsis stands for.
    int widest = 0;
    std::vector<int> more(inputs.size(), 0);
    for (size_t i = 0; i < inputs.size(); ++i) {
        const bool open = inputs[i].find("...") != std::string::npos;
        const int letters = static_cast<int>(inputs[i].size()) - (open ? 3 : 0);
        more[i] = operands[i].rank() - letters;
        if (more[i] < 0 || (!open && more[i] > 0)) {
            fail(ErrorKind::kShape, "einsum",
                 "subscript '%s' does not fit shape %s: a letter for each dimension is required, "
                 "or '...' for some",
                 inputs[i].c_str(), format_shape(operands[i].shape()).c_str());
        }
        widest = std::max(widest, more[i]);
    }
    std::vector<Term> terms;
    std::array<int64_t, 160> sizes;
    sizes.fill(1);
    std::array<int, 160> seen{};
    DType dtype = operands[0].dtype();
    for (const Tensor& t : operands) dtype = promote(dtype, t.dtype());
    for (size_t i = 0; i < inputs.size(); ++i) {
        Term x = distinct({cast(operands[i], dtype), read_subscript(inputs[i], more[i])});
        for (size_t d = 0; d < x.labels.size(); ++d) {
            const size_t l = static_cast<size_t>(x.labels[d]);
            const int64_t n = x.t.size(static_cast<int>(d));
            if (n != 1 && sizes[l] != 1 && sizes[l] != n) {
                fail(ErrorKind::kShape, "einsum",
                     "in '%s' one subscript stands for sizes %lld and %lld (shape %s); they must "
                     "be equal or 1",
                     text.c_str(), ll(sizes[l]), ll(n), format_shape(x.t.shape()).c_str());
            }
            if (n != 1) sizes[l] = n;
            ++seen[l];
        }
        terms.push_back(std::move(x));
    }
    Labels wanted;
    if (arrow == std::string::npos) {  // letters that occur once, in order of the alphabet
        std::array<int, 52> times{};
        for (const std::string& s : inputs)
            for (char c : s)
                if (c != '.') ++times[static_cast<size_t>(label_of(c))];
        for (int d = 0; d < widest; ++d) wanted.push_back(150 - widest + d);
        for (int l = 0; l < 52; ++l)
            if (times[static_cast<size_t>(l)] == 1) wanted.push_back(l);
    } else {
        wanted = read_subscript(text.substr(arrow + 2), widest);
        for (size_t i = 0; i < wanted.size(); ++i) {
            const bool twice = std::count(wanted.begin(), wanted.end(), wanted[i]) > 1;
            if (twice || !seen[static_cast<size_t>(wanted[i])]) {
                fail(ErrorKind::kValue, "einsum",
                     "the result's subscript '%s' %s; each letter must occur in an operand, and "
                     "once in the result",
                     text.substr(arrow + 2).c_str(),
                     twice ? "repeats a letter" : "has a letter that no operand has");
            }
        }
    }
    // A size of 1 that others broadcast says nothing of that label.
    for (Term& x : terms) {
        Dims gone;
        Labels rest;
        for (size_t d = 0; d < x.labels.size(); ++d) {
            if (x.t.size(static_cast<int>(d)) == 1 && sizes[static_cast<size_t>(x.labels[d])] != 1)
                gone.push_back(static_cast<int64_t>(d));
            else
                rest.push_back(x.labels[d]);
        }
        if (!gone.empty()) x = {squeeze(x.t, gone), rest};
    }
    // Greedy: the pair whose product adds the fewest elements comes first.
    while (terms.size() > 1) {
        size_t best_i = 0, best_j = 1;
        double best = 0;
        Labels best_keep;
        for (size_t i = 0; i < terms.size(); ++i) {
            for (size_t j = i + 1; j < terms.size(); ++j) {
                Labels keep = wanted, result;
                for (size_t k = 0; k < terms.size(); ++k)
                    if (k != i && k != j)
                        keep.insert(keep.end(), terms[k].labels.begin(), terms[k].labels.end());
                for (int l : terms[i].labels)
                    if (holds(keep, l)) result.push_back(l);
                for (int l : terms[j].labels)
                    if (holds(keep, l) && !holds(result, l)) result.push_back(l);
                const double cost = elements(result, sizes) - elements(terms[i].labels, sizes) -
                                    elements(terms[j].labels, sizes);
                if (best_keep.empty() && i == 0 && j == 1) {
                    best = cost;
                    best_keep = keep;
                } else if (cost < best) {
                    best = cost;
                    best_i = i;
                    best_j = j;
                    best_keep = keep;
                }
            }
        }
        Term product = contract(terms[best_i], terms[best_j], best_keep);
        terms.erase(terms.begin() + static_cast<ptrdiff_t>(best_j));
        terms[best_i] = std::move(product);
    }
    Labels drop;
    for (int l : terms[0].labels)
        if (!holds(wanted, l)) drop.push_back(l);
    Term out = without(terms[0], drop);
    return ordered(out, wanted);
}

// ---- matrices

void need_rank(const char* op, const char* what, const Tensor& x, int rank) {
    if (x.rank() == rank) return;
    fail(ErrorKind::kShape, op, "%s has shape %s; %d dimension%s required", what,
         format_shape(x.shape()).c_str(), rank, rank == 1 ? " is" : "s are");
}

// beta * x + alpha * product, where x broadcasts to the product.
Tensor add_product(const char* op, const Tensor& x, const Tensor& product, const Args& a,
                   int beta) {
    if (!broadcastable_to(x.shape(), product.shape())) {
        fail(ErrorKind::kShape, op,
             "x has shape %s and the product %s; x must broadcast to the product",
             format_shape(x.shape()).c_str(), format_shape(product.shape()).c_str());
    }
    const double b = read_number(op, a.tensor(beta)).as_double();
    const double alpha = read_number(op, a.tensor(beta + 1)).as_double();
    const Tensor y = alpha == 1 ? product : product * a.tensor(beta + 1);
    if (b == 0) return y + zeros_like(x);  // NaN in x does not count
    return (b == 1 ? x : x * a.tensor(beta)) + y;
}

Tensor batched(const char* op, const Tensor& x, const Tensor& y) {
    need_rank(op, "the first operand", x, 3);
    need_rank(op, "the second operand", y, 3);
    if (x.size(0) != y.size(0)) {
        fail(ErrorKind::kShape, op,
             "the batches have %lld and %lld matrices; they must be equal; use matmul to broadcast",
             ll(x.size(0)), ll(y.size(0)));
    }
    return matmul(x, y);
}

Tensor kron(const Tensor& a, const Tensor& b) {
    const int rank = std::max(a.rank(), b.rank());
    Dims left, right, out;
    for (int i = 0; i < rank; ++i) {
        const int ai = i - (rank - a.rank()), bi = i - (rank - b.rank());
        const int64_t m = ai < 0 ? 1 : a.size(ai), n = bi < 0 ? 1 : b.size(bi);
        left.push_back(m);
        left.push_back(1);
        right.push_back(1);
        right.push_back(n);
        out.push_back(m * n);
    }
    return reshape(reshape(a, left) * reshape(b, right), out);
}

Tensor inner(const Tensor& x, const Tensor& y) {
    if (x.rank() == 0 || y.rank() == 0) return x * y;
    const int64_t last_x[1] = {x.rank() - 1}, last_y[1] = {y.rank() - 1};
    return tensordot(x, y, last_x, last_y);
}

// ---- distances

Tensor cdist(const Tensor& x, const Tensor& y, double p) {
    if (x.rank() < 2 || y.rank() < 2 || x.size(-1) != y.size(-1)) {
        fail(ErrorKind::kShape, "cdist",
             "the operands have shapes %s and %s; (..., points, features) with equal numbers of "
             "features are required",
             format_shape(x.shape()).c_str(), format_shape(y.shape()).c_str());
    }
    if (!(p >= 0)) fail(ErrorKind::kValue, "cdist", "p is %g; it must be 0 or more", p);
    const int64_t last[1] = {-1};
    return vector_norm(unsqueeze(x, -2) - unsqueeze(y, -3), p, last, false);
}

Tensor pdist(const Tensor& x, double p) {
    need_rank("pdist", "x", x, 2);
    const int64_t n = x.size(0);
    const Tensor pairs = triangle_mask(n, n, 0, false, x.device());
    const Tensor above = logical_and(pairs, logical_not(triangle_mask(n, n, 0, true, x.device())));
    const int64_t last[1] = {-1};
    if (n < 2) return sum(narrow(x, 0, 0, 0), last, false);
    const std::vector<Tensor> at = nonzero(above);
    return vector_norm(take(x, at[0], 0) - take(x, at[1], 0), p, last, false);
}

Tensor renorm(const Tensor& x, double p, int64_t axis, double limit) {
    if (x.rank() < 2) {
        fail(ErrorKind::kShape, "renorm", "x has shape %s; two or more dimensions are required",
             format_shape(x.shape()).c_str());
    }
    if (!(p > 0) || limit < 0) {
        fail(ErrorKind::kValue, "renorm",
             "p is %g and maxnorm %g; p must be above 0, maxnorm not "
             "below",
             p, limit);
    }
    const int at = normalize_axis("renorm", axis, x.rank());
    Dims others;
    for (int i = 0; i < x.rank(); ++i)
        if (i != at) others.push_back(i);
    const Tensor norm = vector_norm(to_compute(x), p, others, true);
    const Tensor factor = where(greater(norm, limit), limit / (norm + 1e-7), 1.0);
    return cast(to_compute(x) * factor, x.dtype());
}

Tensor norm(const Args& a) {
    if (a.has(1) && !a.text(1).empty() && a.text(1) != "fro") {
        fail(ErrorKind::kValue, "norm",
             "p is '%.*s'; it must be a number or 'fro'; norms of matrices are those of "
             "sn.linalg.matrix_norm",
             static_cast<int>(a.text(1).size()), a.text(1).data());
    }
    const double p = a.has(1) && a.text(1).empty() ? a.real(1) : 2.0;
    const Tensor x = a.has(4) ? cast(a.tensor(0), a.dtype(4)) : a.tensor(0);
    const bool number = x.rank() == 0 && a.has(2) && !a.ints(2).empty();
    if (number) normalize_axes("norm", a.ints(2), 1);
    return vector_norm(x, p, a.has(2) && !number ? a.ints(2) : DimSpan(), a.flag(3));
}

}  // namespace

void register_product_functions() {
    register_function({
        .signature = "einsum(equation: str, *operands: Tensors) -> Tensor",
        .doc = R"(Sums of products by Einstein's convention.

Pairs are contracted as matrix products, the pair that makes the fewest new elements first.

Parameters
----------
equation : subscripts such as "bij,bjk->bik". A letter names a dimension; letters that the result
    lacks are summed; a repeated letter takes the diagonal; "..." stands for any dimensions, which
    broadcast. Without "->" the result has the letters that occur once, in the alphabet's order.
operands : one tensor for each subscript.

Raises
------
ValueError : the equation cannot be read.
ShapeError : a letter stands for two sizes, neither of which is 1.

>>> sn.einsum("ij,j->i", sn.ones((2, 3)), sn.arange(3.0)).tolist()
[3.0, 3.0]
>>> sn.einsum("ii", sn.eye(3)).item()
3.0
)",
        .autocast = Autocast::kLower,
        .call = [](const Args& a) { return einsum(a.text(0), a.tensors(1)); },
        .method = false,
    });
    register_function({
        .signature = "bmm(x: Tensor, mat2|other: Tensor) -> Tensor",
        .doc = R"(Products of two batches of matrices: (b, m, k) and (b, k, n) to (b, m, n).

>>> sn.bmm(sn.ones((2, 1, 3)), sn.ones((2, 3, 1))).tolist()
[[[3.0]], [[3.0]]]
)",
        .autocast = Autocast::kLower,
        .call = [](const Args& a) { return batched("bmm", a.tensor(0), a.tensor(1)); },
    });
    register_function({
        .signature = "mm(x: Tensor, mat2|other: Tensor) -> Tensor",
        .doc = R"(Product of two matrices: (m, k) and (k, n) to (m, n).

>>> sn.mm(sn.ones((1, 3)), sn.ones((3, 1))).tolist()
[[3.0]]
)",
        .autocast = Autocast::kLower,
        .call =
            [](const Args& a) {
                need_rank("mm", "the first operand", a.tensor(0), 2);
                need_rank("mm", "the second operand", a.tensor(1), 2);
                return matmul(a.tensor(0), a.tensor(1));
            },
    });
    register_function({
        .signature = "mv(x: Tensor, vec: Tensor) -> Tensor",
        .doc = R"(Product of a matrix and a vector: (m, k) and (k,) to (m,).

>>> sn.mv(sn.ones((2, 3)), sn.arange(3.0)).tolist()
[3.0, 3.0]
)",
        .autocast = Autocast::kLower,
        .call =
            [](const Args& a) {
                need_rank("mv", "x", a.tensor(0), 2);
                need_rank("mv", "vec", a.tensor(1), 1);
                return matmul(a.tensor(0), a.tensor(1));
            },
    });
    register_function({
        .signature = "inner(x: Tensor, other: Tensor) -> Tensor",
        .doc = R"(Sums of products over the last dimension of both; the other dimensions stay.

>>> sn.inner(sn.ones((2, 3)), sn.arange(3.0)).tolist()
[3.0, 3.0]
)",
        .call = [](const Args& a) { return inner(a.tensor(0), a.tensor(1)); },
    });
    register_function({
        .signature = "vdot(x: Tensor, other: Tensor) -> Tensor",
        .doc = R"(Dot product of two vectors, the first conjugated if it were complex.

>>> sn.vdot(sn.arange(3), sn.arange(3)).item()
5
)",
        .call =
            [](const Args& a) {
                need_rank("vdot", "x", a.tensor(0), 1);
                need_rank("vdot", "other", a.tensor(1), 1);
                return vecdot(a.tensor(0), a.tensor(1), -1);
            },
    });
    register_function({
        .signature = "kron(x: Tensor, other: Tensor) -> Tensor",
        .doc = R"(Kronecker product: `other` times every element of x, laid out as blocks.

>>> sn.kron(sn.eye(2), sn.ones((1, 2))).tolist()
[[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
)",
        .call = [](const Args& a) { return kron(a.tensor(0), a.tensor(1)); },
    });
    register_function({
        .signature = "trace(x: Tensor) -> Tensor",
        .doc = R"(Sum of the diagonal of a matrix.

>>> sn.trace(sn.eye(3)).item()
3.0
)",
        .call =
            [](const Args& a) {
                need_rank("trace", "x", a.tensor(0), 2);
                return sum(diagonal(a.tensor(0), 0, 0, 1), {}, false);
            },
    });
    register_function({
        .signature = "addbmm(x: Tensor, batch1: Tensor, batch2: Tensor, beta: Operand = 1, "
                     "alpha: Operand = 1) -> Tensor",
        .doc = R"(beta * x + alpha * the sum of the products of two batches of matrices.

>>> sn.addbmm(sn.zeros((1, 1)), sn.ones((2, 1, 3)), sn.ones((2, 3, 1))).tolist()
[[6.0]]
)",
        .autocast = Autocast::kLower,
        .call =
            [](const Args& a) {
                const Tensor p = batched("addbmm", a.tensor(1), a.tensor(2));
                const int64_t first[1] = {0};
                return add_product("addbmm", a.tensor(0), cast(sum(p, first, false), p.dtype()), a,
                                   3);
            },
        .aliases = "addbmm_",
    });
    register_function({
        .signature = "baddbmm(x: Tensor, batch1: Tensor, batch2: Tensor, beta: Operand = 1, "
                     "alpha: Operand = 1) -> Tensor",
        .doc = R"(beta * x + alpha * the products of two batches of matrices.

>>> sn.baddbmm(sn.zeros((2, 1, 1)), sn.ones((2, 1, 3)), sn.ones((2, 3, 1))).tolist()
[[[3.0]], [[3.0]]]
)",
        .autocast = Autocast::kLower,
        .call =
            [](const Args& a) {
                return add_product("baddbmm", a.tensor(0),
                                   batched("baddbmm", a.tensor(1), a.tensor(2)), a, 3);
            },
        .aliases = "baddbmm_",
    });
    register_function({
        .signature = "addmm(x: Tensor, mat1|a: Tensor, mat2|b: Tensor, beta: Operand = 1, "
                     "alpha: Operand = 1) -> Tensor",
        .doc = R"(beta * x + alpha * (mat1 @ mat2).

>>> sn.addmm(sn.tensor([1.0]), sn.tensor([[2.0]]), sn.tensor([[3.0]])).tolist()
[[7.0]]
)",
        .autocast = Autocast::kLower,
        .call =
            [](const Args& a) {
                need_rank("addmm", "mat1", a.tensor(1), 2);
                need_rank("addmm", "mat2", a.tensor(2), 2);
                return add_product("addmm", a.tensor(0), matmul(a.tensor(1), a.tensor(2)), a, 3);
            },
        .aliases = "addmm_",
    });
    register_function({
        .signature = "addmv(x: Tensor, mat: Tensor, vec: Tensor, beta: Operand = 1, "
                     "alpha: Operand = 1) -> Tensor",
        .doc = R"(beta * x + alpha * (mat @ vec).

>>> sn.addmv(sn.ones(2), sn.ones((2, 3)), sn.ones(3)).tolist()
[4.0, 4.0]
)",
        .autocast = Autocast::kLower,
        .call =
            [](const Args& a) {
                need_rank("addmv", "mat", a.tensor(1), 2);
                need_rank("addmv", "vec", a.tensor(2), 1);
                return add_product("addmv", a.tensor(0), matmul(a.tensor(1), a.tensor(2)), a, 3);
            },
        .aliases = "addmv_",
    });
    register_function({
        .signature = "addr(x: Tensor, vec1: Tensor, vec2: Tensor, beta: Operand = 1, "
                     "alpha: Operand = 1) -> Tensor",
        .doc = R"(beta * x + alpha * outer(vec1, vec2).

>>> sn.addr(sn.ones((2, 2)), sn.arange(2.0), sn.ones(2)).tolist()
[[1.0, 1.0], [2.0, 2.0]]
)",
        .autocast = Autocast::kLower,
        .call =
            [](const Args& a) {
                need_rank("addr", "vec1", a.tensor(1), 1);
                need_rank("addr", "vec2", a.tensor(2), 1);
                return add_product("addr", a.tensor(0), outer(a.tensor(1), a.tensor(2)), a, 3);
            },
        .aliases = "addr_",
    });
    register_function({
        .signature =
            "cdist(x1|x: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str? = None) -> "
            "Tensor",
        .doc = R"(Distances in the p-norm between all pairs of rows: (..., m, k), (..., n, k) to
(..., m, n).

p : 0 counts the coordinates that differ, inf takes the largest difference.
compute_mode : accepted for PyTorch's sake. Differences are always taken before squares, which is
    exact; there is no faster, less exact way by matrix products.

>>> sn.cdist(sn.zeros((1, 2)), sn.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist()
[[5.0, 1.0]]
)",
        .autocast = Autocast::kFull,
        .call = [](const Args& a) { return cdist(a.tensor(0), a.tensor(1), a.real(2)); },
        .method = false,
    });
    register_function({
        .signature = "pdist(x: Tensor, p: float = 2.0) -> Tensor",
        .doc =
            R"(Distances in the p-norm between all pairs of different rows of a matrix, as a vector.

>>> sn.pdist(sn.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])).shape
(3,)
)",
        .autocast = Autocast::kFull,
        .call = [](const Args& a) { return pdist(a.tensor(0), a.real(1)); },
        .method = false,
    });
    register_function({
        .signature = "dist(x: Tensor, other: Tensor, p: float = 2.0) -> Tensor",
        .doc = R"(The p-norm of x - other, over all elements.

>>> sn.dist(sn.zeros(2), sn.tensor([3.0, 4.0])).item()
5.0
)",
        .autocast = Autocast::kFull,
        .call =
            [](const Args& a) {
                return vector_norm(a.tensor(0) - a.tensor(1), a.real(2), {}, false);
            },
    });
    register_function({
        .signature = "norm(x: Tensor, p: Order? = None, axis: Ints? = None, "
                     "keepdims: bool = False, dtype: DType? = None) -> Tensor",
        .doc = R"(The p-norm of x over axes (all by default), seen as vectors.

p : a number, or "fro", which is 2 and the default.
dtype : what x is converted to first.

>>> sn.norm(sn.tensor([3.0, 4.0])).item()
5.0
)",
        .autocast = Autocast::kFull,
        .call = norm,
    });
    register_function({
        .signature = "renorm(x: Tensor, p: float, axis: int, maxnorm: float) -> Tensor",
        .doc = R"(x with the p-norm of each slice along an axis limited to maxnorm.

>>> sn.renorm(sn.tensor([[3.0, 4.0], [0.0, 1.0]]), 2, 0, 1.0).tolist()
[[0.6..., 0.8...], [0.0, 1.0]]
)",
        .autocast = Autocast::kFull,
        .call =
            [](const Args& a) { return renorm(a.tensor(0), a.real(1), a.integer(2), a.real(3)); },
        .aliases = "renorm_",
    });
}

}  // namespace sn
