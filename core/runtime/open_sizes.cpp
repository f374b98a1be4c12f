#include "runtime/open_sizes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>

#include "record/read.h"
#include "record/tape.h"
#include "runtime/control.h"

namespace sn {

namespace {

using Values = std::vector<int64_t>;  // of one quantity, by probe

std::string values_text(const Values& values) {
    std::string text;
    for (int64_t v : values) text += (text.empty() ? "" : ", ") + std::to_string(v);
    return text;
}

// ---- what a quantity has to do with the sizes

// Something that a quantity may be made of: an open size, a size of a value, or a product of them.
struct Base {
    std::vector<SizeFactor> factors;
    Values at;
};

SizeExpr affine(int64_t factor, const Base& base, int64_t constant) {
    SizeExpr e{{{factor, base.factors}}, 1};
    if (constant != 0) e.terms.push_back({constant, {}});
    return e;
}

// values = factor * base + constant
std::optional<SizeExpr> fit_affine(const Values& values, const Base& base) {
    for (size_t k = 1; k < values.size(); ++k) {
        const int64_t run = base.at[k] - base.at[0], rise = values[k] - values[0];
        if (run == 0) continue;
        if (rise == 0 || rise % run != 0) return std::nullopt;
        const int64_t factor = rise / run, constant = values[0] - factor * base.at[0];
        for (size_t i = 0; i < values.size(); ++i)
            if (values[i] != factor * base.at[i] + constant) return std::nullopt;
        return affine(factor, base, constant);
    }
    return std::nullopt;
}

// values = floor((factor * base + constant) / divisor); only where no other constant would do.
std::optional<SizeExpr> fit_floor(const Values& values, const Base& base) {
    for (const int64_t divisor : {2, 3, 4, 8}) {
        for (int64_t factor = 1; factor < 4 * divisor; ++factor) {
            if (std::gcd(factor, divisor) != 1) continue;
            int64_t least = INT64_MIN, most = INT64_MAX;
            for (size_t i = 0; i < values.size(); ++i) {
                const int64_t d = divisor * values[i] - factor * base.at[i];
                least = std::max(least, d);
                most = std::min(most, d + divisor - 1);
            }
            if (least != most) continue;
            SizeExpr e = affine(factor, base, least);
            e.divisor = divisor;
            return e;
        }
    }
    return std::nullopt;
}

// values = a * first + b * second + constant
std::optional<SizeExpr> fit_sum(const Values& values, const Base& first, const Base& second) {
    const size_t n = values.size();
    for (size_t i = 1; i < n; ++i) {
        for (size_t j = i + 1; j < n; ++j) {
            const int64_t x1 = first.at[i] - first.at[0], y1 = second.at[i] - second.at[0];
            const int64_t x2 = first.at[j] - first.at[0], y2 = second.at[j] - second.at[0];
            const int64_t v1 = values[i] - values[0], v2 = values[j] - values[0];
            const int64_t det = x1 * y2 - x2 * y1;
            if (det == 0) continue;
            const int64_t a = v1 * y2 - v2 * y1, b = x1 * v2 - x2 * v1;
            if (a == 0 || b == 0 || a % det != 0 || b % det != 0) return std::nullopt;
            const int64_t p = a / det, q = b / det;
            const int64_t constant = values[0] - p * first.at[0] - q * second.at[0];
            for (size_t k = 0; k < n; ++k)
                if (values[k] != p * first.at[k] + q * second.at[k] + constant) return std::nullopt;
            SizeExpr e{{{p, first.factors}, {q, second.factors}}, 1};
            if (constant != 0) e.terms.push_back({constant, {}});
            return e;
        }
    }
    return std::nullopt;
}

// All probes at once; they have the same structure.
class Fitter {
public:
    Fitter(std::vector<Values> sizes, std::vector<const Graph*> graphs)
        : graphs_(std::move(graphs)) {
        const size_t n = sizes[0].size();
        for (uint32_t s = 0; s < n; ++s) {
            Base base{{{s, kNone, 0}}, {}};
            for (const Values& at : sizes) base.at.push_back(at[s]);
            opens_.push_back(std::move(base));
        }
        for (uint32_t a = 0; a < n; ++a)
            for (uint32_t b = a; b < n; ++b) products_.push_back(product(opens_[a], opens_[b]));
        const size_t pairs = products_.size();
        for (uint32_t a = 0; a < n; ++a)
            for (size_t p = 0; p < pairs; ++p)
                products_.push_back(product(products_[p], opens_[a]));
    }

