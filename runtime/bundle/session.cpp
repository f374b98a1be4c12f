// Calls of a bundle: a plan that was made ahead of time, run by the core's executor
// (core/plan/run.h) on the caller's buffers.
#include <algorithm>
#include <mutex>

#include "../status.h"
#include "bundle.h"
#include "engine/pool.h"
#include "plan/run.h"
#include "runtime/model.h"
#include "thaw.h"

struct sn_bundle_session {
    std::mutex lock;
    uint64_t seed = 0, draws = 0;
    std::vector<sn::BufferRef> stand;  // parameters and constants; updates replace them
    sn::RunState state;
    // By variant and plan buffer: memory of results, used again by the next call.
    std::vector<std::vector<sn::BufferRef>> kept;
};

namespace {

using namespace sn;

thread_local std::string last_error;  // NOLINT: destroyed with its thread

template <class Body>
int32_t guarded(Body&& body) noexcept {
    return status_of(&last_error, body, [](Error&) {});
}

void require(const void* pointer, const char* op, const char* what) {
    if (!pointer) fail(ErrorKind::kValue, op, "%s is NULL; a pointer is required", what);
}

size_t bytes_of(DimSpan shape, DType dtype) {
    return static_cast<size_t>(numel(shape)) * dtype_size(dtype);
}

BufferRef lent(const void* data, size_t bytes) {
    return Buffer::borrow(const_cast<void*>(data), bytes, nullptr, [](void*) {}, false);
}

// Parameters and constants as they are in the program. Sessions share them, and with them what
// kernels keep of them (packed weights).
const std::vector<BufferRef>& stand_of_all() {
    static const auto* made = [] {
        const FrozenModel& m = thawed();
        auto* list = new std::vector<BufferRef>;  // never destroyed, as the model
        for (size_t i = 0; i < m.stand_names.size(); ++i)
            list->push_back(
                lent(sn_bundle_data + m.stand_offset[i], static_cast<size_t>(m.stand_bytes[i])));
        return list;
    }();
    return *made;
}

const FrozenVariant& find_variant(const FrozenModel& m, const int64_t* sizes, size_t* which) {
    std::string known;
    for (size_t i = 0; i < m.variants.size(); ++i) {
        const std::vector<int64_t>& own = m.variants[i].sizes;
        *which = i;
        if (std::equal(own.begin(), own.end(), sizes)) return m.variants[i];
        for (size_t k = 0; k < own.size(); ++k)
            known += (k               ? ", "
                      : known.empty() ? ""
                                      : "; ") +
                     m.size_names[k] + "=" + std::to_string(own[k]);
    }
    std::string given;
    for (size_t k = 0; k < m.size_names.size(); ++k)
        given += (k ? ", " : "") + m.size_names[k] + "=" + std::to_string(sizes[k]);
    fail(ErrorKind::kShape, "bundle_run",
         "the sizes are %s; the bundle was made for %s: bundle the model again for others",
         given.c_str(), known.c_str());
}

// The caller's memory; a copy where elements do not lie at multiples of their size.
BufferRef argument(const void* data, DimSpan shape, DType dtype, const char* name) {
    const size_t bytes = bytes_of(shape, dtype);
    if (bytes && !data)
        fail(ErrorKind::kValue, "bundle_run", "'%s' is NULL; a pointer is required", name);
    if (dtype == DType::kBool) {
        const auto* p = static_cast<const unsigned char*>(data);
        if (std::any_of(p, p + bytes, [](unsigned char b) { return b > 1; }))
            fail(ErrorKind::kValue, "bundle_run",
                 "'%s' is bool and has bytes other than 0 and 1; both are required", name);
    }
    if (reinterpret_cast<size_t>(data) % dtype_size(dtype) == 0) return lent(data, bytes);
    BufferRef copy = Buffer::allocate(device_allocator(Device{}), bytes);
    std::memcpy(copy->data(), data, bytes);
    return copy;
}

std::vector<Scalar> numbers_of(const FrozenVariant& v, const sn_bundle_session& s) {
    std::vector<Scalar> numbers;
    for (const ScalarSource& source : v.plan.scalars) {
        if (source.slot < 0) {
            numbers.push_back(source.constant);
            continue;
        }
        const FrozenVariant::Number& n = v.numbers[static_cast<size_t>(source.slot)];
        switch (static_cast<NumberRole>(n.role)) {
            case NumberRole::kSeed:
                numbers.push_back(Scalar::of_int(static_cast<int64_t>(s.seed)));
                break;
            case NumberRole::kDraw:
                numbers.push_back(Scalar::of_int(static_cast<int64_t>(s.draws) + n.value.i));
                break;
            case NumberRole::kConstant:
            case NumberRole::kSize: numbers.push_back(n.value); break;
        }
    }
    return numbers;
}

void run(sn_bundle_session& s, const int64_t* sizes, const void* const* inputs,
         void* const* outputs) {
    const FrozenModel& m = thawed();
    size_t which = 0;
    const FrozenVariant& v = find_variant(m, sizes, &which);
    const Plan& plan = v.plan;
    std::vector<BufferRef>& kept = s.kept[which];
    WindowRun call;
    call.plan = std::shared_ptr<const Plan>(std::shared_ptr<void>(), &plan);  // the model's
    call.scalars = numbers_of(v, s);
    for (size_t i = 0; i < m.argument_names.size(); ++i)
        call.inputs.push_back(argument(inputs[i], v.argument_shapes[i], m.argument_dtypes[i],
                                       m.argument_names[i].c_str()));
    call.inputs.insert(call.inputs.end(), s.stand.begin(), s.stand.end());
    call.input_offsets.assign(call.inputs.size(), 0);
    for (const PlanOutput& out : plan.outputs) {
        const PlanBuffer& b = plan.buffers[out.slot.buffer];
        if (b.kind == BufferKind::kInput) {
            call.outputs.push_back(call.inputs[b.index]);
            continue;
        }
        BufferRef& buffer = kept[out.slot.buffer];
        if (!buffer) buffer = Buffer::allocate(device_allocator(Device{}), b.bytes);
        call.outputs.push_back(buffer);
    }
    const FloatScope float_scope;
    call.execute(s.state, nullptr);
    if (call.failure) std::rethrow_exception(call.failure);
    const auto source = [&](size_t k) {
        return static_cast<const char*>(call.outputs[k]->data()) +
               slot_offset(plan.outputs[k].slot, call.scalars);
    };
    const auto copy_result = [&](size_t k, void* to) {
        const DimSpan shape = v.result_shapes[k];
        const size_t size = dtype_size(m.result_dtypes[k]);
        const Dims strides = contiguous_strides(shape);
        if (plan.outputs[k].strides == strides) {
            std::memmove(to, source(k), static_cast<size_t>(numel(shape)) * size);
        } else {
            copy_elements(static_cast<char*>(to), strides, source(k), plan.outputs[k].strides,
                          shape, size);
        }
    };
    const size_t results = m.result_names.size();
    for (size_t k = 0; k < results; ++k)
        if (numel(v.result_shapes[k])) copy_result(k, outputs[k]);
    // New values of parameters come last, when nobody reads the old ones any more.
    std::vector<BufferRef> fresh;
    for (size_t u = 0; u < m.updates.size(); ++u) {
        const size_t k = results + u;
        const PlanOutput& out = plan.outputs[k];
        const size_t bytes = bytes_of(v.result_shapes[k], m.result_dtypes[k]);
        BufferRef& own = kept[out.slot.buffer];
        if (own && own->bytes() == bytes && out.strides == contiguous_strides(v.result_shapes[k]) &&
            std::ranges::count(call.outputs, own) == 1) {
            fresh.push_back(std::move(own));
            own = BufferRef();
            continue;
        }
        fresh.push_back(Buffer::allocate(device_allocator(Device{}), bytes));
        if (bytes) copy_result(k, fresh.back()->data());
    }
    for (size_t u = 0; u < m.updates.size(); ++u) s.stand[m.updates[u]] = std::move(fresh[u]);
    s.draws += static_cast<uint64_t>(m.draws);
}

size_t find_stand(const char* name, size_t bytes, const void* values, const char* op) {
    require(name, op, "name");
    require(values, op, "values");
    const FrozenModel& m = thawed();
    std::string known;
    for (size_t i = 0; i < m.stand_names.size(); ++i) {
        if (m.stand_names[i] == name) {
            if (bytes == static_cast<size_t>(m.stand_bytes[i])) return i;
            fail(ErrorKind::kValue, op, "'%s' takes %lld bytes; %zu are given", name,
                 static_cast<long long>(m.stand_bytes[i]), bytes);
        }
        if (i < 20) known += (i ? ", '" : "'") + m.stand_names[i] + "'";
    }
    fail(ErrorKind::kValue, op, "there is no parameter '%.100s'; there are %s", name,
         known.empty() ? "none" : known.c_str());
}

}  // namespace

