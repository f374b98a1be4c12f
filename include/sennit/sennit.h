/* Sennit: the C interface of the runtime. Loads models that Python has saved (Graph.save), and runs
 * them with the bits that Python gives. See docs/runtime.md.
 *
 *     sn_model* model;
 *     sn_session* session;
 *     if (sn_model_load("model.sn", NULL, &model) || sn_session_create(model, NULL, &session))
 *         puts(sn_last_error());
 *
 * Every function that can fail returns a status, 0 for success; the text of a failure is that of
 * sn_last_error() on the same thread. Nothing is thrown, and nothing is printed.
 *
 * The interface is stable: functions and members are only ever added. A struct that begins with
 * `struct_size` is filled in by the caller with sizeof; a library that knows more members leaves
 * those alone, and one that knows fewer takes the others for 0.
 *
 * Models are not changed by use: any number of sessions and threads may share one. Functions of one
 * session may be called from any thread, one call at a time; a second one waits. Different sessions
 * run side by side: recording an operation takes a lock that all share, the computing does not.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(SN_BUILDS_LIBRARY)
#define SN_API __declspec(dllexport)
#else
#define SN_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define SN_API __attribute__((visibility("default")))
#else
#define SN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- versions */

#define SN_ABI_VERSION 1
SN_API const char* sn_version(void);      /* "0.1.0" */
SN_API int32_t sn_abi_version(void);      /* SN_ABI_VERSION of the library */
SN_API int32_t sn_numerics_version(void); /* changes when bits of results change */
SN_API const char* sn_isa(
    void); /* the instruction set of the kernels: "v2", "avx2", "avx512", "neon" */

/* ---- errors */

typedef int32_t sn_status;
enum {
    SN_OK = 0,
    /* The codes of Python's errors, SN101 and so on: docs/errors.md has a section for each. */
    SN_ERROR_SHAPE = 101,
    SN_ERROR_DTYPE = 102,
    SN_ERROR_INDEX = 103,
    SN_ERROR_VALUE = 104, /* an argument, NULL where something is required */
    SN_ERROR_DEVICE = 105,
    SN_ERROR_GRAD = 106,
    SN_ERROR_MEMORY = 107,
    SN_ERROR_TYPE = 108,
    SN_ERROR_FILE = 109, /* missing, damaged, or not a model */
    SN_ERROR_NUMERIC = 110,
    SN_ERROR_BUFFER = 150, /* a buffer of the caller is too small; `bytes` says what it takes */
    SN_ERROR_INTERNAL = 199
};
/* The text of the last failure of this thread: what is, what is required, what to try. Valid until
 * the next call that fails on this thread. Empty when none has failed. */
SN_API const char* sn_last_error(void);

/* ---- elements */

typedef int32_t sn_dtype;
enum {
    SN_BOOL = 0, /* one byte, 0 or 1 */
    SN_INT8 = 1,
    SN_INT16 = 2,
    SN_INT32 = 3,
    SN_INT64 = 4,
    SN_UINT8 = 5,
    SN_UINT16 = 6,
    SN_UINT32 = 7,
    SN_UINT64 = 8,
    SN_FLOAT16 = 9,   /* IEEE 754 binary16 */
    SN_BFLOAT16 = 10, /* the upper half of a float32 */
    SN_FLOAT32 = 11,
    SN_FLOAT64 = 12,
    SN_COMPLEX64 = 13, /* a float32 real part, then the imaginary part */
    SN_COMPLEX128 = 14
};
SN_API const char* sn_dtype_name(sn_dtype dtype); /* "float32"; NULL for what is none */
SN_API size_t sn_dtype_size(sn_dtype dtype);      /* bytes of an element; 0 for what is none */

/* Elements in row-major order without gaps. The layout of this struct never changes. */
#define SN_MAX_RANK 32
typedef struct sn_tensor {
    void* data;
    size_t bytes; /* of what `data` points to */
    sn_dtype dtype;
    int32_t rank;
    int64_t shape[SN_MAX_RANK];
} sn_tensor;

/* ---- models */

typedef struct sn_model sn_model;

enum {
    SN_LOAD_COPY = 1,         /* read the file into memory instead of mapping it */
    SN_LOAD_SKIP_CHECKSUM = 2 /* everything else is still checked */
};
typedef struct sn_load_options {
    size_t struct_size;
    uint32_t flags; /* SN_LOAD_... */
} sn_load_options;

/* Loads a model. The file is mapped: do not write into it while the model is in use (replacing it
 * by another one, as Sennit saves, is fine), or pass SN_LOAD_COPY. `options` may be NULL. */
SN_API sn_status sn_model_load(const char* path, const sn_load_options* options, sn_model** model);
/* The same from memory, which is copied. */
SN_API sn_status sn_model_load_memory(const void* data, size_t bytes,
                                      const sn_load_options* options, sn_model** model);
