#pragma once
#include <bit>
#include <cstdint>
#include <span>

#include "base/dtype.h"
#include "base/shape.h"

namespace sn {

enum class AttrType : uint8_t { kInt, kFloat, kBool, kDType, kInts };

// Attributes of an op call in the order of the op's schema: one 64-bit word each, lists as a length
// and the items. Attributes are part of a plan's key; numbers that leave shapes and strides
// unchanged (slice starts, fill values, seeds, learning rates) are scalar OPERANDS instead.
class Attrs {
public:
    Attrs& i(int64_t v) {
        words_.push_back(v);
        return *this;
    }
    Attrs& f(double v) {
        words_.push_back(std::bit_cast<int64_t>(v));
        return *this;
    }
    Attrs& b(bool v) {
        words_.push_back(v);
        return *this;
    }
    Attrs& dtype(DType v) {
        words_.push_back(static_cast<int64_t>(v));
        return *this;
    }
    Attrs& ints(DimSpan v) {
        words_.push_back(static_cast<int64_t>(v.size()));
        for (int64_t x : v) words_.push_back(x);
        return *this;
    }
    std::span<const int64_t> words() const { return words_; }

private:
    SmallVec<int64_t, 8> words_;
};

// Reads attributes by their position in the schema.
class AttrView {
public:
    AttrView() = default;
    AttrView(std::span<const AttrType> schema, std::span<const int64_t> words)
        : schema_(schema), words_(words) {}
    int64_t i(int k) const { return words_[at(k)]; }
    double f(int k) const { return std::bit_cast<double>(words_[at(k)]); }
    bool b(int k) const { return words_[at(k)] != 0; }
    DType dtype(int k) const { return static_cast<DType>(words_[at(k)]); }
    DimSpan ints(int k) const {
        const size_t p = at(k);
        return words_.subspan(p + 1, static_cast<size_t>(words_[p]));
    }
    std::span<const int64_t> words() const { return words_; }

private:
    size_t at(int k) const {
        size_t p = 0;
        for (int s = 0; s < k; ++s)
            p += schema_[s] == AttrType::kInts ? 1 + static_cast<size_t>(words_[p]) : 1;
        return p;
    }
    std::span<const AttrType> schema_;
    std::span<const int64_t> words_;
};

}  // namespace sn
