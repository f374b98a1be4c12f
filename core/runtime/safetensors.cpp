#include "runtime/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/sha256.h"
#include "runtime/json.h"

namespace sn {

static_assert(std::endian::native == std::endian::little, "elements lie little-endian in files");

namespace {

constexpr std::string_view kDigest = "sha256";  // the metadata's key of our checksum
constexpr uint64_t kMaxHeader = 100'000'000;    // bytes; the format's own limit
constexpr size_t kAlign = 64;

struct FormatName {
    std::string_view name;
    DType dtype;
};
constexpr FormatName kNames[] = {{"BOOL", DType::kBool}, {"U8", DType::kU8},   {"I8", DType::kI8},
                                 {"U16", DType::kU16},   {"I16", DType::kI16}, {"F16", DType::kF16},
                                 {"BF16", DType::kBF16}, {"U32", DType::kU32}, {"I32", DType::kI32},
                                 {"F32", DType::kF32},   {"U64", DType::kU64}, {"I64", DType::kI64},
                                 {"F64", DType::kF64},   {"C64", DType::kC64}};

[[noreturn]] void bad(const std::string& problem,
                      const char* advice = "fetch or save the file again") {
    fail(ErrorKind::kFile, "load", "%s; %s", problem.c_str(), advice);
}

std::string quoted(std::string_view name) { return "'" + std::string(name.substr(0, 100)) + "'"; }

// As Python's json writes with ensure_ascii; the text is UTF-8.
void append_ascii(std::string& out, std::string_view text) {
    constexpr const char* kHex = "0123456789abcdef";
    const auto unit = [&](uint32_t code) {
        out += "\\u";
        for (int shift = 12; shift >= 0; shift -= 4) out += kHex[code >> shift & 15];
    };
    out += '"';
    for (size_t i = 0; i < text.size();) {
        const auto byte = [&](size_t k) -> uint32_t {
            return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0;
        };
        const uint32_t c = byte(0);
        if (c < 0x80) {
            constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kEscaped = "\"\\bfnrt";
            if (const size_t at = kPlain.find(static_cast<char>(c)); at != std::string_view::npos) {
                out += '\\';
                out += kEscaped[at];
            } else if (c < 0x20 || c == 0x7f) {
                unit(c);
            } else {
                out += static_cast<char>(c);
            }
            ++i;
        } else if (c < 0xe0) {
            unit((c & 0x1f) << 6 | (byte(1) & 0x3f));
            i += 2;
        } else if (c < 0xf0) {
            unit((c & 0xf) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f));
            i += 3;
        } else {
            const uint32_t code = ((c & 7) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 |
                                   (byte(3) & 0x3f)) -
                                  0x10000;
            unit(0xd800 + (code >> 10));
            unit(0xdc00 + (code & 0x3ff));
            i += 4;
        }
    }
    out += '"';
}

struct Entry {
    StoredTensor tensor;
    std::string_view format;
    uint64_t begin = 0, end = 0;
};

std::string numbers(std::span<const int64_t> list) {
    std::string text;
    for (const int64_t n : list) text += (text.empty() ? "" : ",") + std::to_string(n);
    return text;
}

// The checksum of names, dtypes, shapes, metadata and elements: of the text that Python's json
// makes of [entries, metadata] with sorted keys, and of all bytes of data.
std::string digest(const std::vector<Entry>& entries,
                   const std::map<std::string, std::string>& metadata,
                   std::span<const std::span<const std::byte>> data) {
    std::vector<size_t> order(entries.size());
    std::iota(order.begin(), order.end(), 0);
    // Bytes of UTF-8 stand in the order of code points, which is Python's.
    std::ranges::sort(order, {},
                      [&](size_t i) -> std::string_view { return entries[i].tensor.name; });
    std::string text = "[{";
    for (const size_t i : order) {
        const Entry& e = entries[i];
        if (text.size() > 2) text += ',';
        append_ascii(text, e.tensor.name);
        text += ":{\"data_offsets\":[" + std::to_string(e.begin) + "," + std::to_string(e.end) +
                "],\"dtype\":\"" + std::string(e.format) + "\",\"shape\":[" +
                numbers(e.tensor.shape) + "]}";
    }
    text += "},{";
    bool first = true;
    for (const auto& [key, value] : metadata) {
        if (!first) text += ',';
        first = false;
        append_ascii(text, key);
        text += ':';
        append_ascii(text, value);
    }
    text += "}]";
    Sha256 sum;
    sum.update(text.data(), text.size());
    for (const auto part : data) sum.update(part.data(), part.size());
    return sum.hex();
}

int64_t count(JsonReader& json, const std::string& of) {
    const int64_t n = json.integer();
    if (n < 0) json.fail_here("tensor " + of + " has the number " + std::to_string(n));
    return n;
}

Entry read_entry(JsonReader& json, const std::string& name, uint64_t size) {
    Entry e;
    e.tensor.name = name;
    const std::string shown = quoted(name);
    bool has_dtype = false, has_shape = false, has_offsets = false;
    std::string key;
    json.begin_object();
    while (json.next_key(&key)) {
        if (key == "dtype" && !has_dtype) {
            has_dtype = true;
            const std::string format = json.string();
            const auto* found = std::ranges::find(kNames, format, &FormatName::name);
            if (found == std::end(kNames))
                bad("tensor " + shown + " has dtype " + quoted(format) + ", which is unknown");
            e.format = found->name;
            e.tensor.dtype = found->dtype;
        } else if (key == "shape" && !has_shape) {
            has_shape = true;
            json.begin_array();
            while (json.next_item()) {
                if (e.tensor.shape.size() == kMaxRank)
                    bad("tensor " + shown + " has more than " + std::to_string(kMaxRank) +
                        " dimensions");
                e.tensor.shape.push_back(count(json, shown));
            }
        } else if (key == "data_offsets" && !has_offsets) {
            has_offsets = true;
            json.begin_array();
            uint64_t at[2] = {0, 0};
            for (uint64_t& offset : at) {
                if (!json.next_item()) bad("tensor " + shown + " has not two data_offsets");
                offset = static_cast<uint64_t>(count(json, shown));
            }
            if (json.next_item()) bad("tensor " + shown + " has not two data_offsets");
            e.begin = at[0];
            e.end = at[1];
        } else {
            bad("tensor " + shown + " has not just dtype, shape and data_offsets");
        }
    }
    if (!has_dtype || !has_shape || !has_offsets)
        bad("tensor " + shown + " has not just dtype, shape and data_offsets");
    if (e.begin > e.end || e.end > size)
        bad("tensor " + shown + " has the bytes [" + std::to_string(e.begin) + ", " +
            std::to_string(e.end) + "] of " + std::to_string(size) + " in the file");
    uint64_t needed = dtype_size(e.tensor.dtype);
    bool overflow = false;
    for (const int64_t n : e.tensor.shape)
        overflow |= __builtin_mul_overflow(needed, static_cast<uint64_t>(n), &needed);
    if (overflow || needed != e.end - e.begin)
        bad("tensor " + shown + " has " + std::to_string(e.end - e.begin) + " bytes; " +
            std::string(e.format) + " of shape " + format_shape(e.tensor.shape) + " takes " +
            (overflow ? "more than there are" : std::to_string(needed)));
    return e;
}

}  // namespace

