#include "backend/cuda/wrap.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/error.h"

namespace sn::cuda {

void register_wrappers(KernelTable& table) {
    register_movement_wrappers(table);
    register_reduce_wrappers(table);
    register_matmul_wrapper(table);
    register_indexing_wrappers(table);
    register_sort_wrappers(table);
    register_random_wrappers(table);
    register_attention_wrappers(table);
    register_recurrent_wrappers(table);
    register_conv_wrappers(table);
    register_pool_wrappers(table);
}

// ---- sources ------------------------------------------------------------------------------------

std::vector<const KernelSource*> declared_kernels() {
    std::vector<const KernelSource*> all;
    for (const KernelSource* k = KernelSource::first_; k; k = k->next_) all.push_back(k);
    return all;
}

struct KernelSource::Known {
    Axes axes;
    size_t variants = 1;
    std::atomic<std::atomic<const Function*>*> functions[kMaxDevices] = {};  // [variant]

    explicit Known(Axes made) : axes(std::move(made)) {
        for (const Axis& axis : axes) variants *= axis.size();
    }
    std::vector<std::string> definitions(size_t variant) const {
        std::vector<std::string> found;
        for (size_t a = axes.size(); a-- > 0; variant /= axes[a].size()) {
            const std::vector<std::string>& mine = axes[a][variant % axes[a].size()].definitions;
            found.insert(found.begin(), mine.begin(), mine.end());
        }
        return found;
    }
};

// Whoever comes first makes something, and it stays; what a second thread made is dropped.
KernelSource::Known& KernelSource::known() const {
    Known* known = known_.load(std::memory_order_acquire);
    if (known) return *known;
    auto made = std::make_unique<Known>(make_axes_());
    if (known_.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel))
        return *made.release();
    return *known;
}

std::vector<std::vector<std::string>> KernelSource::variants() const {
    std::vector<std::vector<std::string>> all;
    for (size_t v = 0; v < known().variants; ++v) all.push_back(known().definitions(v));
    return all;
}

const Function& KernelSource::get(Device device, std::initializer_list<int> codes) const {
    Known& k = known();
    SN_CHECK(codes.size() == k.axes.size() && device.index < kMaxDevices);
    size_t variant = 0;
    const int* code = codes.begin();
    for (const Axis& axis : k.axes) {
        size_t at = 0;
        while (at < axis.size() && axis[at].code != *code) ++at;
        if (at == axis.size()) {
            fail(ErrorKind::kInternal, "cuda",
                 "%s of %s is not declared for code %d; this is a bug in Sennit: please report it",
                 entry_, file_, *code);
        }
        variant = variant * axis.size() + at;
        ++code;
    }
    std::atomic<const Function*>* functions =
        k.functions[device.index].load(std::memory_order_acquire);
    if (!functions) {
        std::unique_ptr<std::atomic<const Function*>[]> made(
            new std::atomic<const Function*>[k.variants]());
        if (k.functions[device.index].compare_exchange_strong(functions, made.get(),
                                                              std::memory_order_acq_rel))
            functions = made.release();
    }
    const Function* found = functions[variant].load(std::memory_order_acquire);
    if (!found) {
        found = &function(device.index, file_, entry_, k.definitions(variant));
        functions[variant].store(found, std::memory_order_release);
    }
    return *found;
}

KernelSource::Axis dtype_axis(const char* name, std::initializer_list<DType> dtypes) {
    constexpr const char* types[] = {"bool",    "int8_t",   "int16_t",  "int32_t",  "int64_t",
                                     "uint8_t", "uint16_t", "uint32_t", "uint64_t", "f16",
                                     "bf16",    "float",    "double"};
    KernelSource::Axis axis;
    for (DType dtype : dtypes) {
        const int code = static_cast<int>(dtype);
        axis.push_back({code, {std::string(name) + "=" + types[code]}});
    }
    return axis;
}
KernelSource::Axis word_axis() {
    return {{1, {"SN_W=uint8_t"}},
            {2, {"SN_W=uint16_t"}},
            {4, {"SN_W=uint32_t"}},
            {8, {"SN_W=uint64_t"}},
            {16, {"SN_W=word128"}}};
}
KernelSource::Axis number_axis(const char* name, std::initializer_list<int> numbers) {
    KernelSource::Axis axis;
    for (int n : numbers) axis.push_back({n, {std::string(name) + "=" + std::to_string(n)}});
    return axis;
}

Grid grid_of_blocks(int64_t count) {
    constexpr int64_t most = int64_t{1} << 20;
    return {static_cast<uint32_t>(std::min(count, most)), 1, 1};
}
Grid grid_of(int64_t count, uint32_t threads) {
    return grid_of_blocks((count + threads - 1) / threads);
}