    // From the open sizes alone.
    std::optional<SizeExpr> by_open(const Values& values) const {
        for (const Base& b : opens_)
            if (auto e = fit_affine(values, b)) return e;
        for (const Base& b : products_)
            if (auto e = fit_affine(values, b)) return e;
        for (size_t a = 0; a < opens_.size(); ++a)
            for (size_t b = a + 1; b < opens_.size(); ++b)
                if (auto e = fit_sum(values, opens_[a], opens_[b])) return e;
        for (const Base& b : opens_)
            if (auto e = fit_floor(values, b)) return e;
        return std::nullopt;
    }

    // ... or from sizes of the operands of the node, or of any value before it.
    std::optional<SizeExpr> fit(const Values& values, const Node& node) const {
        if (auto e = by_open(values)) return e;
        std::vector<Base> singles, runs;
        for (ValueId v : graphs_[0]->in(node)) add(v, &singles, &runs);
        for (const auto* bases : {&singles, &runs})
            for (const Base& b : *bases)
                if (auto e = fit_affine(values, b)) return e;
        for (size_t a = 0; a < singles.size(); ++a)
            for (size_t b = a + 1; b < singles.size(); ++b)
                if (auto e = fit_sum(values, singles[a], singles[b])) return e;
        for (const Base& b : singles)
            if (auto e = fit_floor(values, b)) return e;
        std::vector<Base> all, all_runs;
        for (ValueId v = 0; v < node.first_out; ++v) add(v, &all, &all_runs);
        for (const auto* bases : {&all, &all_runs})
            for (const Base& b : *bases)
                if (auto e = fit_affine(values, b)) return e;
        return std::nullopt;
    }

    // A float: `scale` times or by a size, a little more or less of it, or its root.
    bool fit_float(const std::vector<double>& values, ModelNumber* number) const {
        if (fit_inverse(values, number)) return true;
        std::vector<const Base*> bases;
        for (const Base& b : opens_) bases.push_back(&b);
        for (const Base& b : products_) bases.push_back(&b);
        for (const Base* base : bases) {
            for (const SizeForm form : {SizeForm::kPlain, SizeForm::kReciprocal, SizeForm::kRoot,
                                        SizeForm::kReciprocalRoot}) {
                for (const int64_t shift : {0, -1, 1, -2, 2}) {
                    const double unit = size_number(form, 1.0, base->at[0] + shift);
                    const double raw = values[0] / unit;
                    for (const double scale : {std::round(raw), raw}) {
                        bool holds = scale != 0 && std::isfinite(scale);
                        for (size_t k = 0; holds && k < values.size(); ++k)
                            holds = size_number(form, scale, base->at[k] + shift) == values[k];
                        if (!holds) continue;
                        number->form = form;
                        number->scale = scale;
                        number->size = affine(1, *base, shift);
                        return true;
                    }
                }
            }
        }
        return false;
    }

private:
    // Which whole number each value is made of, for simple scales; that number then has a fit.
    bool fit_inverse(const std::vector<double>& values, ModelNumber* number) const {
        const std::pair<SizeForm, double> kinds[] = {
            {SizeForm::kPlain, 1},          {SizeForm::kReciprocal, 1}, {SizeForm::kRoot, 1},
            {SizeForm::kReciprocalRoot, 1}, {SizeForm::kExcess, 1},     {SizeForm::kExcess, 2}};
        for (const auto& [form, scale] : kinds) {
            Values sizes;
            for (double v : values) {
                const double x = form == SizeForm::kPlain        ? v
                                 : form == SizeForm::kReciprocal ? 1 / v
                                 : form == SizeForm::kRoot       ? v * v
                                 : form == SizeForm::kExcess     ? scale * v / (v - 1)
                                                                 : 1 / (v * v);
                if (!(std::fabs(x) < 1e15)) break;
                sizes.push_back(std::llround(x));
                if (size_number(form, scale, sizes.back()) != v) break;
            }
            // A break leaves the last value unchecked or wrong.
            if (sizes.size() != values.size() ||
                size_number(form, scale, sizes.back()) != values.back())
                continue;
            std::optional<SizeExpr> e = by_open(sizes);
            if (!e) continue;
            number->form = form;
            number->scale = scale;
            number->size = std::move(*e);
            return true;
        }
        return false;
    }

