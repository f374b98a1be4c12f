#include "backend/cuda/library_product.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include "backend/cuda/device.h"
#include "base/buffer.h"
#include "base/error.h"

namespace sn::cuda {

namespace {

std::atomic<int64_t> computed{0}, refused{0};

// Numbers of the library's interface.
constexpr int kTransposeA = 3, kTransposeB = 4;                           // of a product
constexpr int kBatchCount = 5, kBatchStride = 6;                          // of a layout
constexpr int kMaxWorkspace = 1, kReductionSchemes = 3, kAlignmentA = 5;  // of a preference
// Sums of parts of k are kept in f32 and added by a further kernel; the other schemes add in the
// result's dtype.
constexpr uint32_t kAddInComputeType = 2;
constexpr uint64_t kWorkspaceBytes = uint64_t{32} << 20;
constexpr size_t kMostPlans = 4096;

int data_type(DType dtype) { return dtype == DType::kF16 ? 2 : dtype == DType::kBF16 ? 14 : 0; }
int compute_type(DType factors, MatmulPrecision precision) {
    if (factors != DType::kF32) return 68;  // f32
    return precision == MatmulPrecision::kHigh ? 77 : 75;
}

// A matrix as the library sees it: columns at a distance of `ld`, each dense; or the transpose of
// such a one.
struct Matrix {
    int64_t rows, columns, ld;
    bool transposed;
};
// False: neither rows nor columns are dense, or they overlap.
bool find_layout(int64_t rows, int64_t columns, int64_t row, int64_t column, Matrix* m) {
    if (row == 1 || rows == 1) {
        const int64_t ld = columns == 1 ? rows : column;
        if (ld >= rows) {
            *m = {rows, columns, ld, false};
            return true;
        }
    }
    if (column == 1 || columns == 1) {
        const int64_t ld = rows == 1 ? columns : row;
        if (ld >= columns) {
            *m = {columns, rows, ld, true};
            return true;
        }
    }
    return false;
}

// The library's words for one form of product, and the algorithm that it chose. All of one key
// share it.
struct LibraryPlan {
    BlasMatmul matmul = nullptr;
    BlasLayout a = nullptr, b = nullptr, c = nullptr;
    BlasHeuristic chosen{};
    bool usable = false;

    LibraryPlan() = default;
    LibraryPlan(const LibraryPlan&) = delete;
    LibraryPlan& operator=(const LibraryPlan&) = delete;
    ~LibraryPlan() {
        if (matmul) blas().destroy_matmul(matmul);
        for (BlasLayout layout : {a, b, c})
            if (layout) blas().destroy_layout(layout);
    }
};

// What an algorithm depends on. Of addresses only how they are aligned, up to 16 bytes, so that
// where memory happens to lie chooses nothing.
struct Form {
    Matrix a, b, c;  // c is dense in columns
    int64_t batch;
    std::array<int64_t, 3> steps;  // from one matrix of a stack to the next
    std::array<uint32_t, 3> aligned;
    DType factors, result;
    int compute;
    uint64_t workspace;  // at most