StoredFile read_safetensors(std::span<const std::byte> file, bool checksum) {
    if (file.size() < 8) bad("it has " + std::to_string(file.size()) + " bytes; a header takes 8");
    uint64_t length = 0;
    std::memcpy(&length, file.data(), 8);
    if (length > std::min<uint64_t>(kMaxHeader, file.size() - 8))
        bad("the header takes " + std::to_string(length) +
                " bytes by its own account, the file has " + std::to_string(file.size()),
            "it is truncated or no safetensors file");
    const std::string_view head(reinterpret_cast<const char*>(file.data()) + 8, length);
    const auto data = file.subspan(8 + length);
    if (!head.starts_with('{')) bad("the header is no JSON object");

    StoredFile made;
    std::vector<Entry> entries;
    std::string expected, key;
    bool has_metadata = false, has_digest = false;
    JsonReader json(head, "the header");
    json.begin_object();
    while (json.next_key(&key)) {
        if (key != "__metadata__") {
            entries.push_back(read_entry(json, key, data.size()));
            continue;
        }
        if (has_metadata) bad("the key '__metadata__' occurs twice");
        has_metadata = true;
        json.begin_object();
        while (json.next_key(&key)) {
            std::string value = json.string();
            if (key == kDigest) {
                if (has_digest) bad("the metadata's key " + quoted(key) + " occurs twice");
                has_digest = true;
                expected = std::move(value);
            } else if (!made.metadata.emplace(key, std::move(value)).second) {
                bad("the metadata's key " + quoted(key) + " occurs twice");
            }
        }
    }
    json.end();

    std::vector<const Entry*> order;
    for (const Entry& e : entries) order.push_back(&e);
    std::ranges::sort(order, {}, [](const Entry* e) -> std::string_view { return e->tensor.name; });
    for (size_t i = 1; i < order.size(); ++i)
        if (order[i]->tensor.name == order[i - 1]->tensor.name)
            bad("the tensor " + quoted(order[i]->tensor.name) + " occurs twice");
    std::ranges::sort(order, {}, [](const Entry* e) { return std::pair(e->begin, e->end); });
    uint64_t at = 0;
    for (const Entry* e : order) {
        if (e->begin != at)
            bad("tensor " + quoted(e->tensor.name) +
                (e->begin < at ? " overlaps another" : " leaves a gap before it") + ", at byte " +
                std::to_string(e->begin));
        at = e->end;
    }
    if (at != data.size())
        bad("the tensors have " + std::to_string(at) + " bytes and the file has " +
            std::to_string(data.size()));
    if (checksum && has_digest && digest(entries, made.metadata, std::span(&data, 1)) != expected)
        bad("the checksum does not fit: the file is damaged");

    for (Entry& e : entries) {
        e.tensor.data = data.subspan(e.begin, e.end - e.begin);
        if (e.tensor.dtype == DType::kBool &&
            std::ranges::any_of(e.tensor.data, [](std::byte b) { return b > std::byte{1}; }))
            bad("tensor " + quoted(e.tensor.name) + " has bytes other than 0 and 1");
        made.tensors.push_back(std::move(e.tensor));
    }
    return made;
}

