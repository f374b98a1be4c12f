// Sennit's C interface for C++17: owning handles, vectors, exceptions. Header only, so that the
// library's stable interface stays the C one. See docs/runtime.md.
//
//     sennit::Session session(sennit::Model("model.sn"));
//     sennit::Array x({1, 28, 28}, std::vector<float>(784));
//     std::vector<float> y = session.run({x})[0].to_vector<float>();
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sennit/sennit.h"

namespace sennit {

class Error : public std::runtime_error {
public:
    Error(sn_status status, const std::string& text) : std::runtime_error(text), status_(status) {}
    sn_status status() const { return status_; }

private:
    sn_status status_;
};

inline void check(sn_status status) {
    if (status != SN_OK) throw Error(status, sn_last_error());
}

// The dtype of a C++ type; halves have none in C++17 and are passed as bytes.
template <class T>
struct DTypeOf;
#define SENNIT_DTYPE(type, value)                \
    template <>                                  \
    struct DTypeOf<type> {                       \
        static constexpr sn_dtype dtype = value; \
    };
SENNIT_DTYPE(bool, SN_BOOL)
SENNIT_DTYPE(int8_t, SN_INT8)
SENNIT_DTYPE(int16_t, SN_INT16)
SENNIT_DTYPE(int32_t, SN_INT32)
SENNIT_DTYPE(int64_t, SN_INT64)
SENNIT_DTYPE(uint8_t, SN_UINT8)
SENNIT_DTYPE(uint16_t, SN_UINT16)
SENNIT_DTYPE(uint32_t, SN_UINT32)
SENNIT_DTYPE(uint64_t, SN_UINT64)
SENNIT_DTYPE(float, SN_FLOAT32)
SENNIT_DTYPE(double, SN_FLOAT64)
#undef SENNIT_DTYPE

using Shape = std::vector<int64_t>;

// A shape and elements in row-major order: owned, or a view of somebody else's memory.
class Array {
public:
    Array() = default;
    // A view; the memory must outlive it.
    template <class T>
    static Array view(T* data, const Shape& shape) {
        return view(const_cast<typename std::remove_const<T>::type*>(data), shape,
                    DTypeOf<typename std::remove_const<T>::type>::dtype);
    }
    static Array view(void* data, const Shape& shape, sn_dtype dtype) {
        Array a;
        a.describe(shape, dtype);
        a.tensor_.data = data;
        return a;
    }
    // Zeros.
    Array(const Shape& shape, sn_dtype dtype) {
        describe(shape, dtype);
        own_ = std::make_shared<std::vector<unsigned char>>(tensor_.bytes);
        tensor_.data = own_->data();
    }
    // A copy of these elements.
    template <class T>
    Array(const Shape& shape, const std::vector<T>& elements) : Array(shape, DTypeOf<T>::dtype) {
        if (elements.size() * sizeof(T) != tensor_.bytes)
            throw std::invalid_argument("sennit::Array: " + std::to_string(elements.size()) +
                                        " elements do not fill the shape");
        for (size_t i = 0; i < elements.size(); ++i) {
            const T element = elements[i];  // vector<bool> has no array of bool
            std::memcpy(static_cast<unsigned char*>(tensor_.data) + i * sizeof(T), &element,
                        sizeof(T));
        }
    }

    Shape shape() const { return Shape(tensor_.shape, tensor_.shape + tensor_.rank); }
    sn_dtype dtype() const { return tensor_.dtype; }
    size_t bytes() const { return tensor_.bytes; }
    size_t size() const {
        const size_t each = sn_dtype_size(tensor_.dtype);
        return each ? tensor_.bytes / each : 0;
    }
    template <class T>
    T* data() const {
        if (tensor_.dtype != DTypeOf<T>::dtype)
            throw std::invalid_argument(std::string("sennit::Array: elements are ") +
                                        sn_dtype_name(tensor_.dtype) + ", asked for as " +
                                        sn_dtype_name(DTypeOf<T>::dtype));
        return static_cast<T*>(tensor_.data);
    }
    void* raw() const { return tensor_.data; }
    template <class T>
    std::vector<T> to_vector() const {
        const T* p = data<T>();
        return std::vector<T>(p, p + size());
    }
    const sn_tensor& tensor() const { return tensor_; }

private:
    friend class Session;
    void describe(const Shape& shape, sn_dtype dtype) {
        if (shape.size() > SN_MAX_RANK) throw std::invalid_argument("sennit::Array: rank above 32");
        tensor_.dtype = dtype;
        tensor_.rank = static_cast<int32_t>(shape.size());
        tensor_.bytes = sn_dtype_size(dtype);
        for (size_t i = 0; i < shape.size(); ++i) {
            if (shape[i] < 0) throw std::invalid_argument("sennit::Array: a negative size");
            tensor_.shape[i] = shape[i];
            tensor_.bytes *= static_cast<size_t>(shape[i]);
        }
        capacity_ = tensor_.bytes;
    }
    sn_tensor tensor_{};
    size_t capacity_ = 0;  // bytes of the memory, of which a result may take less
    bool kept_ = false;    // the memory is a session's
    std::shared_ptr<std::vector<unsigned char>> own_;
};

struct Value {  // what a model takes or gives
    std::string name;
    sn_dtype dtype = SN_FLOAT32;
    Shape shape;                         // -1: open
    std::vector<std::string> dim_names;  // empty texts for sizes that are fixed
};

class Model {
public:
    explicit Model(const std::string& path, uint32_t flags = 0) {
        const sn_load_options options{sizeof(sn_load_options), flags};
        sn_model* made = nullptr;
        check(sn_model_load(path.c_str(), &options, &made));
        model_.reset(made, sn_model_free);
    }
    static Model from_memory(const void* data, size_t bytes, uint32_t flags = 0) {
        const sn_load_options options{sizeof(sn_load_options), flags};
        sn_model* made = nullptr;
        check(sn_model_load_memory(data, bytes, &options, &made));
        Model m;
        m.model_.reset(made, sn_model_free);
        return m;
    }