    using Key = std::array<int64_t, 21>;
    Key key(int device) const {
        return {a.rows,
                a.columns,
                a.ld,
                a.transposed,
                b.rows,
                b.columns,
                b.ld,
                b.transposed,
                c.rows,
                c.columns,
                c.ld,
                batch,
                steps[0],
                steps[1],
                steps[2],
                aligned[0] | aligned[1] << 8 | aligned[2] << 16,
                static_cast<int64_t>(factors),
                static_cast<int64_t>(result),
                compute,
                static_cast<int64_t>(workspace),
                device};
    }
};

BlasLayout make_layout(const Matrix& m, DType dtype, int64_t batch, int64_t step) {
    const Blas& lib = blas();
    BlasLayout layout = nullptr;
    if (lib.create_layout(&layout, data_type(dtype), static_cast<uint64_t>(m.rows),
                          static_cast<uint64_t>(m.columns), m.ld) != 0)
        return nullptr;
    const auto count = static_cast<int32_t>(batch);
    if (batch > 1 && (lib.set_layout(layout, kBatchCount, &count, sizeof count) != 0 ||
                      lib.set_layout(layout, kBatchStride, &step, sizeof step) != 0)) {
        lib.destroy_layout(layout);
        return nullptr;
    }
    return layout;
}

bool choose_algorithm(BlasHandle handle, const Form& form, LibraryPlan& plan) {
    const Blas& lib = blas();
    BlasPreference preference = nullptr;
    if (lib.create_preference(&preference) != 0) return false;
    bool set = lib.set_preference(preference, kMaxWorkspace, &form.workspace,
                                  sizeof form.workspace) == 0 &&
               lib.set_preference(preference, kReductionSchemes, &kAddInComputeType,
                                  sizeof kAddInComputeType) == 0;
    // Of a, b, c and d, where d is c.
    for (int i = 0; i < 4; ++i)
        set = set && lib.set_preference(preference, kAlignmentA + i,
                                        &form.aligned[static_cast<size_t>(std::min(i, 2))],
                                        sizeof(uint32_t)) == 0;
    int count = 0;
    const bool found = set &&
                       lib.find_algorithm(handle, plan.matmul, plan.a, plan.b, plan.c, plan.c,
                                          preference, 1, &plan.chosen, &count) == 0 &&
                       count > 0 && plan.chosen.state == 0 &&
                       plan.chosen.workspace_bytes <= form.workspace;
    lib.destroy_preference(preference);
    return found;
}

std::shared_ptr<LibraryPlan> make_plan(BlasHandle handle, const Form& form) {
    const Blas& lib = blas();
    auto plan = std::make_shared<LibraryPlan>();
    if (lib.create_matmul(&plan->matmul, form.compute, data_type(DType::kF32)) != 0) {
        plan->matmul = nullptr;
        return plan;
    }
    const int32_t turns[2] = {form.a.transposed, form.b.transposed};
    if (lib.set_matmul(plan->matmul, kTransposeA, &turns[0], sizeof turns[0]) != 0 ||
        lib.set_matmul(plan->matmul, kTransposeB, &turns[1], sizeof turns[1]) != 0)
        return plan;
    plan->a = make_layout(form.a, form.factors, form.batch, form.steps[0]);
    plan->b = make_layout(form.b, form.factors, form.batch, form.steps[1]);
    plan->c = make_layout(form.c, form.result, form.batch, form.steps[2]);
    plan->usable = plan->a && plan->b && plan->c && choose_algorithm(handle, form, *plan);
    return plan;
}

// Of one device.
struct Handle {
    BlasHandle handle = nullptr;
    bool tried = false;
};

struct State {
    std::mutex lock;
    Handle handles[kMaxDevices];
    std::map<Form::Key, std::shared_ptr<LibraryPlan>> plans;
};
State& state() {
    static State* made = new State;  // lives as long as the driver may be called
    return *made;
}

// The handle of a device and the plan of a form; null when the library cannot be had.
std::shared_ptr<LibraryPlan> find_plan(int device, const Form& form, BlasHandle* handle) {
    State& s = state();
    const std::lock_guard guard(s.lock);
    Handle& h = s.handles[device];
    if (!h.tried) {
        h.tried = true;
        if (blas().create(&h.handle) != 0) h.handle = nullptr;
    }
    if (!h.handle) return nullptr;
    *handle = h.handle;
    std::shared_ptr<LibraryPlan>& plan = s.plans[form.key(device)];
    if (plan) return plan;
    if (s.plans.size() > kMostPlans) {
        s.plans.clear();
        return s.plans[form.key(device)] = make_plan(h.handle, form);
    }
    return plan = make_plan(h.handle, form);
}

uint32_t alignment(const void* p, DType dtype, int64_t step) {
    const auto at =
        reinterpret_cast<uintptr_t>(p) | static_cast<uintptr_t>(step) * dtype_size(dtype) | 16;
    return static_cast<uint32_t>(at & (~at + 1));
}

}  // namespace

bool library_multiplies(DType dtype, MatmulPrecision precision) {
    const bool asked = dtype == DType::kF16 || dtype == DType::kBF16 ||
                       (dtype == DType::kF32 && precision != MatmulPrecision::kHighest);
    return asked && blas();
}

bool library_product(int device, const MatmulArgs& args, DType factors, DType result,
                     MatmulPrecision precision) {
    if (!library_multiplies(factors, precision)) return false;
    MatmulArgs g = args;
    Form form{};
    form.factors = factors;
    form.result = result;
    form.compute = compute_type(factors, precision);
    form.batch = g.batch;
    if (g.stacks.rank > 1 || g.k == 0 || g.batch > INT32_MAX) return false;
    for (int i = 0; i < 3; ++i)
        form.steps[static_cast<size_t>(i)] = g.batch > 1 ? g.stacks.strides[i][0] : 0;
    bool fits = find_layout(g.m, g.n, g.c_row, g.c_col, &form.c);
    if (fits && form.c.transposed) {  // c is dense in rows: its transpose is b's times a's
        std::swap(g.a, g.b);
        std::swap(g.m, g.n);
        std::swap(form.steps[0], form.steps[1]);
        const int64_t a_row = g.a_row, a_col = g.a_col;
        g.a_row = g.b_col;
        g.a_col = g.b_row;
        g.b_row = a_col;
        g.b_col = a_row;
        form.c.transposed = false;
    }
    fits = fits && find_layout(g.m, g.k, g.a_row, g.a_col, &form.a) &&
           find_layout(g.k, g.n, g.b_row, g.b_col, &form.b);
    if (!fits) {
        ++refused;
        return false;
    }
    form.aligned = {alignment(g.a, factors, form.steps[0]), alignment(g.b, factors, form.steps[1]),
                    alignment(g.c, result, form.steps[2])};
    const Gpu& at = gpu(device);
    at.use();
    // With room to work in first; without, where the device has none left.
    for (const uint64_t room : {kWorkspaceBytes, uint64_t{0}}) {
        form.workspace = room;
        BlasHandle handle = nullptr;
        const std::shared_ptr<LibraryPlan> plan = find_plan(device, form, &handle);
        if (!plan || !plan->usable) break;
        BufferRef workspace;
        const size_t bytes = plan->chosen.workspace_bytes;
        if (bytes) {
            try {
                workspace = Buffer::allocate(gpu(device).memory, bytes);
            } catch (const Error& error) {
                if (error.kind() != ErrorKind::kMemory) throw;
                continue;
            }
        }
        constexpr float one = 1, zero = 0;
        // The workspace is free again once this is issued: later work comes later.
        if (blas().matmul(handle, plan->matmul, &one, g.a, plan->a, g.b, plan->b, &zero, g.c,
                          plan->c, g.c, plan->c, &plan->chosen.algorithm,
                          workspace ? workspace->data() : nullptr, bytes, at.stream) != 0)
            break;
        ++computed;
        return true;
    }
    ++refused;
    return false;
}

LibraryRuns library_runs() { return {computed, refused}; }

}  // namespace sn::cuda
