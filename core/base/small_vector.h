#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>
#include <span>
#include <type_traits>

namespace sn {

// A vector of trivially copyable elements with inline room for N: shapes, strides and operand lists
// are short, and an allocation each would dominate the cost of recording an operation.
template <class T, int N>
class SmallVec {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    SmallVec() = default;
    SmallVec(std::initializer_list<T> items) { assign(items.begin(), items.size()); }
    explicit SmallVec(std::span<const T> items) { assign(items.data(), items.size()); }
    SmallVec(size_t count, T value) {
        resize(count);
        for (T& x : *this) x = value;
    }
    SmallVec(const SmallVec& other) { assign(other.data(), other.size()); }
    SmallVec(SmallVec&& other) noexcept { steal(other); }
    SmallVec& operator=(const SmallVec& other) {
        if (this != &other) assign(other.data(), other.size());
        return *this;
    }
    SmallVec& operator=(SmallVec&& other) noexcept {
        if (this != &other) {
            if (data_ != inline_) std::free(data_);
            steal(other);
        }
        return *this;
    }
    ~SmallVec() {
        if (data_ != inline_) std::free(data_);
    }

    size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    T* data() { return data_; }
    const T* data() const { return data_; }
    T* begin() { return data_; }
    T* end() { return data_ + size_; }
    const T* begin() const { return data_; }
    const T* end() const { return data_ + size_; }
    T& operator[](size_t i) { return data_[i]; }
    const T& operator[](size_t i) const { return data_[i]; }
    T& back() { return data_[size_ - 1]; }
    const T& back() const { return data_[size_ - 1]; }

    void clear() { size_ = 0; }
    void reserve(size_t count) {
        if (count > capacity_) grow(count);
    }
    void push_back(T value) {
        if (size_ == capacity_) grow(size_ + 1);
        data_[size_++] = value;
    }
    void pop_back() { --size_; }
    // New elements are zero.
    void resize(size_t count) {
        if (count > capacity_) grow(count);
        if (count > size_)
            std::memset(static_cast<void*>(data_ + size_), 0, (count - size_) * sizeof(T));
        size_ = static_cast<uint32_t>(count);
    }
    void insert(size_t at, T value) {
        push_back(value);
        for (size_t i = size_ - 1; i > at; --i) data_[i] = data_[i - 1];
        data_[at] = value;
    }
    void erase(size_t at) {
        for (size_t i = at; i + 1 < size_; ++i) data_[i] = data_[i + 1];
        --size_;
    }
    void assign(const T* items, size_t count) {
        if (count > capacity_) grow(count);
        if (count) std::memmove(static_cast<void*>(data_), items, count * sizeof(T));
        size_ = static_cast<uint32_t>(count);
    }
    operator std::span<const T>() const { return {data_, size_}; }
    operator std::span<T>() { return {data_, size_}; }
    friend bool operator==(const SmallVec& a, const SmallVec& b) {
        if (a.size_ != b.size_) return false;
        for (size_t i = 0; i < a.size_; ++i)
            if (!(a.data_[i] == b.data_[i])) return false;
        return true;
    }

private:
    void grow(size_t need) {
        size_t capacity = capacity_ * 2 > need ? capacity_ * 2 : need;
        T* fresh = static_cast<T*>(std::malloc(capacity * sizeof(T)));
        if (!fresh) throw std::bad_alloc();
        std::memcpy(static_cast<void*>(fresh), data_, size_ * sizeof(T));
        if (data_ != inline_) std::free(data_);
        data_ = fresh;
        capacity_ = static_cast<uint32_t>(capacity);
    }
    void steal(SmallVec& other) {
        if (other.data_ == other.inline_) {
            data_ = inline_;
            capacity_ = N;
            size_ = other.size_;
            std::memcpy(static_cast<void*>(inline_), other.inline_, size_ * sizeof(T));
        } else {
            data_ = other.data_;
            capacity_ = other.capacity_;
            size_ = other.size_;
            other.data_ = other.inline_;
            other.capacity_ = N;
        }
        other.size_ = 0;
    }

    T* data_ = inline_;
    uint32_t size_ = 0;
    uint32_t capacity_ = N;
    T inline_[N];
};

}  // namespace sn