    std::string name() const { return sn_model_name(get()); }
    std::vector<Value> inputs() const {
        return values(sn_model_input_count(get()), sn_model_input);
    }
    std::vector<Value> outputs() const {
        return values(sn_model_output_count(get()), sn_model_output);
    }
    std::vector<Value> parameters() const {
        return values(sn_model_parameter_count(get()), sn_model_parameter);
    }
    size_t input(const std::string& name) const {
        size_t index = 0;
        check(sn_model_find_input(get(), name.c_str(), &index));
        return index;
    }
    size_t output(const std::string& name) const {
        size_t index = 0;
        check(sn_model_find_output(get(), name.c_str(), &index));
        return index;
    }
    std::string metadata(const std::string& key) const {  // empty when there is none
        const char* text = sn_model_metadata(get(), key.c_str());
        return text ? text : "";
    }
    const sn_model* get() const { return model_.get(); }

private:
    Model() = default;
    std::vector<Value> values(size_t count,
                              sn_status (*ask)(const sn_model*, size_t, sn_value_info*)) const {
        std::vector<Value> made;
        for (size_t i = 0; i < count; ++i) {
            sn_value_info info{};
            info.struct_size = sizeof info;
            check(ask(get(), i, &info));
            Value v;
            v.name = info.name;
            v.dtype = info.dtype;
            v.shape.assign(info.shape, info.shape + info.rank);
            for (int32_t d = 0; d < info.rank; ++d)
                v.dim_names.emplace_back(info.dim_names[d] ? info.dim_names[d] : "");
            made.push_back(std::move(v));
        }
        return made;
    }
    std::shared_ptr<sn_model> model_;
};

class Session {
public:
    explicit Session(const Model& model, uint64_t seed = 0) {
        const sn_session_options options{sizeof(sn_session_options), seed, nullptr, 0};
        sn_session* made = nullptr;
        check(sn_session_create(model.get(), &options, &made));
        session_.reset(made);
        outputs_ = sn_model_output_count(model.get());
    }

    void seed(uint64_t value, uint64_t draws = 0) {
        check(sn_session_set_generator(session_.get(), value, draws));
    }
    // The model with the parameters that a step of training has made.
    void save(const std::string& path) { check(sn_session_save(session_.get(), path.c_str())); }
    // A copy of a parameter's present value.
    Array parameter(size_t index) {
        sn_tensor t{};
        check(sn_session_parameter(session_.get(), index, &t));
        Array own(Shape(t.shape, t.shape + t.rank), t.dtype);
        if (t.bytes) std::memcpy(own.raw(), t.data, t.bytes);
        return own;
    }

    // Results that own their memory.
    std::vector<Array> run(const std::vector<Array>& inputs) {
        std::vector<Array> results;
        for (const Array& view : run_views(inputs)) {
            Array own(view.shape(), view.dtype());
            if (view.bytes()) std::memcpy(own.raw(), view.raw(), view.bytes());
            results.push_back(std::move(own));
        }
        return results;
    }
    // Results that show the session's memory, until it runs again.
    std::vector<Array> run_views(const std::vector<Array>& inputs) {
        std::vector<Array> results(outputs_);
        run_into(inputs, results);
        return results;
    }
    // Into the memory of `outputs`, which must be large enough; they get shape and dtype. Arrays
    // without memory (Array()) get a view, as from run_views.
    void run_into(const std::vector<Array>& inputs, std::vector<Array>& outputs) {
        const std::vector<sn_tensor> given = tensors(inputs);
        std::vector<sn_tensor> made(outputs.size());
        for (size_t k = 0; k < made.size(); ++k) {
            if (outputs[k].kept_) continue;  // the session's memory is anew each time
            made[k].data = outputs[k].tensor_.data;
            made[k].bytes = outputs[k].capacity_;
        }
        check(sn_run(session_.get(), given.data(), given.size(), made.data(), made.size()));
        for (size_t k = 0; k < made.size(); ++k) {
            outputs[k].kept_ = outputs[k].kept_ || !outputs[k].tensor_.data;
            outputs[k].tensor_ = made[k];
        }
    }
    sn_session* get() const { return session_.get(); }

private:
    static std::vector<sn_tensor> tensors(const std::vector<Array>& arrays) {
        std::vector<sn_tensor> made;
        for (const Array& a : arrays) made.push_back(a.tensor());
        return made;
    }
    struct Free {
        void operator()(sn_session* s) const { sn_session_free(s); }
    };
    std::unique_ptr<sn_session, Free> session_;
    size_t outputs_ = 0;
};

inline void set_threads(int count) { check(sn_set_threads(count)); }
inline void set_loop_limit(int64_t steps) { check(sn_set_loop_limit(steps)); }
inline int threads() { return sn_threads(); }

}  // namespace sennit