    static Base product(const Base& a, const Base& b) {
        Base made = a;
        made.factors.insert(made.factors.end(), b.factors.begin(), b.factors.end());
        for (size_t k = 0; k < made.at.size(); ++k) made.at[k] *= b.at[k];
        return made;
    }

    // The sizes of a value that differ between the probes, and the products of neighbours.
    void add(ValueId v, std::vector<Base>* singles, std::vector<Base>* runs) const {
        const size_t rank = graphs_[0]->meta(v).shape.size();
        for (uint32_t axis = 0; axis < rank; ++axis) {
            Base base{{{kNone, v, axis}}, {}};
            for (const Graph* g : graphs_) base.at.push_back(g->meta(v).shape[axis]);
            Base run = base;
            const bool open =
                std::ranges::any_of(base.at, [&](int64_t n) { return n != base.at[0]; });
            if (open) singles->push_back(base);
            for (uint32_t next = axis + 1; next < rank; ++next) {
                Base more{{{kNone, v, next}}, {}};
                for (const Graph* g : graphs_) more.at.push_back(g->meta(v).shape[next]);
                run = product(run, more);
                runs->push_back(run);
            }
        }
    }

    std::vector<const Graph*> graphs_;
    std::vector<Base> opens_, products_;
};

// ---- comparing probes

std::string sizes_text(const std::vector<OpenSize>& sizes, const std::vector<Probe>& probes) {
    std::string text;
    for (size_t s = 0; s < sizes.size(); ++s) {
        Values at;
        for (const Probe& p : probes) at.push_back(p.sizes[s]);
        text += (text.empty() ? "" : "; ") + sizes[s].name + " = " + values_text(at);
    }
    return text;
}

[[noreturn]] void fail_at(const Model& m, NodeId id, const std::string& problem) {
    try {
        fail(ErrorKind::kValue, "trace", "%s", problem.c_str());
    } catch (Error& e) {
        if (id < m.sites.size()) e.set_site(m.sites[id]);
        throw;
    }
}

// The first node in which two graphs do not call the same op on the same values, or kNone.
NodeId first_difference(const Model& a, const Model& b) {
    const size_t n = std::min(a.graph.nodes.size(), b.graph.nodes.size());
    for (NodeId id = 0; id < n; ++id) {
        const Node &x = a.graph.nodes[id], &y = b.graph.nodes[id];
        if (x.op != y.op || x.n_attrs != y.n_attrs || x.first_out != y.first_out ||
            a.taped[id] != b.taped[id] || !std::ranges::equal(a.graph.in(x), b.graph.in(y)))
            return id;
        for (uint32_t k = 0; k < x.n_out; ++k) {
            const Meta &p = a.graph.meta(x.first_out + k), &q = b.graph.meta(y.first_out + k);
            if (p.dtype != q.dtype || p.shape.size() != q.shape.size()) return id;
        }
    }
    return a.graph.nodes.size() == b.graph.nodes.size() ? kNone : static_cast<NodeId>(n);
}

bool same_bytes(const Tensor& a, const Tensor& b) {
    if (a.value() == b.value()) return true;
    if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
    const NoGrad no_grad;
    Tensor keep_a, keep_b;
    const void *x = read_values(a, &keep_a), *y = read_values(b, &keep_b);
    return std::memcmp(x, y, static_cast<size_t>(a.numel()) * dtype_size(a.dtype())) == 0;
}

void check_same_structure(const std::vector<Probe>& probes, const std::vector<OpenSize>& sizes) {
    const Model& a = probes[0].model;
    for (const Probe& other : probes) {
        const Model& b = other.model;
        const NodeId id = first_difference(a, b);
        if (id != kNone) {
            const Model& longer = id < a.graph.nodes.size() ? a : b;
            fail_at(longer, id,
                    std::string("from '") + op_def(longer.graph.nodes[id].op).name +
                        "' on, what the function calls depends on an open size (traced with " +
                        sizes_text(sizes, probes) +
                        "), as in a loop over a size; a graph has the same operations at every "
                        "call; fix that size, or compute without the loop");
        }
        if (a.graph.values.size() != b.graph.values.size() ||
            a.numbers.size() != b.numbers.size() || a.draws != b.draws ||
            a.graph.outputs != b.graph.outputs || a.blocks.size() != b.blocks.size() ||
            probes[0].constants.size() != other.constants.size()) {
            fail_at(a, kNone,
                    "what the function returns or captures depends on an open size (traced with " +
                        sizes_text(sizes, probes) + "); fix that size");
        }
        for (size_t i = 0; i < other.constants.size(); ++i) {
            if (same_bytes(probes[0].constants[i], other.constants[i])) continue;
            fail_at(a, kNone,
                    "a constant of shape " + format_shape(probes[0].constants[i].shape()) +
                        ", which the function makes outside of the graph (from NumPy or a list), "
                        "depends on an open size (traced with " +
                        sizes_text(sizes, probes) +
                        "); make it with sennit's functions (sn.arange, sn.full, ...), or fix that "
                        "size");
        }
    }
}

// The same blocks of all probes, as probes.
std::vector<Probe> blocks_of(const std::vector<Probe>& probes, size_t k) {
    std::vector<Probe> blocks;
    for (const Probe& p : probes) blocks.push_back({p.sizes, *p.model.blocks[k], {}});
    return blocks;
}

// Only whole numbers may follow from sizes, and no list may become longer.
void check_may_be_open(const Model& m, NodeId id, uint32_t word, const std::string& traced) {
    const OpDef& def = op_def(m.graph.nodes[id].op);
    const auto words = m.graph.attr(m.graph.nodes[id]);
    uint32_t at = 0;
    for (size_t k = 0; k < def.attr_types.size(); ++k) {
        const bool list = def.attr_types[k] == AttrType::kInts;
        const uint32_t length = list ? 1 + static_cast<uint32_t>(words[at]) : 1;
        if (word >= at + length) {
            at += length;
            continue;
        }
        if ((list && word > at) || def.attr_types[k] == AttrType::kInt) return;
        fail_at(m, id,
                std::string("the attribute '") + def.attr_names[k] + "' of '" + def.name +
                    "' depends on an open size (traced with " + traced +
                    (list ? "): its length does" : ")") + "; fix that size");
    }
}

void find_words(Model& m, const std::vector<Probe>& probes, const Fitter& fitter) {
    const std::string traced = sizes_text(m.sizes, probes);
    for (NodeId id = 0; id < m.graph.nodes.size(); ++id) {
        const Node& n = m.graph.nodes[id];
        for (uint32_t word = 0; word < n.n_attrs; ++word) {
            Values values;
            for (const Probe& p : probes)
                values.push_back(p.model.graph.attr(p.model.graph.nodes[id])[word]);
            if (std::ranges::all_of(values, [&](int64_t v) { return v == values[0]; })) continue;
            check_may_be_open(m, id, word, traced);
            std::optional<SizeExpr> e = fitter.fit(values, n);
            if (!e) {
                fail_at(m, id,
                        std::string("an attribute of '") + op_def(n.op).name + "' is " +
                            values_text(values) + " when traced with " + traced +
                            ", and no expression of the sizes was found that gives this; fix that "
                            "size, or say what it may be: sn.Dim('" +
                            m.sizes[0].name + "', min=..., multiple=...)");
            }
            m.open_words.push_back({id, word, std::move(*e)});
        }
    }
}

NodeId first_use(const Graph& g, ValueId v) {
    for (NodeId id = 0; id < g.nodes.size(); ++id)
        for (ValueId in : g.in(g.nodes[id]))
            if (in == v) return id;
    return kNone;
}

void find_numbers(Model& m, const std::vector<Probe>& probes, const Fitter& fitter) {
    for (size_t i = 0; i < m.numbers.size(); ++i) {
        ModelNumber& number = m.numbers[i];
        const NodeId user = first_use(m.graph, m.graph.scalars[i]);
        bool same = true, same_kind = true;
        Values ints;
        std::vector<double> floats;
        for (const Probe& p : probes) {
            const ModelNumber& other = p.model.numbers[i];
            same_kind &= other.role == number.role && other.value.kind == number.value.kind;
            same &= other.value.i == number.value.i;
            ints.push_back(other.value.i);
            floats.push_back(other.value.as_double());
        }
        if (same_kind && (same || number.role == NumberRole::kSeed)) continue;
        bool found = false;
        if (same_kind && number.role == NumberRole::kConstant && user != kNone) {
            if (number.value.kind == ScalarKind::kInt) {
                if (auto e = fitter.fit(ints, m.graph.nodes[user])) {
                    number.size = std::move(*e);
                    found = true;
                }
            } else if (number.value.kind == ScalarKind::kFloat) {
                found = fitter.fit_float(floats, &number);
            }
        }
        if (!found) {
            std::string text;
            for (double f : floats) text += (text.empty() ? "" : ", ") + std::to_string(f);
            fail_at(m, user,
                    "a number of the graph is " + text + " when traced with " +
                        sizes_text(m.sizes, probes) +
                        ", and no expression of the sizes was found that gives this; compute it "
                        "with tensors, or fix that size");
        }
        number.role = NumberRole::kSize;
    }
}

// Whether every size within the limits fulfils a condition on one size alone.
bool always_holds(const Model& m, const SizeCondition& c) {
    const SizeExpr& e = c.difference;
    uint32_t open = kNone;
    for (const SizeTerm& term : e.terms) {
        if (term.factors.size() > 1) return false;
        if (term.factors.empty()) continue;
        if (open != kNone) return false;
        open = term.factors[0].open;
    }
    if (open == kNone || c.relation == SizeRelation::kEqual) return false;
    // It grows or falls with the size: what holds at both ends and is no exception holds between.
    const auto at = [&](int64_t size) {
        const auto factor = [&](const SizeFactor&) { return size; };
        return evaluate(e, factor);
    };
    int64_t first = 0, last = 0;
    try {
        first = at(m.sizes[open].least);
        last = at(m.sizes[open].most);
    } catch (const Error&) {  // too large for 64 bits
        return false;
    }
    if (c.relation == SizeRelation::kNotEqual)
        return (first > 0 && last > 0) || (first < 0 && last < 0);
    return holds(c.relation, first) && holds(c.relation, last);
}

void find_conditions(Model& m, std::span<const ProbeComparison> comparisons,
                     const std::vector<Probe>& probes, const Fitter& fitter) {
    for (const ProbeComparison& comparison : comparisons) {
        const uint32_t site = text_site(comparison.where);
        std::optional<SizeExpr> e = fitter.by_open(comparison.differences);
        if (!e) {
            try {
                fail(ErrorKind::kValue, "trace",
                     "the function compares sizes that differ by %s when traced with %s, and no "
                     "expression of the sizes was found that gives this; say what the sizes may "
                     "be: sn.Dim('%s', min=..., multiple=...), or fix them",
                     values_text(comparison.differences).c_str(),
                     sizes_text(m.sizes, probes).c_str(), m.sizes[0].name.c_str());
            } catch (Error& error) {
                error.set_site(site);
                throw;
            }
        }
        SizeCondition condition{std::move(*e), comparison.relation, site};
        if (always_holds(m, condition)) continue;
        const bool known = std::ranges::any_of(m.conditions, [&](const SizeCondition& other) {
            return other.relation == condition.relation && other.difference == condition.difference;
        });
        if (!known) m.conditions.push_back(std::move(condition));
    }
}

// What can be said of the sizes of results, by node, and of what a block is given.
void find_shapes(Model& m, const std::vector<const Graph*>& graphs, const Fitter& fitter) {
    for (uint32_t i = 0; m.open_dims.empty() && i < m.inputs.size(); ++i) {
        const ValueId v = m.graph.inputs[i];
        for (uint32_t axis = 0; axis < m.graph.meta(v).shape.size(); ++axis) {
            Values values;
            for (const Graph* g : graphs) values.push_back(g->meta(v).shape[axis]);
            if (std::ranges::all_of(values, [&](int64_t n) { return n == values[0]; })) continue;
            std::optional<SizeExpr> e = fitter.by_open(values);
            if (!e) e = SizeExpr::of({kNone, v, axis});
            m.open_inputs.push_back({i, 0, axis, std::move(*e)});
        }
    }
    for (NodeId id = 0; id < m.graph.nodes.size(); ++id) {
        const Node& n = m.graph.nodes[id];
        for (uint32_t k = 0; k < n.n_out; ++k) {
            for (uint32_t axis = 0; axis < m.graph.meta(n.first_out + k).shape.size(); ++axis) {
                Values values;
                for (const Graph* g : graphs)
                    values.push_back(g->meta(g->nodes[id].first_out + k).shape[axis]);
                if (std::ranges::all_of(values, [&](int64_t v) { return v == values[0]; }))
                    continue;
                std::optional<SizeExpr> e = fitter.by_open(values);
                if (!e) e = SizeExpr::of({kNone, n.first_out + k, axis});
                m.open_shapes.push_back({id, k, axis, std::move(*e)});
            }
        }
    }
}

// A graph must give back every probe.
void check_same(const Model& m, const Model& made, const Model& probe) {
    const Graph &a = made.graph, &b = probe.graph;
    SN_CHECK(a.nodes.size() == b.nodes.size() && made.blocks.size() == probe.blocks.size());
    for (NodeId id = 0; id < a.nodes.size(); ++id) {
        const Node &x = a.nodes[id], &y = b.nodes[id];
        bool same = std::ranges::equal(a.attr(x), b.attr(y));
        for (uint32_t k = 0; k < x.n_out; ++k)
            same &= a.meta(x.first_out + k).shape == b.meta(y.first_out + k).shape;
        if (!same) fail_at(m, id, std::string("'") + op_def(x.op).name + "' is another one");
    }
    for (size_t k = 0; k < made.blocks.size(); ++k)
        check_same(*m.blocks[k], *made.blocks[k], *probe.blocks[k]);
}

// What follows from the sizes in a graph and its blocks.
void find_open(Model& m, const std::vector<Probe>& probes) {
    std::vector<Values> at;
    std::vector<const Graph*> graphs;
    for (const Probe& p : probes) {
        at.push_back(p.sizes);
        graphs.push_back(&p.model.graph);
    }
    const Fitter fitter(std::move(at), graphs);
    find_words(m, probes, fitter);
    find_numbers(m, probes, fitter);
    find_shapes(m, graphs, fitter);
    for (size_t k = 0; k < m.blocks.size(); ++k) {
        const std::vector<Probe> blocks = blocks_of(probes, k);
        check_same_structure(blocks, m.sizes);
        Model block = *m.blocks[k];
        block.sizes = m.sizes;
        find_open(block, blocks);
        m.blocks[k] = std::make_shared<const Model>(std::move(block));
    }
}

}  // namespace

Model with_open_sizes(std::vector<Probe> probes, std::vector<OpenSize> sizes,
                      std::vector<OpenDim> dims, std::span<const ProbeComparison> comparisons) {
    SN_CHECK(!probes.empty());
    check_same_structure(probes, sizes);
    Model m = probes[0].model;
    m.sizes = std::move(sizes);
    for (size_t s = 0; s < m.sizes.size(); ++s) m.sizes[s].example = probes[0].sizes[s];
    m.open_dims = std::move(dims);
    find_open(m, probes);
    std::vector<Values> at;
    for (const Probe& p : probes) at.push_back(p.sizes);
    find_conditions(m, comparisons, probes, Fitter(std::move(at), {}));
    for (const Probe& p : probes) check_same(m, at_sizes(m, p.sizes), p.model);
    return m;
}

Model at_sizes(const Model& model, std::span<const int64_t> sizes) {
    SN_CHECK(sizes.size() == model.sizes.size());
    for (size_t s = 0; s < sizes.size(); ++s) check_open_size(model.sizes[s], sizes[s]);
    for (const SizeCondition& c : model.conditions) check_condition(c, model.sizes, sizes);
    std::vector<Meta> metas;
    for (size_t i = 0; i < model.inputs.size(); ++i) {
        metas.push_back(model.graph.meta(model.graph.inputs[i]));
        for (const OpenDim& d : model.open_dims)
            if (d.input == i) metas.back().shape[d.axis] = sizes[d.open];
    }
    return instantiated(model, sizes, metas);
}

Model instantiated(const Model& model, std::span<const int64_t> sizes,
                   std::span<const Meta> metas) {
    SN_CHECK(metas.size() == model.inputs.size());
    Trace trace(Randomness::kSame);
    std::vector<Tensor> inputs, numbers, outputs;
    for (const Meta& m : metas) inputs.push_back(trace.placeholder(m));
    // Each number is bound under its index, so that its role can be found again.
    for (size_t i = 0; i < model.numbers.size(); ++i) {
        Tensor t(model.numbers[i].value);
        t.value()->slot = static_cast<int32_t>(i);
        numbers.push_back(std::move(t));
    }
    Model made;
    {
        const NoGrad no_grad;
        const RecordInto scope(trace);
        NodeCalls calls{sizes, {0, trace.first_draw()}};
        outputs = call_nodes(model, inputs, numbers, calls);
        for (const Tensor& t : outputs) made.graph.outputs.push_back(trace.id_of(t));
    }
    std::vector<ValueId> results = std::move(made.graph.outputs);
    made.graph = trace.graph;
    made.graph.outputs = std::move(results);
    made.blocks = std::move(trace.blocks);
    made.inputs = model.inputs;
    made.sites = model.sites;
    made.taped = model.taped;
    made.draws = model.draws;
    made.updates = model.updates;
    made.signature = model.signature;
    for (NodeId id = 0; id < made.graph.nodes.size(); ++id) made.graph.nodes[id].origin = id;
    for (size_t i = 0; i < trace.scalars.size(); ++i) {
        const int32_t slot = trace.scalar_slots[i];
        ModelNumber number{trace.scalars[i]};
        if (slot >= 0 && model.numbers[static_cast<size_t>(slot)].role != NumberRole::kSize)
            number = model.numbers[static_cast<size_t>(slot)];
        made.numbers.push_back(std::move(number));
    }
    const std::string broken = verify(made.graph);
    if (!broken.empty()) fail(ErrorKind::kInternal, "graph", "%s", broken.c_str());
    return made;
}

namespace {

void find_open_shapes(Model& m, const std::vector<Model>& made, const std::vector<Values>& at) {
    std::vector<const Graph*> graphs;
    for (const Model& model : made) graphs.push_back(&model.graph);
    find_shapes(m, graphs, Fitter(at, graphs));
    for (size_t k = 0; k < m.blocks.size(); ++k) {
        std::vector<Model> blocks;
        for (const Model& model : made) blocks.push_back(*model.blocks[k]);
        Model block = *m.blocks[k];
        find_open_shapes(block, blocks, at);
        m.blocks[k] = std::make_shared<const Model>(std::move(block));
    }
}

}  // namespace

void find_open_shapes(Model& m) {
    if (m.sizes.empty()) return;
    // Sizes around the example, so that they are ones that the graph can have.
    std::vector<Values> at;
    std::vector<Model> made;
    constexpr int64_t kSteps[] = {0, 5, 11, 18, 26, 35, 45, 56};  // as in sennit/_sizes.py
    for (size_t k = 0; k < std::size(kSteps); ++k) {
        Values sizes;
        for (size_t s = 0; s < m.sizes.size(); ++s) {
            const OpenSize& open = m.sizes[s];
            const int64_t step = kSteps[k] * static_cast<int64_t>(s + 1) % 59 * open.multiple;
            sizes.push_back(std::min(open.example + step, open.most) / open.multiple *
                            open.multiple);
        }
        try {
            made.push_back(at_sizes(m, sizes));
            at.push_back(std::move(sizes));
        } catch (const Error&) {
            if (k == 0) throw;  // the example itself must do
        }
    }
    find_open_shapes(m, made, at);
}

}  // namespace sn
