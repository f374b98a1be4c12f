#pragma once
// One element of a product, as the numerics (docs/design/001) define it.
#include <type_traits>

#include "backend/reference/reference.h"

namespace sn::reference {

inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }

// One element of a product. add() is told the absolute position in k, which chooses the segment.
template <class T>
class Chain {
public:
    explicit Chain(int64_t segment) : length_(segment) {}
    void add(int64_t k, T a, T b) {
        if (k / length_ != segment_) close(k / length_);
        sum_ = fma(a, b, sum_);
    }
    T finish() {
        close(-1);
        return total_;
    }

private:
    void close(int64_t next) {
        total_ = any_ ? total_ + sum_ : sum_;
        any_ = any_ || segment_ >= 0;
        segment_ = next;
        sum_ = 0;
    }
    int64_t length_, segment_ = -1;
    bool any_ = false;
    T sum_ = 0, total_ = 0;
};
// Integers are exact modulo 2^bits, in any order.
template <class T>
    requires std::is_integral_v<T>
class Chain<T> {
public:
    explicit Chain(int64_t) {}
    void add(int64_t, T a, T b) { sum_ += static_cast<uint64_t>(a) * static_cast<uint64_t>(b); }
    T finish() { return static_cast<T>(sum_); }

private:
    uint64_t sum_ = 0;
};

}  // namespace sn::reference
