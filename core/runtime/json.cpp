#include "runtime/json.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace sn {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The length of the UTF-8 sequence that starts at `at`; 0: it is none.
size_t sequence_length(std::string_view s, size_t at) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
    const unsigned first = byte(at);
    if (first < 0x80) return 1;
    const size_t length = first >= 0xc2 && first < 0xe0   ? 2
                          : first >= 0xe0 && first < 0xf0 ? 3
                          : first >= 0xf0 && first < 0xf5 ? 4
                                                          : 0;
    if (!length || at + length > s.size()) return 0;
    for (size_t i = 1; i < length; ++i)
        if ((byte(at + i) & 0xc0) != 0x80) return 0;
    const unsigned second = byte(at + 1);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0;  // overlong, a surrogate, or beyond the last code point
    return length;
}

void append_utf8(std::string& out, uint32_t c) {
    const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xc0 | c >> 6);
        put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(0xe0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    } else {
        put(0xf0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3f));
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    }
}

}  // namespace

void JsonReader::fail_here(const std::string& problem) const {
    fail(ErrorKind::kFile, "load", "%.*s is damaged at byte %zu: %s; fetch or save the file again",
         static_cast<int>(what_.size()), what_.data(), at_, problem.c_str());
}

void JsonReader::skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
        ++at_;
}

bool JsonReader::at(char first) {
    skip_space();
    return at_ < text_.size() && text_[at_] == first;
}

void JsonReader::take(char wanted) {
    if (!at(wanted)) fail_here(std::string("'") + wanted + "' is missing");
    ++at_;
}

void JsonReader::open(char bracket) {
    take(bracket);
    if (++depth_ > kMaxDepth) fail_here("objects and arrays are nested too deeply");
    first_ = true;
}

// Whether one more member or item follows; takes the comma before it, or the closing bracket.
bool JsonReader::next(char closing) {
    if (at(closing)) {
        ++at_;
        --depth_;
        first_ = false;  // what is around it holds this at least
        return false;
    }
    if (!first_) take(',');
    first_ = false;
    return true;
}

bool JsonReader::next_item() { return next(']'); }

bool JsonReader::next_key(std::string* key) {
    if (!next('}')) return false;
    *key = string();
    take(':');
    return true;
}

void JsonReader::key(std::string_view name) {
    std::string found;
    const size_t before = at_;
    if (next_key(&found) && found == name) return;
    at_ = before;
    fail_here("the member '" + std::string(name) + "' is missing");
}

void JsonReader::end_object() {
    std::string found;
    if (next_key(&found)) fail_here("the member '" + found + "' is unknown");
}

uint32_t JsonReader::hex4() {
    uint32_t value = 0;
    if (at_ + 4 > text_.size()) fail_here("an escape ends early");
    const auto done = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, value, 16);
    if (done.ec != std::errc() || done.ptr != text_.data() + at_ + 4)
        fail_here("an escape is no four hexadecimal digits");
    at_ += 4;
    return value;
}

std::string JsonReader::string() {
    take('"');
    std::string out;
    while (true) {
        if (at_ >= text_.size()) fail_here("a string does not end");
        const char c = text_[at_];
        if (c == '"') {
            ++at_;
            return out;
        }
        if (static_cast<unsigned char>(c) < 0x20) fail_here("a string holds a control character");
        if (c != '\\') {
            const size_t length = sequence_length(text_, at_);
            if (!length) fail_here("a string is no UTF-8");
            out += text_.substr(at_, length);
            at_ += length;
            continue;
        }
        const char escape = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
        at_ += 2;
        constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
        if (const size_t which = kEscapes.find(escape);
            escape != '\0' && which != std::string_view::npos) {
            out += kMeanings[which];
        } else if (escape == 'u') {
            uint32_t code = hex4();
            if (code >= 0xd800 && code < 0xdc00) {
                if (text_.substr(at_, 2) != "\\u") fail_here("half a surrogate pair");
                at_ += 2;
                const uint32_t low = hex4();
                if (low < 0xdc00 || low > 0xdfff) fail_here("half a surrogate pair");
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            } else if (code >= 0xdc00 && code < 0xe000) {
                fail_here("half a surrogate pair");
            }
            append_utf8(out, code);
        } else {
            fail_here("an unknown escape");
        }
    }
}

