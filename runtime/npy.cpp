#include "npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/error.h"

namespace sn {

namespace {

struct NpyName {
    const char* name;
    DType dtype;
};
constexpr NpyName kNames[] = {{"|b1", DType::kBool}, {"|i1", DType::kI8},   {"<i2", DType::kI16},
                              {"<i4", DType::kI32},  {"<i8", DType::kI64},  {"|u1", DType::kU8},
                              {"<u2", DType::kU16},  {"<u4", DType::kU32},  {"<u8", DType::kU64},
                              {"<f2", DType::kF16},  {"<f4", DType::kF32},  {"<f8", DType::kF64},
                              {"<c8", DType::kC64},  {"<c16", DType::kC128}};

// The header: a Python dict of just descr, fortran_order and shape, as NumPy writes it.
class Header {
public:
    Header(std::string_view text, const std::string& path) : rest_(text), path_(path) {}

    void read(NpyArray& to, bool* fortran, DType wanted) {
        bool has[3] = {};
        take('{');
        while (!at('}')) {
            const std::string_view key = string();
            take(':');
            if (key == "descr" && !has[0]) {
                has[0] = true;
                to.dtype = dtype(string(), wanted);
            } else if (key == "fortran_order" && !has[1]) {
                has[1] = true;
                *fortran = boolean();
            } else if (key == "shape" && !has[2]) {
                has[2] = true;
                shape(to.shape);
            } else {
                bad("its header has the key '" + std::string(key.substr(0, 40)) + "'");
            }
            if (!at('}')) take(',');
        }
        take('}');
        skip();
        if (!rest_.empty() || !has[0] || !has[1] || !has[2])
            bad("its header is not just descr, fortran_order and shape");
    }

    [[noreturn]] void bad(const std::string& what) const {
        fail(ErrorKind::kFile, "read", "%s: %s; write it again with numpy.save", path_.c_str(),
             what.c_str());
    }

private:
    void skip() {
        while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n')) rest_.remove_prefix(1);
    }
    bool at(char c) {
        skip();
        return !rest_.empty() && rest_[0] == c;
    }
    void take(char c) {
        if (!at(c)) bad(std::string("its header is damaged: '") + c + "' is missing");
        rest_.remove_prefix(1);
    }
    std::string_view string() {
        const char quote = at('"') ? '"' : '\'';
        take(quote);
        const size_t end = rest_.find(quote);
        if (end == std::string_view::npos) bad("its header is damaged: a text does not end");
        const std::string_view text = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return text;
    }
    bool boolean() {
        skip();
        for (const std::string_view word : {"True", "False"}) {
            if (!rest_.starts_with(word)) continue;
            rest_.remove_prefix(word.size());
            return word == "True";
        }
        bad("its header is damaged: fortran_order is neither True nor False");
    }
    DType dtype(std::string_view name, DType wanted) const {
        if (wanted == DType::kBF16 && (name == "<u2" || name == "|V2")) return wanted;
        for (const NpyName& n : kNames)
            if (name == n.name) return n.dtype;
        bad("its elements are '" + std::string(name.substr(0, 40)) +
            "'; numbers and bools in the order of bytes of this machine are required");
    }
    void shape(Dims& to) {
        take('(');
        while (!at(')')) {
            int64_t n = 0;
            const auto done = std::from_chars(rest_.data(), rest_.data() + rest_.size(), n);
            if (done.ec != std::errc() || n < 0 || to.size() == kMaxRank)
                bad("its shape is damaged or has more than 32 sizes");
            rest_.remove_prefix(static_cast<size_t>(done.ptr - rest_.data()));
            to.push_back(n);
            if (!at(')')) take(',');
        }
        take(')');
    }

    std::string_view rest_;
    const std::string& path_;
};

// Columns first to rows first.
std::vector<std::byte> row_major(const std::vector<std::byte>& from, DimSpan shape, size_t size) {
    std::vector<std::byte> to(from.size());
    Dims index(shape.size(), 0), strides(shape.size(), 0);
    int64_t stride = 1;
    for (size_t d = 0; d < shape.size(); ++d) {
        strides[d] = stride;
        stride *= shape[d];
    }
    int64_t at = 0;
    for (int64_t i = 0; i < stride; ++i) {
        std::memcpy(to.data() + static_cast<size_t>(i) * size,
                    from.data() + static_cast<size_t>(at) * size, size);
        for (size_t d = shape.size(); d-- > 0;) {
            at += strides[d];
            if (++index[d] < shape[d]) break;
            at -= strides[d] * shape[d];
            index[d] = 0;
        }
    }
    return to;
}

}  // namespace

NpyArray read_npy(const std::string& path, DType wanted) {
    const std::shared_ptr<const FileBytes> file = FileBytes::open(path, true, "read");
    const auto bytes = file->bytes();
    const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
    Header none({}, path);
    if (bytes.size() < 10 || std::memcmp(p, "\x93NUMPY", 6) != 0) none.bad("it is no .npy file");
    const int version = p[6];
    if (version < 1 || version > 3)
        none.bad("it has version " + std::to_string(version) + " of the format; 1 to 3 are known");
    size_t start = 10, length = p[8] | size_t{p[9]} << 8;
    if (version > 1) {
        if (bytes.size() < 12) none.bad("it ends in its header");
        length |= size_t{p[10]} << 16 | size_t{p[11]} << 24;
        start = 12;
    }
    if (length > bytes.size() - start) none.bad("it ends in its header");
    NpyArray made;
    bool fortran = false;
    Header header({reinterpret_cast<const char*>(p) + start, length}, path);
    header.read(made, &fortran, wanted);
    uint64_t needed = dtype_size(made.dtype);
    bool overflow = false;
    for (const int64_t n : made.shape)
        overflow |= __builtin_mul_overflow(needed, static_cast<uint64_t>(n), &needed);
    const auto data = bytes.subspan(start + length);
    if (overflow || needed != data.size())
        header.bad("it has " + std::to_string(data.size()) + " bytes of elements; its shape " +
                   format_shape(made.shape) + " does not take as many");
    made.data.assign(data.begin(), data.end());
    if (fortran && made.shape.size() > 1)
        made.data = row_major(made.data, made.shape, dtype_size(made.dtype));
    return made;
}

void write_npy(const std::string& path, DType dtype, DimSpan shape, const void* data) {
    std::vector<float> wide;
    auto bytes = static_cast<size_t>(numel(shape)) * dtype_size(dtype);
    if (dtype == DType::kBF16) {
        const auto* p = static_cast<const uint16_t*>(data);
        for (int64_t i = 0; i < numel(shape); ++i) wide.push_back(bf16_to_f32(p[i]));
        data = wide.data();
        bytes = wide.size() * sizeof(float);
        dtype = DType::kF32;
    }
    const auto* name = std::ranges::find(kNames, dtype, &NpyName::dtype);
    std::string head =
        std::string("{'descr': '") + name->name + "', 'fortran_order': False, 'shape': (";
    for (const int64_t n : shape) head += std::to_string(n) + ", ";
    if (shape.size() > 1) head.resize(head.size() - 2);
    if (shape.size() == 1) head.pop_back();
    head += "), }";
    head.append(63 - (10 + head.size()) % 64, ' ');
    head += '\n';
    std::string file = "\x93NUMPY";
    file += '\x01';
    file += '\0';
    file += static_cast<char>(head.size() & 0xff);
    file += static_cast<char>(head.size() >> 8);
    file += head;
    if (bytes) file.append(static_cast<const char*>(data), bytes);
    write_file(path, std::as_bytes(std::span(file)), "write");
}

}  // namespace sn
