#pragma once
// Work of a kernel for one dtype, which a bundle leaves out when its model computes in others
// (docs/design/017-bundle.md). A part is a function that the linker may replace:
//
//     SN_PART(matmul, f64, (const GemmCall& call)) { gemm_float<double>(call); }
//     ...
//     if (dtype == DType::kF64) return SN_PART_NAME(matmul, f64)(call);
//
// It is needed by the ops whose names begin with the part's name (up to "__", where that has a
// suffix) and that have an operand of the dtype, or one that is computed in it. Not in an unnamed
// namespace.
#define SN_PART_JOIN(isa, name, dtype) sn_part_##isa##_##name##_##dtype
#define SN_PART_PASTE(isa, name, dtype) SN_PART_JOIN(isa, name, dtype)
#define SN_PART_NAME(name, dtype) SN_PART_PASTE(SN_ISA, name, dtype)
// A body that the compiler sees could be inlined, and then nothing would be left to replace. Weak
// symbols are a matter of ELF.
#if defined(__ELF__)
#define SN_PART(name, dtype, parameters) \
    extern "C" [[gnu::weak, gnu::noinline]] void SN_PART_NAME(name, dtype) parameters
#else
#define SN_PART(name, dtype, parameters) extern "C" void SN_PART_NAME(name, dtype) parameters
#endif
