#pragma once
// What the source that `sennit bundle` writes for a model (sennit/_bundle.py) and the code that is
// linked with it share. C, so that the source needs no header of the core.
#include <cstddef>
#include <cstdint>

extern "C" {

// Functions of any type; who calls one knows which it is.
typedef void (*sn_bundle_function)(void);

struct sn_bundle_word {  // an entry of a table of kernels, by its place in bytes
    uint32_t at;
    sn_bundle_function function;
};
struct sn_bundle_kernel {  // of an op
    const char* op;
    sn_bundle_function kernel, workspace;
};

// Defined by the written source.
extern const char* const sn_bundle_isa;
extern const unsigned char sn_bundle_plans[];
extern const unsigned char sn_bundle_data[];
extern const sn_bundle_word sn_bundle_tile[], sn_bundle_reduce[];  // end with function NULL
extern const sn_bundle_kernel sn_bundle_kernels[];                 // ends with op NULL
extern const sn_bundle_function sn_bundle_gemm, sn_bundle_conv, sn_bundle_pool;  // may be NULL

// Called by the written source. All return a status: 0, or a code as in sennit.h.
typedef struct sn_bundle_session sn_bundle_session;
int32_t sn_bundle_open(uint64_t seed, sn_bundle_session** session);
void sn_bundle_close(sn_bundle_session* session);
// Caller-owned, dense, in the order of the model; `sizes` by open size.
int32_t sn_bundle_run(sn_bundle_session* session, const int64_t* sizes, const void* const* inputs,
                      void* const* outputs);
int32_t sn_bundle_get(sn_bundle_session* session, const char* name, void* values, size_t bytes);
int32_t sn_bundle_set(sn_bundle_session* session, const char* name, const void* values,
                      size_t bytes);
int32_t sn_bundle_set_generator(sn_bundle_session* session, uint64_t seed, uint64_t draws);
int32_t sn_bundle_set_threads(int32_t count);
const char* sn_bundle_error(void);

// Takes the place of parts (backend/cpu/part.h) that the model does not need.
[[noreturn]] void sn_bundle_left_out(void);
}
