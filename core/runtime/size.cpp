#include "runtime/size.h"

#include <cmath>

#include "base/error.h"

namespace sn {

int64_t evaluate(const SizeExpr& size, FactorValue value) {
    int64_t sum = 0;
    bool overflow = false;
    for (const SizeTerm& term : size.terms) {
        int64_t product = term.coefficient;
        for (const SizeFactor& f : term.factors)
            overflow |= __builtin_mul_overflow(product, value(f), &product);
        overflow |= __builtin_add_overflow(sum, product, &sum);
    }
    if (overflow) {
        fail(ErrorKind::kShape, "graph",
             "a size of this call does not fit into 64 bits; give smaller arguments");
    }
    int64_t quotient = sum / size.divisor;
    if (sum % size.divisor != 0 && sum < 0) --quotient;  // rounded down
    return quotient;
}

double size_number(SizeForm form, double scale, int64_t size) {
    const auto x = static_cast<double>(size);
    switch (form) {
        case SizeForm::kPlain: return scale * x;
        case SizeForm::kReciprocal: return scale / x;
        case SizeForm::kRoot: return scale * std::sqrt(x);
        case SizeForm::kReciprocalRoot: return scale / std::sqrt(x);
        case SizeForm::kExcess: return x / std::fmax(x - scale, 0.0);
    }
    return 0;
}

bool holds(SizeRelation relation, int64_t difference) {
    switch (relation) {
        case SizeRelation::kLess: return difference < 0;
        case SizeRelation::kLessEqual: return difference <= 0;
        case SizeRelation::kEqual: return difference == 0;
        case SizeRelation::kNotEqual: return difference != 0;
        case SizeRelation::kGreater: return difference > 0;
        case SizeRelation::kGreaterEqual: return difference >= 0;
    }
    return false;
}

std::string print(const SizeExpr& size, std::span<const OpenSize> names) {
    std::string text;
    for (const SizeTerm& term : size.terms) {
        const int64_t c = term.coefficient;
        text += text.empty() ? (c < 0 ? "-" : "") : c < 0 ? " - " : " + ";
        const std::string number = std::to_string(c < 0 ? -c : c);
        if (term.factors.empty() || number != "1") text += number;
        bool first = number == "1";
        for (const SizeFactor& f : term.factors) {
            if (!first) text += '*';
            first = false;
            text += f.open != kNone
                        ? names[f.open].name
                        : "%" + std::to_string(f.value) + ".shape[" + std::to_string(f.axis) + "]";
        }
    }
    if (text.empty()) text = "0";
    return size.divisor == 1 ? text : "(" + text + ") // " + std::to_string(size.divisor);
}

void check_condition(const SizeCondition& condition, std::span<const OpenSize> names,
                     std::span<const int64_t> sizes) {
    const auto factor = [&](const SizeFactor& f) { return sizes[f.open]; };
    if (holds(condition.relation, evaluate(condition.difference, factor))) return;
    constexpr const char* kRelations[] = {"<", "<=", "==", "!=", ">", ">="};
    std::string given;
    for (size_t s = 0; s < sizes.size(); ++s)
        given += (s ? ", " : "") + names[s].name + " = " + std::to_string(sizes[s]);
    try {
        fail(ErrorKind::kShape, "graph",
             "the function takes another way for the sizes %s than it took when it was traced, "
             "where %s %s 0; trace it again for such sizes, as a graph of its own",
             given.c_str(), print(condition.difference, names).c_str(),
             kRelations[static_cast<int>(condition.relation)]);
    } catch (Error& e) {
        e.set_site(condition.site);
        throw;
    }
}

void check_open_size(const OpenSize& open, int64_t given) {
    const auto n = static_cast<long long>(given);
    const char* name = open.name.c_str();
    if (given < open.least || given > open.most) {
        fail(
            ErrorKind::kShape, "graph",
            "the size '%s' is %lld; this graph was made for %lld to %lld; trace the function again "
            "for other sizes",
            name, n, static_cast<long long>(open.least), static_cast<long long>(open.most));
    }
    if (given % open.multiple != 0) {
        fail(ErrorKind::kShape, "graph",
             "the size '%s' is %lld; this graph was made for multiples of %lld; pad the argument, "
             "or trace the function again",
             name, n, static_cast<long long>(open.multiple));
    }
}

}  // namespace sn
