#include "backend/cuda/program_args.h"

#include "backend/reference/reference.h"

namespace sn::cuda {

void ProgramArgs::fill(uint64_t* words, void* const* buffers, const Scalar* scalars,
                       const void* product) const {
    for (size_t i = 0; i < words_.size(); ++i) {
        const Word& w = words_[i];
        switch (w.kind) {
            case Kind::kConstant: words[i] = w.value; break;
            case Kind::kBuffer: words[i] = reinterpret_cast<uintptr_t>(buffers[w.value]); break;
            case Kind::kProduct: words[i] = reinterpret_cast<uintptr_t>(product); break;
            case Kind::kNumber:
                words[i] = reference::scalar_cell(w.dtype, scalars[w.value]).bits;
                break;
            case Kind::kWide: break;  // below, when the pointers are known
        }
    }
    for (size_t i = 0; i < words_.size(); ++i) {
        if (words_[i].kind != Kind::kWide) continue;
        words[i] = words_[i].value;
        for (const Aligned& a : aligned_)
            if (words[a.word] % a.bytes != 0) words[i] = 0;
    }
}

}  // namespace sn::cuda