// ---- operands -----------------------------------------------------------------------------------

namespace {

// Calls f with the number, of the C++ type that holds its dtype.
template <class F>
auto with_number(const TensorView& scalar, F f) {
    SN_CHECK(scalar.on_host);
    const auto read = [&](auto zero) {
        std::memcpy(&zero, scalar.data, sizeof zero);
        return zero;
    };
    switch (scalar.dtype) {
        case DType::kBool:
        case DType::kU8: return f(read(uint8_t()));
        case DType::kU16: return f(read(uint16_t()));
        case DType::kU32: return f(read(uint32_t()));
        case DType::kU64: return f(read(uint64_t()));
        case DType::kI8: return f(read(int8_t()));
        case DType::kI16: return f(read(int16_t()));
        case DType::kI32: return f(read(int32_t()));
        case DType::kI64: return f(read(int64_t()));
        case DType::kF16: return f(f16_to_f32(read(uint16_t())));
        case DType::kBF16: return f(bf16_to_f32(read(uint16_t())));
        case DType::kF64:
        case DType::kC128: return f(read(double()));
        default: return f(read(float()));
    }
}

void write_number(const TensorView& scalar, DType dtype, void* to) {
    const auto put = [&](auto value) { std::memcpy(to, &value, sizeof value); };
    if (is_complex(dtype)) {
        const DType part = real_dtype(dtype);
        TensorView parts[2] = {scalar, scalar};
        for (int k = 0; k < 2; ++k) {
            void* at = static_cast<char*>(to) + static_cast<size_t>(k) * dtype_size(part);
            if (!is_complex(scalar.dtype)) {
                if (k == 0) write_number(scalar, part, at);
                continue;
            }
            parts[k].dtype = real_dtype(scalar.dtype);
            parts[k].data = scalar.as<char>() + static_cast<size_t>(k) * dtype_size(parts[k].dtype);
            write_number(parts[k], part, at);
        }
    } else if (is_int(dtype)) {
        const int64_t value = number_i64(scalar);  // integers wrap
        std::memcpy(to, &value, dtype_size(dtype));
    } else {
        const double value = number_f64(scalar);
        switch (dtype) {
            case DType::kBool: return put(static_cast<uint8_t>(value != 0));
            case DType::kF16: return put(f32_to_f16(static_cast<float>(value)));
            case DType::kBF16: return put(f32_to_bf16(static_cast<float>(value)));
            case DType::kF64: return put(value);
            default: return put(static_cast<float>(value));
        }
    }
}

}  // namespace

double number_f64(const TensorView& scalar) {
    return with_number(scalar, [](auto v) { return static_cast<double>(v); });
}
int64_t number_i64(const TensorView& scalar) {
    return with_number(scalar, [](auto v) { return static_cast<int64_t>(v); });
}
Number number_of(const TensorView& scalar, DType dtype) {
    Number number{};
    if (scalar.on_host) {
        write_number(scalar, dtype, number.bits);
    } else {
        SN_CHECK(scalar.dtype == dtype);
        number.at = scalar.data;
    }
    return number;
}

bool is_contiguous(const TensorView& view) {
    int64_t step = 1;
    for (int d = view.rank; d-- > 0;) {
        if (view.shape[d] != 1 && view.strides[d] != step) return false;
        step *= view.shape[d];
    }
    return true;
}

Dimensions merge_dimensions(std::span<const int64_t> shape,
                            std::initializer_list<const int64_t*> strides, bool reorder) {
    const size_t operands = strides.size();
    Dimensions dims;
    dims.strides.resize(operands);
    std::vector<size_t> order;
    for (size_t d = 0; d < shape.size(); ++d) {
        dims.count *= shape[d];
        if (shape[d] != 1) order.push_back(d);
    }
    if (dims.count == 0) return dims;
    if (reorder) {
        const auto before = [&](size_t a, size_t b) {
            for (const int64_t* steps : strides)
                if (std::abs(steps[a]) != std::abs(steps[b]))
                    return std::abs(steps[a]) > std::abs(steps[b]);
            return false;
        };
        std::stable_sort(order.begin(), order.end(), before);
    }
    for (size_t d : order) {
        bool joins = !dims.shape.empty();
        size_t k = 0;
        for (const int64_t* steps : strides)
            joins = joins && dims.strides[k++].back() == shape[d] * steps[d];
        if (joins) {
            dims.shape.back() *= shape[d];
        } else {
            dims.shape.push_back(shape[d]);
        }
        k = 0;
        for (const int64_t* steps : strides) {
            std::vector<int64_t>& mine = dims.strides[k++];
            if (!joins) mine.push_back(0);
            mine.back() = steps[d];
        }
    }
    return dims;
}

}  // namespace sn::cuda