/* Sessions of the model live on. NULL is fine. */
SN_API void sn_model_free(sn_model* model);

/* What a model takes and gives. Texts and arrays belong to the model. */
typedef struct sn_value_info {
    size_t struct_size;
    const char* name; /* the name of an argument, or a result's path in what the function returns:
                         "output", "0", "state.h" */
    sn_dtype dtype;
    int32_t rank;
    const int64_t* shape;         /* -1: the size is open, each call gives it */
    const char* const* dim_names; /* by dimension: the name of an open size ("n"), or how a result's
                                     size follows from them ("2*n + 1"); NULL where it is fixed */
} sn_value_info;

SN_API const char* sn_model_name(const sn_model* model); /* of the function or module */
SN_API size_t sn_model_input_count(const sn_model* model);
SN_API size_t sn_model_output_count(const sn_model* model);
SN_API size_t sn_model_parameter_count(const sn_model* model);
SN_API sn_status sn_model_input(const sn_model* model, size_t index, sn_value_info* info);
SN_API sn_status sn_model_output(const sn_model* model, size_t index, sn_value_info* info);
/* Parameters and buffers, and constants, which are named constant.0 and so on. */
SN_API sn_status sn_model_parameter(const sn_model* model, size_t index, sn_value_info* info);
SN_API sn_status sn_model_find_input(const sn_model* model, const char* name, size_t* index);
SN_API sn_status sn_model_find_output(const sn_model* model, const char* name, size_t* index);
/* A text of the file's metadata, or NULL. */
SN_API const char* sn_model_metadata(const sn_model* model, const char* key);

/* ---- running */

/* A model, a generator of random numbers, results, and, of a step of training, parameters. */
typedef struct sn_session sn_session;

typedef struct sn_session_options {
    size_t struct_size;
    uint64_t seed;      /* of the generator; as sn.random.seed(seed) in Python */
    const char* device; /* NULL or "cpu" */
    uint64_t draws;     /* of the generator so far */
} sn_session_options;

SN_API sn_status sn_session_create(const sn_model* model, const sn_session_options* options,
                                   sn_session** session);
SN_API void sn_session_free(sn_session* session);
/* The generator: its seed, and how many draws it has made. */
SN_API sn_status sn_session_generator(sn_session* session, uint64_t* seed, uint64_t* draws);
SN_API sn_status sn_session_set_generator(sn_session* session, uint64_t seed, uint64_t draws);

/* Runs the model. `inputs`: in the order of sn_model_input, with data, bytes, dtype, rank and
 * shape; they are only read, and only during the call. `outputs`: in the order of sn_model_output;
 * `data` and `bytes` say where a result goes. When `data` is NULL, the result stays with the
 * session, and `data` points to it until the session runs again or is freed. All other members are
 * filled in, `bytes` with what the result takes. When a buffer is too small the status is
 * SN_ERROR_BUFFER, and all that is lacking is the copy: sizes are filled in. */
SN_API sn_status sn_run(sn_session* session, const sn_tensor* inputs, size_t n_inputs,
                        sn_tensor* outputs, size_t n_outputs);
/* Fills dtype, rank, shape and bytes of the outputs for these inputs, whose `data` is not read.
 * Nothing is computed. */
SN_API sn_status sn_output_shapes(sn_session* session, const sn_tensor* inputs, size_t n_inputs,
                                  sn_tensor* outputs, size_t n_outputs);

/* ---- training
 * A step that Python has traced with `mutable=` gives parameters (and the optimiser's state) new
 * values at each run. A session has its own: those of the file at first. A run that fails leaves
 * them as they were. */

/* The present value of a parameter, in the order of sn_model_parameter: into `data` of `bytes`, or,
 * when `data` is NULL, a pointer that is good until the session runs again. */
SN_API sn_status sn_session_parameter(sn_session* session, size_t index, sn_tensor* parameter);
/* Writes the model with the present parameters: sn_model_load goes on from it, and Python reads it
 * with sn.load. The file appears complete or not at all. The generator is not in it. */
SN_API sn_status sn_session_save(sn_session* session, const char* path);

/* ---- the process */

/* Threads that work on an operation, the caller included. Results do not depend on it. */
SN_API sn_status sn_set_threads(int32_t count);
SN_API int32_t sn_threads(void);

/* How many steps a loop of a model may make in one call; 0, as at the start: any number. A model
 * from elsewhere may have a loop that never ends. */
SN_API sn_status sn_set_loop_limit(int64_t steps);

typedef struct sn_memory_stats {
    size_t struct_size;
    int64_t in_use;   /* bytes of tensors; files that are mapped do not count */
    int64_t peak;     /* the most so far, or since sn_reset_peak */
    int64_t reserved; /* what the allocator has of the system */
} sn_memory_stats;
SN_API sn_status sn_memory(sn_memory_stats* stats);
SN_API void sn_reset_peak(void);

#ifdef __cplusplus
}
#endif