// By the grammar: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
std::string_view JsonReader::number_text() {
    skip_space();
    const size_t start = at_;
    const auto peek = [&] { return at_ < text_.size() ? text_[at_] : '\0'; };
    const auto digits = [&] {
        if (!is_digit(peek())) fail_here("a number is expected");
        while (is_digit(peek())) ++at_;
    };
    if (peek() == '-') ++at_;
    if (peek() == '0')
        ++at_;
    else
        digits();
    if (peek() == '.') {
        ++at_;
        digits();
    }
    if (peek() == 'e' || peek() == 'E') {
        ++at_;
        if (peek() == '+' || peek() == '-') ++at_;
        digits();
    }
    return text_.substr(start, at_ - start);
}

template <class T>
T JsonReader::number_as(const char* what) {
    const std::string_view text = number_text();
    T value{};
    const auto done = std::from_chars(text.data(), text.data() + text.size(), value);
    if (done.ec != std::errc() || done.ptr != text.data() + text.size())
        fail_here("'" + std::string(text.substr(0, 40)) + "' is " + what);
    return value;
}

int64_t JsonReader::integer() { return number_as<int64_t>("no 64-bit integer"); }
double JsonReader::number() { return number_as<double>("out of the range of a float64"); }

bool JsonReader::boolean() {
    skip_space();
    for (const std::string_view word : {"true", "false"}) {
        if (text_.substr(at_, word.size()) != word) continue;
        at_ += word.size();
        return word == "true";
    }
    fail_here("true or false is expected");
}

void JsonReader::skip_value() {
    skip_space();
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (c == '{') {
        begin_object();
        std::string key;
        while (next_key(&key)) skip_value();  // as deep as kMaxDepth
    } else if (c == '[') {
        begin_array();
        while (next_item()) skip_value();
    } else if (c == '"') {
        string();
    } else if (c == 't' || c == 'f') {
        boolean();
    } else if (text_.substr(at_, 4) == "null") {
        at_ += 4;
    } else {
        number_text();
    }
}

std::string_view JsonReader::raw() {
    skip_space();
    const size_t start = at_;
    skip_value();
    return text_.substr(start, at_ - start);
}

void JsonReader::end() {
    skip_space();
    if (at_ != text_.size()) fail_here("something follows the end");
}

void append_json(std::string& out, std::string_view text) {
    constexpr const char* kHex = "0123456789abcdef";
    out += '"';
    for (size_t i = 0; i < text.size();) {
        const size_t length = sequence_length(text, i);
        const char c = text[i];
        if (!length) {
            append_utf8(out, 0xfffd);
            ++i;
        } else if (length > 1) {
            out += text.substr(i, length);
            i += length;
        } else {
            if (c == '"' || c == '\\') {
                out += '\\';
                out += c;
            } else if (static_cast<unsigned char>(c) < 0x20) {
                out += "\\u00";
                out += kHex[c >> 4 & 0xf];
                out += kHex[c & 0xf];
            } else {
                out += c;
            }
            ++i;
        }
    }
    out += '"';
}

void append_json(std::string& out, double value) {
    if (std::isnan(value)) {
        out += "\"nan\"";
    } else if (std::isinf(value)) {
        out += value < 0 ? "\"-inf\"" : "\"inf\"";
    } else {
        char buffer[32];
        const auto done = std::to_chars(buffer, buffer + sizeof buffer, value);
        out.append(buffer, done.ptr);
    }
}

double read_float(JsonReader& json) {
    if (!json.at('"')) return json.number();
    const std::string text = json.string();
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (text == "inf") return kInfinity;
    if (text == "-inf") return -kInfinity;
    if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
    json.fail_here("'" + text.substr(0, 40) + "' is no number");
}

}  // namespace sn