std::string write_safetensors(std::span<const StoredTensor> tensors,
                              const std::map<std::string, std::string>& metadata) {
    // Wide elements first, so that everything is aligned without gaps, which the format forbids.
    std::vector<size_t> order(tensors.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::greater<>(),
                             [&](size_t i) { return dtype_size(tensors[i].dtype); });
    std::vector<Entry> entries(tensors.size());
    std::vector<std::span<const std::byte>> parts;
    uint64_t at = 0;
    for (const size_t i : order) {
        const StoredTensor& t = tensors[i];
        const auto* found = std::ranges::find(kNames, t.dtype, &FormatName::dtype);
        if (found == std::end(kNames))
            fail(ErrorKind::kDType, "save", "tensor %s is %s, which the format does not have",
                 quoted(t.name).c_str(), dtype_name(t.dtype));
        SN_CHECK(t.data.size() == static_cast<size_t>(numel(t.shape)) * dtype_size(t.dtype));
        if (t.name == "__metadata__")
            fail(ErrorKind::kValue, "save", "a tensor is named '__metadata__'; use another name");
        entries[i] = {t, found->name, at, at + t.data.size()};
        parts.push_back(t.data);
        at += t.data.size();
    }
    std::string head = "{\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
        if (key == kDigest)
            fail(ErrorKind::kValue, "save",
                 "metadata has the key 'sha256', which save sets itself");
        append_json(head, key);
        head += ':';
        append_json(head, value);
        head += ',';
    }
    head += "\"sha256\":\"" + digest(entries, metadata, parts) + "\"}";
    for (const Entry& e : entries) {
        head += ',';
        append_json(head, e.tensor.name);
        head += ":{\"dtype\":\"" + std::string(e.format) + "\",\"shape\":[" +
                numbers(e.tensor.shape) + "],\"data_offsets\":[" + std::to_string(e.begin) + "," +
                std::to_string(e.end) + "]}";
    }
    head += '}';
    head.append((kAlign - (8 + head.size()) % kAlign) % kAlign, ' ');
    if (head.size() > kMaxHeader)
        fail(ErrorKind::kValue, "save", "the header takes %zu bytes; the format allows %llu",
             head.size(), static_cast<unsigned long long>(kMaxHeader));
    std::string file(8, '\0');
    const uint64_t length = head.size();
    std::memcpy(file.data(), &length, 8);
    file += head;
    for (const auto part : parts)
        file.append(reinterpret_cast<const char*>(part.data()), part.size());
    return file;
}

}  // namespace sn