extern "C" {

int32_t sn_bundle_open(uint64_t seed, sn_bundle_session** session) {
    if (session) *session = nullptr;
    return guarded([&] {
        require(session, "bundle_open", "session");
        const FrozenModel& m = thawed();
        auto made = std::make_unique<sn_bundle_session>();
        made->seed = seed;
        made->stand = stand_of_all();
        for (const FrozenVariant& v : m.variants) made->kept.emplace_back(v.plan.buffers.size());
        *session = made.release();
    });
}

void sn_bundle_close(sn_bundle_session* session) { delete session; }

int32_t sn_bundle_run(sn_bundle_session* session, const int64_t* sizes, const void* const* inputs,
                      void* const* outputs) {
    return guarded([&] {
        require(session, "bundle_run", "session");
        const FrozenModel& m = thawed();
        for (size_t k = 0; k < m.result_names.size(); ++k)
            require(outputs[k], "bundle_run", ("'" + m.result_names[k] + "'").c_str());
        const std::lock_guard mine(session->lock);
        run(*session, sizes, inputs, outputs);
    });
}

int32_t sn_bundle_get(sn_bundle_session* session, const char* name, void* values, size_t bytes) {
    return guarded([&] {
        require(session, "bundle_get", "session");
        const size_t i = find_stand(name, bytes, values, "bundle_get");
        const std::lock_guard mine(session->lock);
        if (bytes) std::memcpy(values, session->stand[i]->data(), bytes);
    });
}

int32_t sn_bundle_set(sn_bundle_session* session, const char* name, const void* values,
                      size_t bytes) {
    return guarded([&] {
        require(session, "bundle_set", "session");
        const size_t i = find_stand(name, bytes, values, "bundle_set");
        // A buffer of its own: others show the program's, and kernels keep forms of a former value.
        BufferRef fresh = Buffer::allocate(device_allocator(Device{}), bytes);
        if (bytes) std::memcpy(fresh->data(), values, bytes);
        const std::lock_guard mine(session->lock);
        session->stand[i] = std::move(fresh);
    });
}

int32_t sn_bundle_set_generator(sn_bundle_session* session, uint64_t seed, uint64_t draws) {
    return guarded([&] {
        require(session, "bundle_set_generator", "session");
        const std::lock_guard mine(session->lock);
        session->seed = seed;
        session->draws = draws;
    });
}

int32_t sn_bundle_set_threads(int32_t count) {
    return guarded([&] { set_pool_threads(count); });
}

const char* sn_bundle_error(void) { return last_error.c_str(); }

}  // extern "C"
