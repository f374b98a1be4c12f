#pragma once
#include <cstdint>
#include <vector>

#include "backend/backend.h"

namespace sn::cuda {

// The argument of a program's kernel: a struct of words of eight bytes, in the order of the struct
// `Args` in its text. The text and this are made together.
class ProgramArgs {
public:
    size_t bytes() const { return words_.size() * sizeof(uint64_t); }
    // Writes bytes() to `words`: pointers and numbers by binding, the rest as it was planned.
    // `product` takes the place of the input that is the product; null where there is none.
    void fill(uint64_t* words, void* const* buffers, const Scalar* scalars,
              const void* product) const;

    void add_constant(uint64_t value) { words_.push_back({Kind::kConstant, value, DType::kI64}); }
    void add_buffer(int binding) {
        words_.push_back({Kind::kBuffer, static_cast<uint64_t>(binding), DType::kI64});
    }
    void add_product() { words_.push_back({Kind::kProduct, 0, DType::kI64}); }
    // A number, as it lies in the memory of its compute type.
    void add_number(DType dtype, int binding) {
        words_.push_back({Kind::kNumber, static_cast<uint64_t>(binding), dtype});
    }
    // 1 when the pointers that were noted with require_alignment() allow wide accesses, else 0.
    void add_wide(bool possible) {
        words_.push_back({Kind::kWide, static_cast<uint64_t>(possible), DType::kI64});
    }
    // The last word, a pointer, must be a multiple of `bytes` for wide accesses.
    void require_alignment(size_t bytes) {
        aligned_.push_back(
            {static_cast<uint32_t>(words_.size() - 1), static_cast<uint32_t>(bytes)});
    }

private:
    enum class Kind : uint8_t { kConstant, kBuffer, kProduct, kNumber, kWide };
    struct Word {
        Kind kind;
        uint64_t value;  // or a binding
        DType dtype;     // of a number
    };
    struct Aligned {
        uint32_t word, bytes;
    };
    std::vector<Word> words_;
    std::vector<Aligned> aligned_;
};

}  // namespace sn::cuda
